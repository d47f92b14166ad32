import { Chart } from './charts.js';
import { Configuration } from './configuration.js';
import { keepInStep, make, setAttribute, setText } from './dom.js';
import { Figures } from './figures.js';
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

let panels = 0;

/** One HTTP client. */
export class HttpPanel {
  /** @type {HTMLElement} */
  element;
  #state = make('span', { class: 'tag' });
  #configuration = new Configuration();
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
  /** @type {Chart[]} */
  #charts;

  /** @param {string} name */
  constructor(name) {
    const id = `client-${++panels}`;
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
    this.#charts = [
      new Chart({
        title: 'Connections',
        sync: id,
        format: number,
        counts: true,
        series: [
          { field: 'limit', name: 'limit', colour: '--chart-limit', look: 'dashed' },
          { field: 'idle', name: 'idle', colour: '--chart-2' },
          { field: 'inUse', name: 'in use', colour: '--chart-1', look: 'area' },
        ],
      }),
      new Chart({
        title: 'Waiting',
        sync: id,
        format: number,
        counts: true,
        series: [
          { field: 'waiting', name: 'waiting', colour: '--chart-3', look: 'area' },
          { field: 'timeouts', name: 'timed out', colour: '--chart-bad', look: 'bars' },
        ],
      }),
      new Chart({
        title: 'Requests per second',
        sync: id,
        format: number,
        counts: true,
        series: [
          { field: 'requests', name: 'requests', colour: '--chart-1', look: 'area' },
          { field: 'retries', name: 'retries', colour: '--chart-4', look: 'bars' },
        ],
      }),
    ];
    this.element = make(
      'section',
      { class: 'panel', 'aria-label': `HTTP client ${name}`, 'data-client': name },
      make(
        'div',
        { class: 'head' },
        make('h2', { id, tabindex: '-1' }, name),
        make('span', { class: 'target' }, 'HTTP client'),
        this.#state,
      ),
      this.#figures.element,
      make('h3', {}, 'Origins'),
      make(
        'div',
        { class: 'scroll', role: 'region', 'aria-label': `Origins of ${name}`, tabindex: '0' },
        this.#table,
        this.#empty,
      ),
      make('div', { class: 'charts' }, ...this.#charts.map((chart) => chart.element)),
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

  /** @param {HttpNews} news */
  update({ statistics, sample }) {
    setText(this.#state, statistics.state);
    setAttribute(this.#state, 'data-state', statistics.state);
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
    if (sample !== undefined) for (const chart of this.#charts) chart.push(sample);
  }

  /** Draws with the colours of now. */
  recolour() {
    for (const chart of this.#charts) chart.recolour();
  }
}
