import { PoolActions, terminate } from './actions.js';
import { Calculator } from './calculator.js';
import { Cells } from './cells.js';
import { make, setText } from './dom.js';
import { Figures } from './figures.js';
import { Fleet } from './fleet.js';
import { Replicas } from './replicas.js';
import { Holders } from './holders.js';
import { Hosts } from './hosts.js';
import { Panel } from './panel.js';
import { Statements } from './statements.js';
import { duration, number } from './text.js';

/** @typedef {import('../../core/statistics.js').PoolStatistics} PoolStatistics */
/** @typedef {import('../../core/holders.js').Holder} Holder */
/** @typedef {import('../../advice/load.js').PoolLoad} PoolLoad */

/**
 * @typedef {object} DatabaseNews
 * @property {string} name
 * @property {PoolStatistics & {
 *   fleet?: import('../../database/fleet/fleet-member.js').FleetStatistics,
 *   hosts?: import('../../database/hosts/host-statistics.js').HostsStatistics,
 *   replicas?: import('../../database/replicas/replica-statistics.js').ReplicasStatistics,
 * }} statistics
 * @property {Readonly<Record<string, number>>} [sample]
 * @property {readonly Holder[]} holders
 * @property {PoolLoad} [load]
 * @property {import('../../database/query/statement-tally.js').StatementList} [statements] not each time
 */

/** @typedef {import('../../core/statistics.js').CloseReason} CloseReason */

/** @param {number} ms */
const inMs = (ms) => (ms >= 1000 ? `${number(ms / 1000)} s` : `${number(ms)} ms`);

/** Why connections are closed, in colours: as a matter of course, because somebody wanted it, because something broke.
 * @type {Readonly<Record<CloseReason, string>>} */
const CLOSINGS = {
  idle: '--chart-limit',
  lifetime: '--chart-limit',
  uses: '--chart-limit',
  overflow: '--chart-3',
  expired: '--chart-1',
  shutdown: '--chart-1',
  broken: '--chart-bad',
  invalid: '--chart-bad',
  transaction: '--chart-4',
  reset: '--chart-4',
  'query-timeout': '--chart-4',
};

/**
 * @param {'wait' | 'use'} what
 * @returns {import('./charts.js').Series[]}
 */
function percentiles(what) {
  return [
    { field: `${what}P99`, name: 'p99', colour: '--chart-3' },
    { field: `${what}P95`, name: 'p95', colour: '--chart-2' },
    { field: `${what}P50`, name: 'p50', colour: '--chart-1' },
  ];
}

/** @type {readonly import('./panel.js').ChartPlan[]} */
const CHARTS = [
  {
    title: 'Connections',
    series: [
      { field: 'max', name: 'at most', colour: '--chart-limit', look: 'dashed' },
      { field: 'size', name: 'open', colour: '--chart-2' },
      { field: 'inUse', name: 'in use', colour: '--chart-1', look: 'area' },
    ],
  },
  {
    title: 'Waiting',
    series: [
      { field: 'waiting', name: 'waiting', colour: '--chart-3', look: 'area' },
      { field: 'timeouts', name: 'timed out or refused', colour: '--chart-bad', look: 'bars' },
    ],
  },
  {
    title: 'Time to acquire',
    format: inMs,
    series: percentiles('wait'),
  },
  {
    title: 'Time in use',
    format: inMs,
    series: percentiles('use'),
  },
  {
    title: 'Queries and leases per second',
    series: [
      { field: 'queries', name: 'queries', colour: '--chart-1', look: 'area' },
      { field: 'leases', name: 'leases', colour: '--chart-3' },
    ],
  },
  {
    title: 'Opened and closed per second',
    series: [
      { field: 'opened', name: 'opened', colour: '--chart-2', look: 'bars' },
      ...Object.entries(CLOSINGS).map(
        /** @returns {import('./charts.js').Series} */
        ([reason, colour]) => ({ field: `closed:${reason}`, name: reason, colour, look: 'bars', seldom: true }),
      ),
    ],
  },
];

/** One database pool. */
export class DatabasePanel {
  /** @type {HTMLElement} */
  element;
  /** @type {Panel} */
  #panel;
  #target = make('span', { class: 'target' });
  #actions;
  #cells;
  #holders;
  #calculator = new Calculator();
  #fleet = new Fleet();
  #replicas = new Replicas();
  #statements;
  #hosts = new Hosts();
  #closed = make('p', { class: 'closed' });
  #figures = new Figures({
    inUse: 'In use',
    waiting: 'Waiting',
    p99: 'Acquire p99',
    queries: 'Queries / s',
    leases: 'Leases / s',
    use: 'Mean use',
    timeouts: 'Time-outs',
    leaks: 'Leaks',
  });
  #bounds = { size: 1, maxOverflow: 0 };

  /**
   * @param {string} name
   * @param {readonly import('../console-options.js').ConsoleAction[]} allowed
   */
  constructor(name, allowed) {
    this.#actions = new PoolActions(name, allowed, () => this.#bounds);
    this.#cells = new Cells((connection) => this.#holders.focus(connection));
    this.#holders = new Holders(
      name,
      allowed.includes('terminate') ? (connection) => void terminate(name, connection) : undefined,
    );
    this.#statements = new Statements(name);
    this.#panel = new Panel(name, {
      label: `Database pool ${name}`,
      attributes: { 'data-pool': name },
      figures: this.#figures.element,
      charts: CHARTS,
      head: [this.#target, this.#actions.element],
      above: [this.#cells.element, this.#holders.element],
      below: [
        this.#closed,
        this.#statements.element,
        this.#hosts.element,
        this.#replicas.element,
        this.#fleet.element,
        this.#calculator.element,
      ],
    });
    this.element = this.#panel.element;
  }

  /** @param {Readonly<Record<string, unknown>>} configuration */
  configure(configuration) {
    this.#bounds = { size: Number(configuration['size']), maxOverflow: Number(configuration['maxOverflow']) };
    const target = /** @type {{ host?: string, port?: number, database?: string } | undefined} */ (
      configuration['target']
    );
    if (target !== undefined) setText(this.#target, `${target.host}:${target.port}/${target.database}`);
    this.#panel.configure(configuration);
  }

  /**
   * @param {readonly number[]} times
   * @param {Readonly<Record<string, readonly number[]>>} columns
   */
  load(times, columns) {
    this.#panel.load(times, columns);
  }

  /** @param {DatabaseNews} news */
  update({ statistics, sample, holders, load, statements }) {
    this.#panel.show(statistics.state, sample);
    this.#actions.update(statistics.state);
    this.#figures.set(
      'inUse',
      `${statistics.inUse} of ${statistics.max}`,
      statistics.inUse >= statistics.max ? 'warn' : undefined,
    );
    const { waiting, aside } = statistics;
    const waitingInWords = aside > 0 ? `${number(waiting)}, ${number(aside)} aside` : number(waiting);
    this.#figures.set('waiting', waitingInWords, waiting > 0 ? 'warn' : undefined);
    this.#figures.set('p99', inMs(sample?.['waitP99'] ?? 0));
    this.#figures.set('queries', number(sample?.['queries'] ?? 0));
    this.#figures.set('leases', number(sample?.['leases'] ?? 0));
    this.#figures.set('use', duration(load?.meanUseMs ?? statistics.useMs.meanMs));
    this.#figures.set(
      'timeouts',
      number(statistics.acquireTimeouts),
      statistics.acquireTimeouts > 0 ? 'bad' : undefined,
    );
    this.#figures.set('leaks', number(statistics.leaks), statistics.leaks > 0 ? 'bad' : undefined);
    this.#cells.update(statistics, holders);
    this.#holders.update(holders);
    this.#calculator.update(load);
    this.#fleet.update(statistics.fleet);
    this.#replicas.update(statistics.replicas);
    this.#statements.update(statements);
    this.#hosts.update(statistics.hosts, statistics.replicas);
    setText(this.#closed, closedInWords(statistics));
  }

  /** Draws with the colours of now. */
  recolour() {
    this.#panel.recolour();
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
