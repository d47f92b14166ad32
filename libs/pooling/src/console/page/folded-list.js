import { make, setText } from './dom.js';

/** A list of names and what is to be said of each, folded away below one line; hidden while there is none. */
export class FoldedList {
  /** @type {HTMLDetailsElement} */
  element;
  #summary = make('summary');
  #list = make('dl', { class: 'configuration' });
  #shown = '';

  /** @param {string} attribute by which it is found on the page */
  constructor(attribute) {
    this.element = make('details', { class: 'fold', hidden: true, [attribute]: '' }, this.#summary, this.#list);
  }

  /** Hides it. */
  hide() {
    this.element.hidden = true;
  }

  /**
   * Shows it. Rows that have not changed are left alone: what is selected in them stays so.
   *
   * @param {string} summary
   * @param {readonly (readonly [name: string, text: string])[]} rows
   */
  show(summary, rows) {
    this.element.hidden = false;
    setText(this.#summary, summary);
    const shown = JSON.stringify(rows);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#list.replaceChildren(
      ...rows.map(([name, text]) => make('div', {}, make('dt', {}, name), make('dd', {}, text))),
    );
  }
}
