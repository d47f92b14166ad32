import { keepInStep, make, setText } from './dom.js';
import { Figures } from './figures.js';
import { Panel } from './panel.js';
import { duration, number } from './text.js';

/** @typedef {import('../../http/pool/statistics.js').HttpClientStatistics} HttpClientStatistics */
/** @typedef {import('../../http/pool/statistics.js').HttpOriginStatistics} HttpOriginStatistics */

/**
 * @typedef {object} HttpNews
 * @property {string} name
 * @property {HttpClientStatistics} statistics
 * @property {Readonly<Record<string, number>>} [sample]
 */

/** @param {Readonly<Record<string, number>>} counts */
function total(counts) {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** @param {number} limit */
function limited(limit) {
  return limit === 0 ? 'no limit' : String(limit);
}

/** The columns of the table of origins.
 * @type {readonly [string, (origin: HttpOriginStatistics) => string][]} */
const COLUMNS = [
  ['In use', (origin) => `${origin.inUse} of ${limited(origin.limit)}`],
  ['Idle', (origin) => number(origin.idle)],
  ['Waiting', (origin) => number(origin.waiting)],
  ['Requests', (origin) => number(origin.requests)],
  ['Retries', (origin) => number(origin.retries)],
  ['Time-outs', (origin) => number(total(origin.timeouts))],
  ['Failed dials', (origin) => number(origin.connectErrors)],
  ['Acquire p50 / p99', (origin) => `${duration(origin.acquireMs.p50)} / ${duration(origin.acquireMs.p99)}`],
];

/** @type {readonly import('./panel.js').ChartPlan[]} */
const CHARTS = [
  {
    title: 'Connections',
    series: [
      { field: 'limit', name: 'limit', colour: '--chart-limit', look: 'dashed' },
      { field: 'idle', name: 'idle', colour: '--chart-2' },
      { field: 'inUse', name: 'in use', colour: '--chart-1', look: 'area' },
    ],
  },
  {
    title: 'Waiting',
    series: [
      { field: 'waiting', name: 'waiting', colour: '--chart-3', look: 'area' },
      { field: 'timeouts', name: 'timed out', colour: '--chart-bad', look: 'bars' },
    ],
  },
  {
    title: 'Requests per second',
    series: [
      { field: 'requests', name: 'requests', colour: '--chart-1', look: 'area' },
      { field: 'retries', name: 'retries', colour: '--chart-4', look: 'bars' },
    ],
  },
];

/** One HTTP client. */
export class HttpPanel {
  /** @type {HTMLElement} */
  element;
  /** @type {Panel} */
  #panel;
  #body = make('tbody');
  #empty = make('p', { class: 'empty' }, 'No request so far.');
  /** @type {HTMLElement} */
  #table;
  /** @type {Map<string, HTMLTableRowElement>} */
  #rows = new Map();
  #figures = new Figures({
    inUse: 'In use',
    waiting: 'Waiting',
    idle: 'Idle sockets',
    requests: 'Requests / s',
    retries: 'Retries',
    timeouts: 'Time-outs',
    leaks: 'Unread bodies',
  });

  /** @param {string} name */
  constructor(name) {
    this.#table = make(
      'table',
      {},
      make(
        'thead',
        {},
        make(
          'tr',
          {},
          ...['Origin', ...COLUMNS.map(([title]) => title)].map((title) => make('th', { scope: 'col' }, title)),
        ),
      ),
      this.#body,
    );
    this.#panel = new Panel(name, {
      label: `HTTP client ${name}`,
      attributes: { 'data-client': name },
      figures: this.#figures.element,
      charts: CHARTS,
      head: [make('span', { class: 'target' }, 'HTTP client')],
      above: [
        make('h3', {}, 'Origins'),
        make(
          'div',
          { class: 'scroll', role: 'region', 'aria-label': `Origins of ${name}`, tabindex: '0' },
          this.#table,
          this.#empty,
        ),
      ],
    });
    this.element = this.#panel.element;
  }

  /** @param {Readonly<Record<string, unknown>>} configuration */
  configure(configuration) {
    this.#panel.configure(configuration);
  }

  /**
   * @param {readonly number[]} times
   * @param {Readonly<Record<string, readonly number[]>>} columns
   */
  load(times, columns) {
    this.#panel.load(times, columns);
  }

  /** @param {HttpNews} news */
  update({ statistics, sample }) {
    this.#panel.show(statistics.state, sample);
    const { inUse, limit, waiting, idle, retries, leaks } = statistics;
    const timeouts = total(statistics.timeouts);
    this.#figures.set('inUse', `${inUse} of ${limited(limit)}`, limit > 0 && inUse >= limit ? 'warn' : undefined);
    this.#figures.set('waiting', number(waiting), waiting > 0 ? 'warn' : undefined);
    this.#figures.set('idle', number(idle));
    this.#figures.set('requests', number(sample?.['requests'] ?? 0));
    this.#figures.set('retries', number(retries));
    this.#figures.set('timeouts', number(timeouts), timeouts > 0 ? 'bad' : undefined);
    this.#figures.set('leaks', number(leaks), leaks > 0 ? 'bad' : undefined);
    this.#table.hidden = statistics.origins.length === 0;
    this.#empty.hidden = statistics.origins.length > 0;
    keepInStep(
      this.#body,
      this.#rows,
      statistics.origins,
      ({ origin }) => origin,
      ({ origin }) =>
        make(
          'tr',
          {},
          make('th', { scope: 'row' }, origin),
          ...COLUMNS.map(([title]) => make('td', { 'data-column': title })),
        ),
      (row, origin) => {
        for (const [index, [, textOf]] of COLUMNS.entries()) {
          setText(/** @type {Element} */ (row.children[index + 1]), textOf(origin));
        }
      },
    );
  }

  /** Draws with the colours of now. */
  recolour() {
    this.#panel.recolour();
  }
}
