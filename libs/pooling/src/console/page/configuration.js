import { make } from './dom.js';

/** A pool's or client's options, folded away. */
export class Configuration {
  /** @type {HTMLElement} */
  element;
  #list = make('dl', { class: 'configuration' });

  constructor() {
    this.element = make('details', { class: 'fold' }, make('summary', {}, 'Configuration'), this.#list);
  }

  /** @param {Readonly<Record<string, unknown>>} configuration */
  show(configuration) {
    const rows = Object.entries(configuration).map(([name, value]) =>
      make('div', {}, make('dt', {}, name), make('dd', {}, written(value))),
    );
    this.#list.replaceChildren(...rows);
  }
}

/** @param {unknown} value */
function written(value) {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}
