import { make, setAttribute, setText } from './dom.js';

/**
 * The row of large numbers at the top of a panel.
 *
 * @template {string} Key
 */
export class Figures {
  /** @type {HTMLElement} */
  element;
  /** @type {Record<Key, HTMLElement>} */
  #values;

  /** @param {Readonly<Record<Key, string>>} names what each number is called, in order */
  constructor(names) {
    const keys = /** @type {Key[]} */ (Object.keys(names));
    this.#values = /** @type {Record<Key, HTMLElement>} */ (Object.fromEntries(keys.map((key) => [key, make('dd')])));
    this.element = make(
      'dl',
      { class: 'figures' },
      ...keys.map((key) => make('div', { 'data-figure': key }, make('dt', {}, names[key]), this.#values[key])),
    );
  }

  /**
   * @param {Key} key
   * @param {string} text
   * @param {'bad' | 'warn'} [mood]
   */
  set(key, text, mood) {
    setText(this.#values[key], text);
    setAttribute(this.#values[key], 'data-mood', mood);
  }
}
