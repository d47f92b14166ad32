import { KINDS, kindOf, nameOf } from './cells.js';
import { keepInStep, make, setAttribute, setText } from './dom.js';
import { duration, fileOf, number } from './text.js';

/** @typedef {import('../../core/holders.js').Holder} Holder */

/** Who holds a connection for less than this comes and goes too fast to be read, in milliseconds. */
const SHORT_MS = 1_000;

/**
 * @typedef {object} Row
 * @property {HTMLElement} held
 * @property {HTMLElement} kind
 * @property {HTMLElement} label
 * @property {HTMLElement} position
 * @property {HTMLElement} transaction
 * @property {HTMLElement} trace
 * @property {HTMLDetailsElement} details
 * @property {HTMLElement} stack
 * @property {HTMLElement} activity
 * @property {HTMLElement} statement
 * @property {HTMLElement} connection
 */

/** @param {Holder} holder */
function activityOf(holder) {
  if (holder.active === true)
    return holder.inTransaction === true ? `running in transaction${afterStatements(holder)}` : 'running';
  const idle = holder.idleMs === undefined ? '' : ` for ${duration(holder.idleMs)}`;
  if (holder.inTransaction === true) return `idle in transaction${idle}${afterStatements(holder)}, last ran`;
  if (holder.statement === undefined) return `nothing run yet`;
  return `idle${idle}, last ran`;
}

/** @param {Holder} holder */
function afterStatements({ statements }) {
  if (statements === undefined) return '';
  return statements === 1 ? ' after 1 statement' : ` after ${number(statements)} statements`;
}

/** Who holds connections: for how long, on whose behalf, acquired where, doing what. */
export class Holders {
  /** @type {HTMLElement} */
  element;
  #body = make('tbody');
  #summary = make('p', { class: 'empty' });
  #all = make('input', { type: 'checkbox', change: () => this.update(this.#holders) });
  /** @type {HTMLElement} */
  #table;
  /** @type {readonly Holder[]} */
  #holders = [];
  /** @type {Map<string, HTMLTableRowElement>} */
  #rows = new Map();
  /** @type {WeakMap<Element, Row>} */
  #parts = new WeakMap();
  /** @type {((connection: number) => void) | undefined} */
  #onTerminate;

  /**
   * @param {string} pool
   * @param {((connection: number) => void) | undefined} onTerminate left out: it isn't allowed
   */
  constructor(pool, onTerminate) {
    this.#onTerminate = onTerminate;
    const columns = ['Held', 'By', 'Doing', 'Connection', ...(onTerminate === undefined ? [] : ['Action'])];
    this.#table = make(
      'table',
      {},
      make('thead', {}, make('tr', {}, ...columns.map((name) => make('th', { scope: 'col' }, name)))),
      this.#body,
    );
    this.element = make(
      'div',
      { class: 'holders' },
      make(
        'div',
        { class: 'head' },
        make('h3', {}, 'Who holds connections'),
        make('label', { class: 'choice' }, this.#all, 'for less than a second, too'),
      ),
      make(
        'div',
        { class: 'scroll', role: 'region', 'aria-label': `Who holds connections of ${pool}`, tabindex: '0' },
        this.#table,
      ),
      this.#summary,
    );
  }

  /** @param {readonly Holder[]} holders longest first */
  update(holders) {
    this.#holders = holders;
    const shown = this.#all.checked ? holders : holders.filter(({ heldMs, leaked }) => leaked || heldMs >= SHORT_MS);
    this.#table.hidden = shown.length === 0;
    setText(this.#summary, summaryOf(shown.length, holders.length - shown.length));
    keepInStep(
      this.#body,
      this.#rows,
      shown,
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
    if (!this.#rows.has(String(connection))) {
      this.#all.checked = true;
      this.update(this.#holders);
    }
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
      held: make('b'),
      kind: make('span', { class: 'tag' }),
      label: make('b', { class: 'who' }),
      position: make('span', { class: 'position' }),
      transaction: make('span', { class: 'position' }),
      trace: make('span', { class: 'position' }),
      details: make('details', {}, make('summary', {}, 'Stack'), stack),
      stack,
      activity: make('span', { class: 'activity' }),
      statement: make('code'),
      connection: make('span', { class: 'nowrap' }),
    };
    const row = make(
      'tr',
      { tabindex: '-1' },
      make('td', { 'data-column': 'Held' }, parts.held, ' ', parts.kind),
      make('td', { 'data-column': 'By' }, parts.label, parts.position, parts.transaction, parts.trace, parts.details),
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
    setText(parts.position, positionBeside(holder));
    setText(parts.transaction, transactionBeside(holder));
    setText(parts.trace, holder.traceId === undefined ? '' : `trace ${holder.traceId}`);
    showStack(parts.stack, holder.stack ?? '');
    parts.details.hidden = holder.stack === undefined;
    setText(parts.activity, activityOf(holder));
    setText(parts.statement, holder.statement ?? '');
    const server = holder.serverId === undefined ? '' : ` · backend ${holder.serverId}`;
    const replica = holder.replica === undefined ? '' : ` · replica ${holder.replica}`;
    setText(parts.connection, `#${holder.connection}${replica}${server}`);
  }
}

/**
 * @param {number} shown
 * @param {number} short
 */
function summaryOf(shown, short) {
  if (shown === 0) return short === 0 ? 'Nobody.' : `Nobody for a second; ${number(short)} for less.`;
  return short === 0 ? 'Nobody else.' : `${number(short)} more, for less than a second.`;
}

/**
 * What stands below the name: the position in the code, with the function where that isn't the handler itself.
 *
 * @param {Holder} holder
 */
function positionBeside({ label, acquiredAt, stack }) {
  if (acquiredAt === undefined) return stack === undefined ? 'leakDetectionMs shows the code' : '';
  if (label === undefined) return '';
  return acquiredAt.startsWith(`${label} (`) ? fileOf(acquiredAt) : acquiredAt;
}

/**
 * The transaction that it is held for, unless that is in what stands above it.
 *
 * @param {Holder} holder
 */
function transactionBeside(holder) {
  const { transaction, acquiredAt } = holder;
  if (transaction === undefined || acquiredAt?.includes(transaction)) return '';
  return nameOf(holder) === transaction ? 'its transaction' : `transaction of ${transaction}`;
}

/**
 * The stack, with the frames of dependencies and of Node receding behind the application's.
 *
 * @param {HTMLElement} element
 * @param {string} stack
 */
function showStack(element, stack) {
  const [, ...lines] = stack.split('\n').map((line) => line.trim());
  if (element.textContent === lines.join('\n')) return;
  element.replaceChildren(
    ...lines.flatMap((line, index) => {
      const foreign = line.includes('node_modules') || line.includes('node:');
      return [...(index === 0 ? [] : ['\n']), make('span', { class: foreign ? 'dependency' : 'own' }, line)];
    }),
  );
}
