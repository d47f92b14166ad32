import { keepInStep, make, setAttribute, setText } from './dom.js';
import { shortDuration } from './text.js';

/** @typedef {import('../../core/holders.js').Holder} Holder */
/** @typedef {import('../../core/statistics.js').PoolStatistics} PoolStatistics */

/**
 * @typedef {object} Cell
 * @property {string} key
 * @property {'leaked' | 'transaction' | 'in-use' | 'idle' | 'connecting' | 'closing' | 'free'} kind
 * @property {string} text
 * @property {string} label
 * @property {number} [connection] the holder's
 */

/** What each kind is called. */
export const KINDS = Object.freeze({
  'in-use': 'in use',
  transaction: 'in transaction',
  leaked: 'not given back',
  idle: 'idle',
  connecting: 'connecting',
  closing: 'closing',
  free: 'not opened',
});

/** More slots than this are counted in words. */
const MOST_FREE_CELLS = 100;

/**
 * @param {Holder} holder
 * @returns {Cell['kind']}
 */
export function kindOf(holder) {
  if (holder.leaked) return 'leaked';
  return holder.inTransaction === true ? 'transaction' : 'in-use';
}

/**
 * Who holds a connection, as well as it is known.
 *
 * @param {Holder} holder
 */
export function nameOf(holder) {
  if (holder.label !== undefined) return holder.label;
  return (
    holder.acquiredAt ??
    holder.transaction ??
    (holder.stack === undefined ? 'unknown code' : 'none of the application’s code')
  );
}

/**
 * @param {PoolStatistics} statistics
 * @param {readonly Holder[]} everyHolder
 * @returns {Cell[]}
 */
function cellsOf(statistics, everyHolder) {
  // Replicas have pools of their own.
  const holders = everyHolder.filter(({ replica }) => replica === undefined);
  /** @type {Cell[]} */
  const cells = holders.map((holder) => {
    const kind = kindOf(holder);
    const text = shortDuration(holder.heldMs);
    return {
      key: `holder ${holder.connection}`,
      kind,
      text,
      label: `Connection ${holder.connection}: ${KINDS[kind]} for ${text || 'less than 1s'} by ${nameOf(holder)}`,
      connection: holder.connection,
    };
  });
  /** @param {Cell['kind']} kind @param {number} count */
  const add = (kind, count) => {
    for (let index = 0; index < count; index++)
      cells.push({ key: `${kind} ${index}`, kind, text: '', label: KINDS[kind] });
  };
  // Connections that are being prepared or checked are in use without a holder.
  add('in-use', Math.max(0, statistics.inUse - holders.length));
  add('idle', statistics.idle);
  add('connecting', statistics.connecting);
  add('closing', statistics.closing);
  const slots = statistics.size + statistics.connecting + statistics.closing;
  add('free', Math.min(MOST_FREE_CELLS, Math.max(0, statistics.max - slots)));
  return cells;
}

/** A pool's connections as a row of cells, one each. */
export class Cells {
  /** @type {HTMLElement} */
  element;
  /** @type {HTMLElement} */
  #list;
  /** @type {Map<string, HTMLElement>} */
  #cells = new Map();
  /** @type {(connection: number) => void} */
  #onChoose;

  /** @param {(connection: number) => void} onChoose a held cell was chosen */
  constructor(onChoose) {
    this.#onChoose = onChoose;
    this.#list = make('ul', { class: 'cells', 'aria-label': 'Connections' });
    const legend = Object.entries(KINDS).map(([kind, name]) =>
      make('li', {}, make('span', { class: 'cell key', 'data-kind': kind, 'aria-hidden': 'true' }), name),
    );
    this.element = make('div', {}, this.#list, make('ul', { class: 'legend', 'aria-label': 'Legend' }, ...legend));
  }

  /**
   * @param {PoolStatistics} statistics
   * @param {readonly Holder[]} holders
   */
  update(statistics, holders) {
    keepInStep(
      this.#list,
      this.#cells,
      cellsOf(statistics, holders),
      (cell) => cell.key,
      (cell) => this.#create(cell),
      (item, cell) => {
        const inner = /** @type {HTMLElement} */ (item.firstElementChild);
        setAttribute(inner, 'data-kind', cell.kind);
        setAttribute(inner, 'title', cell.label);
        if (cell.connection === undefined) return;
        setAttribute(inner, 'aria-label', cell.label);
        setText(inner, cell.text);
      },
    );
  }

  /** @param {Cell} cell */
  #create(cell) {
    const { connection } = cell;
    if (connection === undefined) {
      return make('li', {}, make('span', { class: 'cell', role: 'img', 'aria-label': cell.label }));
    }
    return make(
      'li',
      {},
      make('button', { class: 'cell', type: 'button', click: () => this.#onChoose(connection) }, cell.text),
    );
  }
}
