import { Chart } from './charts.js';
import { Configuration } from './configuration.js';
import { make, setAttribute, setText } from './dom.js';
import { number } from './text.js';

/** @typedef {import('./charts.js').Series} Series */

/**
 * @typedef {object} ChartPlan
 * @property {string} title
 * @property {readonly Series[]} series
 * @property {(value: number) => string} [format] how a value is written; left out: the chart counts things
 */

/**
 * @typedef {object} PanelPlan
 * @property {string} label what a screen reader calls the panel
 * @property {Readonly<Record<string, string>>} attributes
 * @property {Node} figures
 * @property {readonly ChartPlan[]} charts
 * @property {readonly Node[]} head what stands beside the name
 * @property {readonly Node[]} above what stands between the figures and the charts
 * @property {readonly Node[]} [below] what stands between the charts and the configuration
 */

let panels = 0;

/** A pool as the page shows it, whatever it pools: its name and state, figures, charts and configuration. */
export class Panel {
  /** @type {HTMLElement} */
  element;
  #state = make('span', { class: 'tag' });
  #configuration = new Configuration();
  /** @type {readonly Chart[]} */
  #charts;

  /**
   * @param {string} name
   * @param {PanelPlan} plan
   */
  constructor(name, { label, attributes, figures, charts, head, above, below = [] }) {
    const id = `panel-${++panels}`;
    this.#charts = charts.map(
      ({ title, series, format }) =>
        new Chart({ title, sync: id, format: format ?? number, counts: format === undefined, series: [...series] }),
    );
    this.element = make(
      'section',
      { class: 'panel', 'aria-label': label, ...attributes },
      make('div', { class: 'head' }, make('h2', { id, tabindex: '-1' }, name), this.#state, ...head),
      figures,
      ...above,
      make('div', { class: 'charts' }, ...this.#charts.map((chart) => chart.element)),
      ...below,
      this.#configuration.element,
    );
  }

  /** @param {Readonly<Record<string, unknown>>} configuration */
  configure(configuration) {
    this.#configuration.show(configuration);
  }

  /**
   * @param {readonly number[]} times
   * @param {Readonly<Record<string, readonly number[]>>} columns
   */
  load(times, columns) {
    for (const chart of this.#charts) chart.load(times, (field) => columns[field]);
  }

  /**
   * @param {string} state
   * @param {Readonly<Record<string, number>>} [sample]
   */
  show(state, sample) {
    setText(this.#state, state);
    setAttribute(this.#state, 'data-state', state);
    if (sample !== undefined) for (const chart of this.#charts) chart.push(sample);
  }

  /** Draws with the colours of now. */
  recolour() {
    for (const chart of this.#charts) chart.recolour();
  }
}
