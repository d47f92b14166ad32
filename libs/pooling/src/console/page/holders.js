import { KINDS, kindOf, nameOf } from './cells.js';
import { keepInStep, make, setAttribute, setText } from './dom.js';
import { duration, placeOf, shortFrame } from './text.js';

/** @typedef {import('../../core/holders.js').Holder} Holder */

/**
 * @typedef {object} Row
 * @property {HTMLElement} held
 * @property {HTMLElement} kind
 * @property {HTMLElement} label
 * @property {HTMLElement} frame
 * @property {HTMLDetailsElement} details
 * @property {HTMLElement} stack
 * @property {HTMLElement} activity
 * @property {HTMLElement} statement
 * @property {HTMLElement} connection
 */

/** @param {Holder} holder */
function activityOf(holder) {
  if (holder.active === true) return 'running';
  const idle = holder.idleMs === undefined ? '' : ` for ${duration(holder.idleMs)}`;
  if (holder.inTransaction === true) return `idle in transaction${idle}, last ran`;
  if (holder.statement === undefined) return `nothing run yet`;
  return `idle${idle}, last ran`;
}

/** Who holds connections: for how long, on whose behalf, acquired where, doing what. */
export class Holders {
  /** @type {HTMLElement} */
  element;
  /** @type {HTMLElement} */
  #body;
  /** @type {HTMLElement} */
  #empty;
  /** @type {HTMLElement} */
  #table;
  /** @type {Map<string, HTMLTableRowElement>} */
  #rows = new Map();
  /** @type {WeakMap<Element, Row>} */
  #parts = new WeakMap();
  /** @type {((connection: number) => void) | undefined} */
  #onTerminate;

  /**
   * @param {string} titleId
   * @param {((connection: number) => void) | undefined} onTerminate left out: it isn't allowed
   */
  constructor(titleId, onTerminate) {
    this.#onTerminate = onTerminate;
    const columns = ['Held', 'By', 'Doing', 'Connection', ...(onTerminate === undefined ? [] : ['Action'])];
    this.#body = make('tbody', {});
    this.#table = make(
      'table',
      {},
      make('thead', {}, make('tr', {}, ...columns.map((name) => make('th', { scope: 'col' }, name)))),
      this.#body,
    );
    this.#empty = make('p', { class: 'empty' }, 'Nobody holds a connection.');
    this.element = make(
      'div',
      { class: 'scroll', role: 'region', 'aria-labelledby': titleId, tabindex: '0' },
      this.#table,
      this.#empty,
    );
  }

  /** @param {readonly Holder[]} holders */
  update(holders) {
    this.#table.hidden = holders.length === 0;
    this.#empty.hidden = holders.length > 0;
    keepInStep(
      this.#body,
      this.#rows,
      holders,
      (holder) => String(holder.connection),
      (holder) => this.#create(holder),
      (row, holder) => this.#show(row, holder),
    );
  }

  /**
   * Brings a holder into view, its stack open.
   *
   * @param {number} connection
   */
  focus(connection) {
    const row = this.#rows.get(String(connection));
    if (row === undefined) return;
    const parts = /** @type {Row} */ (this.#parts.get(row));
    if (!parts.details.hidden) parts.details.open = true;
    row.scrollIntoView({ block: 'center' });
    row.focus();
  }

  /** @param {Holder} holder */
  #create(holder) {
    const stack = make('pre', { tabindex: '0', 'aria-label': 'Stack of the acquire' });
    /** @type {Row} */
    const parts = {
      held: make('b', {}),
      kind: make('span', { class: 'tag' }),
      label: make('b', { class: 'who' }),
      frame: make('span', { class: 'frame' }),
      details: make('details', {}, make('summary', {}, 'Stack'), stack),
      stack,
      activity: make('span', { class: 'activity' }),
      statement: make('code', {}),
      connection: make('span', { class: 'nowrap' }),
    };
    const row = make(
      'tr',
      { tabindex: '-1' },
      make('td', { 'data-column': 'Held' }, parts.held, ' ', parts.kind),
      make('td', { 'data-column': 'By' }, parts.label, parts.frame, parts.details),
      make('td', { 'data-column': 'Doing' }, parts.activity, parts.statement),
      make('td', { 'data-column': 'Connection' }, parts.connection),
    );
    const terminate = this.#onTerminate;
    if (terminate !== undefined) {
      const label = `Terminate connection ${holder.connection}`;
      const press = () => terminate(holder.connection);
      row.append(
        make(
          'td',
          { 'data-column': 'Action' },
          make('button', { type: 'button', class: 'danger small', 'aria-label': label, click: press }, 'Terminate'),
        ),
      );
    }
    this.#parts.set(row, parts);
    return row;
  }

  /**
   * @param {Element} row
   * @param {Holder} holder
   */
  #show(row, holder) {
    const parts = /** @type {Row} */ (this.#parts.get(row));
    const kind = kindOf(holder);
    setAttribute(row, 'data-kind', kind);
    setText(parts.held, duration(holder.heldMs));
    setText(parts.kind, KINDS[kind]);
    setAttribute(parts.kind, 'data-kind', kind);
    setText(parts.label, nameOf(holder));
    setText(parts.frame, placeBeside(holder));
    setText(parts.stack, stackOf(holder));
    parts.details.hidden = holder.stack === undefined;
    setText(parts.activity, activityOf(holder));
    setText(parts.statement, holder.statement ?? '');
    const server = holder.serverId === undefined ? '' : ` · backend ${holder.serverId}`;
    setText(parts.connection, `#${holder.connection}${server}`);
  }
}

/**
 * What stands below the name: the place in the code, with the function where that isn't the handler itself.
 *
 * @param {Holder} holder
 */
function placeBeside({ label, acquiredAt }) {
  if (acquiredAt === undefined) return label === undefined ? 'leakDetectionMs shows the code' : '';
  if (label === undefined) return '';
  return acquiredAt.includes(`${label} (`) ? placeOf(acquiredAt) : shortFrame(acquiredAt);
}

/** @param {Holder} holder */
function stackOf(holder) {
  return (holder.stack ?? '')
    .split('\n')
    .slice(1)
    .map((line) => line.trim())
    .join('\n');
}
