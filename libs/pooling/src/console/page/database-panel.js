import { poolActions, terminate } from './actions.js';
import { Calculator } from './calculator.js';
import { Cells } from './cells.js';
import { Chart } from './charts.js';
import { make, setAttribute, setText } from './dom.js';
import { Holders } from './holders.js';
import { duration, number } from './text.js';

/** @typedef {import('../../core/statistics.js').PoolStatistics} PoolStatistics */
/** @typedef {import('../../core/holders.js').Holder} Holder */
/** @typedef {import('../../advice/load.js').PoolLoad} PoolLoad */

/**
 * @typedef {object} DatabaseNews
 * @property {string} name
 * @property {PoolStatistics} statistics
 * @property {Readonly<Record<string, number>>} [sample]
 * @property {readonly Holder[]} holders
 * @property {PoolLoad} [load]
 */

/** @param {number} value */
const whole = (value) => number(value);
/** @param {number} ms */
const inMs = (ms) => (ms >= 1000 ? `${number(ms / 1000)} s` : `${number(ms)} ms`);

let panels = 0;

/** One database pool. */
export class DatabasePanel {
  /** @type {HTMLElement} */
  element;
  #state = make('span', { class: 'tag' });
  #target = make('span', { class: 'target' });
  #cells;
  #holders;
  #calculator = new Calculator();
  #configuration = make('dl', { class: 'configuration' });
  #closed = make('p', { class: 'closed' });
  /** @type {Record<string, HTMLElement>} */
  #figures = {};
  /** @type {Chart[]} */
  #charts;
  #bounds = { size: 1, maxOverflow: 0 };

  /**
   * @param {string} name
   * @param {readonly import('../console-options.js').ConsoleAction[]} allowed
   */
  constructor(name, allowed) {
    const id = `pool-${++panels}`;
    this.#cells = new Cells((connection) => this.#holders.focus(connection));
    this.#holders = new Holders(
      `${id}-holders`,
      allowed.includes('terminate') ? (connection) => void terminate(name, connection) : undefined,
    );
    this.#charts = [
      new Chart({
        title: 'Connections',
        sync: id,
        format: whole,
        series: [
          { field: 'max', name: 'at most', colour: '--chart-limit', look: 'dashed' },
          { field: 'size', name: 'open', colour: '--chart-2' },
          { field: 'inUse', name: 'in use', colour: '--chart-1', look: 'area' },
        ],
      }),
      new Chart({
        title: 'Waiting',
        sync: id,
        format: whole,
        series: [
          { field: 'waiting', name: 'waiting', colour: '--chart-3', look: 'area' },
          { field: 'timeouts', name: 'timed out or refused', colour: '--chart-bad' },
        ],
      }),
      new Chart({
        title: 'Time to acquire',
        sync: id,
        format: inMs,
        series: [
          { field: 'waitP99', name: 'p99', colour: '--chart-3' },
          { field: 'waitP95', name: 'p95', colour: '--chart-2' },
          { field: 'waitP50', name: 'p50', colour: '--chart-1' },
        ],
      }),
      new Chart({
        title: 'Leases per second',
        sync: id,
        format: whole,
        series: [{ field: 'leases', name: 'leases', colour: '--chart-1', look: 'area' }],
      }),
      new Chart({
        title: 'Opened and closed per second',
        sync: id,
        format: whole,
        series: [
          { field: 'opened', name: 'opened', colour: '--chart-2' },
          { field: 'closed', name: 'closed', colour: '--chart-3' },
        ],
      }),
    ];
    this.element = make(
      'section',
      { class: 'panel', 'aria-labelledby': id, 'data-pool': name },
      make(
        'div',
        { class: 'panel-head' },
        make('h2', { id, tabindex: '-1' }, name),
        this.#state,
        this.#target,
        poolActions(name, allowed, () => this.#bounds),
      ),
      make(
        'dl',
        { class: 'figures' },
        this.#figure('inUse', 'In use'),
        this.#figure('waiting', 'Waiting'),
        this.#figure('p99', 'Acquire p99'),
        this.#figure('leases', 'Leases / s'),
        this.#figure('use', 'Mean use'),
        this.#figure('timeouts', 'Time-outs'),
        this.#figure('leaks', 'Leaks'),
      ),
      this.#cells.element,
      make('h3', { id: `${id}-holders` }, 'Who holds connections'),
      this.#holders.element,
      make('div', { class: 'charts' }, ...this.#charts.map((chart) => chart.element)),
      this.#closed,
      this.#calculator.element,
      make('details', { class: 'fold' }, make('summary', {}, 'Configuration'), this.#configuration),
    );
  }

  /**
   * @param {string} key
   * @param {string} name
   */
  #figure(key, name) {
    const value = make('dd', {});
    this.#figures[key] = value;
    return make('div', { 'data-figure': key }, make('dt', {}, name), value);
  }

  /**
   * @param {string} key
   * @param {string} text
   * @param {'bad' | 'warn'} [mood]
   */
  #set(key, text, mood) {
    const value = /** @type {HTMLElement} */ (this.#figures[key]);
    setText(value, text);
    setAttribute(value, 'data-mood', mood);
  }

  /** @param {Readonly<Record<string, unknown>>} configuration */
  configure(configuration) {
    this.#bounds = { size: Number(configuration['size']), maxOverflow: Number(configuration['maxOverflow']) };
    const target = /** @type {{ host?: string, port?: number, database?: string } | undefined} */ (
      configuration['target']
    );
    if (target !== undefined) setText(this.#target, `${target.host}:${target.port}/${target.database}`);
    this.#configuration.replaceChildren(...configurationRows(configuration));
  }

  /**
   * @param {readonly number[]} times
   * @param {Readonly<Record<string, readonly number[]>>} columns
   */
  load(times, columns) {
    for (const chart of this.#charts) chart.load(times, (field) => columns[field]);
  }

  /** @param {DatabaseNews} news */
  update({ statistics, sample, holders, load }) {
    setText(this.#state, statistics.state);
    setAttribute(this.#state, 'data-state', statistics.state);
    this.#set(
      'inUse',
      `${statistics.inUse} of ${statistics.max}`,
      statistics.inUse >= statistics.max ? 'warn' : undefined,
    );
    this.#set('waiting', number(statistics.waiting), statistics.waiting > 0 ? 'warn' : undefined);
    this.#set('p99', inMs(sample?.['waitP99'] ?? 0));
    this.#set('leases', number(sample?.['leases'] ?? 0));
    this.#set('use', duration(load?.meanUseMs ?? statistics.useMs.meanMs));
    this.#set('timeouts', number(statistics.acquireTimeouts), statistics.acquireTimeouts > 0 ? 'bad' : undefined);
    this.#set('leaks', number(statistics.leaks), statistics.leaks > 0 ? 'bad' : undefined);
    this.#cells.update(statistics, holders);
    this.#holders.update(holders);
    this.#calculator.update(load);
    if (sample !== undefined) for (const chart of this.#charts) chart.push(sample);
    setText(this.#closed, closedInWords(statistics));
  }

  /** Draws with the colours of now. */
  recolour() {
    for (const chart of this.#charts) chart.recolour();
  }
}

/** @param {PoolStatistics} statistics */
function closedInWords(statistics) {
  const reasons = Object.entries(statistics.closed)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${reason} ${number(count)}`);
  const failed = statistics.connectErrors === 0 ? '' : ` Failed dials: ${number(statistics.connectErrors)}`;
  const last = statistics.lastConnectError === undefined ? '' : ` (${statistics.lastConnectError.message})`;
  const end = failed === '' ? '' : `${failed}${last}.`;
  const closed = reasons.length === 0 ? 'none closed' : `closed: ${reasons.join(', ')}`;
  return `Since the start: ${number(statistics.opened)} opened, ${closed}.${end}`;
}

/**
 * @param {Readonly<Record<string, unknown>>} configuration
 * @returns {HTMLElement[]}
 */
export function configurationRows(configuration) {
  return Object.entries(configuration).map(([name, value]) =>
    make(
      'div',
      {},
      make('dt', {}, name),
      make('dd', {}, typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)),
    ),
  );
}
