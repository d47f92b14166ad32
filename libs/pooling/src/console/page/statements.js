import { keepInStep, make, setAttribute, setText } from './dom.js';
import { planTree } from './plan.js';
import { duration, number } from './text.js';

/** @typedef {import('../../database/query/statement-tally.js').StatementList} StatementList */
/** @typedef {import('../../database/query/statement-figures.js').StatementTotals} StatementTotals */

/** @typedef {StatementTotals & { text: string, handler?: string | undefined, plan?: string | undefined }} Line */

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {(line: Line) => string} textOf
 * @property {(line: Line) => number} [amountOf] what it is sorted by, most first; left out: by its text
 */

/** @type {readonly Column[]} */
const COLUMNS = [
  { title: 'Handler', textOf: ({ handler }) => handler ?? '–' },
  { title: 'Count', textOf: countOf, amountOf: ({ count }) => count },
  { title: 'Total', textOf: (line) => timeOf(line, line.totalMs), amountOf: ({ totalMs }) => totalMs },
  { title: 'p99', textOf: (line) => timeOf(line, line.p99Ms), amountOf: ({ p99Ms }) => p99Ms },
  {
    title: 'Rows',
    textOf: ({ count, rows, runs }) => (count === runs.streamed ? '–' : number(rows)),
    amountOf: ({ rows }) => rows,
  },
  { title: 'Plan', textOf: planKind },
];
const HANDLER = 0;
const TOTAL = 2;

/** @param {Line} line */
function countOf({ count, failed }) {
  return failed === 0 ? number(count) : `${number(count)} (${number(failed)} failed)`;
}

/** What is streamed takes the time of whoever reads it. @param {Line} line @param {number} ms */
function timeOf({ count, runs }, ms) {
  return count === runs.streamed ? '–' : duration(ms);
}

/** What most runs had, first. @param {Line} line */
function planKind({ count, runs }) {
  /** @type {readonly (readonly [string, number])[]} */
  const kinds = [
    ['generic', runs.generic],
    ['custom', runs.custom],
    ['not prepared', runs.unprepared],
    ['streamed', runs.streamed],
  ];
  const found = kinds
    .map(([kind, runsOf]) => /** @type {const} */ ([kind, Math.round((100 * runsOf) / count)]))
    .filter(([, percent]) => percent > 0)
    .toSorted(([, one], [, other]) => other - one);
  if (found.length === 1) return found[0]?.[0] ?? '';
  return found.map(([kind, percent]) => `${kind} ${percent}%`).join(', ');
}

/** @param {StatementList} list @param {boolean} byHandler @returns {Line[]} */
function linesOf({ statements }, byHandler) {
  return statements.flatMap(({ handlers, ...statement }) => {
    const names = handlers.map(({ handler }) => handler ?? 'none');
    if (byHandler && handlers.length > 0) return handlers.map((each) => ({ ...statement, ...each }));
    return [{ ...statement, handler: names.length > 1 ? `${names[0]}, ${names.length - 1} more` : names[0] }];
  });
}

/** The statements of the last minutes: how often they were run, for how long, and how they were planned. */
export class Statements {
  /** @type {HTMLElement} */
  element;
  #body = make('tbody');
  #summary = make('p', { class: 'empty' });
  #byHandler = make('input', { type: 'checkbox', change: () => this.#draw() });
  /** @type {readonly HTMLElement[]} */
  #heads;
  #sortedBy = TOTAL;
  /** @type {StatementList | undefined} */
  #list;
  /** @type {Map<string, HTMLTableRowElement>} */
  #rows = new Map();

  /** @param {string} pool */
  constructor(pool) {
    this.#heads = COLUMNS.map(({ title }, index) =>
      make(
        'th',
        { scope: 'col', 'data-column': title },
        make('button', { type: 'button', click: () => this.#sort(index) }, title),
      ),
    );
    const head = make('tr', {}, make('th', { scope: 'col' }, 'Statement'), ...this.#heads);
    this.element = make(
      'div',
      { class: 'statements', hidden: true, 'data-statements': '' },
      make(
        'div',
        { class: 'head' },
        make('h3', {}, 'Statements'),
        make('label', { class: 'choice' }, this.#byHandler, 'each handler by itself'),
      ),
      make(
        'div',
        { class: 'scroll', role: 'region', 'aria-label': `Statements of ${pool}`, tabindex: '0' },
        make('table', { class: 'sortable' }, make('thead', {}, head), this.#body),
      ),
      this.#summary,
    );
  }

  /** @param {StatementList | undefined} list left out: it hasn't changed, or there is none */
  update(list) {
    if (list === undefined) return;
    this.#list = list;
    this.element.hidden = false;
    this.#draw();
  }

  /** @param {number} index */
  #sort(index) {
    this.#sortedBy = index;
    this.#draw();
  }

  #draw() {
    const list = this.#list;
    if (list === undefined) return;
    for (const [index, head] of this.#heads.entries()) {
      const order = COLUMNS[index]?.amountOf === undefined ? 'ascending' : 'descending';
      setAttribute(head, 'aria-sort', index === this.#sortedBy ? order : undefined);
    }
    this.element.toggleAttribute(
      'data-handlers',
      list.statements.some(({ handlers }) => handlers.length > 0),
    );
    const lines = linesOf(list, this.#byHandler.checked).toSorted(orderBy(this.#sortedBy));
    setText(this.#summary, summaryOf(list));
    keepInStep(
      this.#body,
      this.#rows,
      lines,
      ({ text, handler }) => `${this.#byHandler.checked ? (handler ?? '') : ''} ${text}`,
      ({ text }) => create(text),
      show,
    );
  }
}

/** @param {number} index @returns {(one: Line, other: Line) => number} */
function orderBy(index) {
  const { textOf, amountOf } = /** @type {Column} */ (COLUMNS[index]);
  if (amountOf === undefined) return (one, other) => textOf(one).localeCompare(textOf(other));
  return (one, other) => amountOf(other) - amountOf(one);
}

/** @param {string} text */
function create(text) {
  return make(
    'tr',
    {},
    make('th', { scope: 'row' }, make('code', {}, text)),
    ...COLUMNS.map(({ title }) => make('td', { 'data-column': title })),
  );
}

/** @param {HTMLTableRowElement} row @param {Line} line */
function show(row, line) {
  for (const [index, { textOf }] of COLUMNS.entries()) {
    setText(/** @type {Element} */ (row.children[index + 1]), textOf(line));
  }
  setAttribute(/** @type {Element} */ (row.children[HANDLER + 1]), 'title', line.handler);
  showPlan(/** @type {Element} */ (row.children[0]), line.plan);
}

/** @param {Element} cell @param {string | undefined} plan */
function showPlan(cell, plan) {
  const shown = /** @type {HTMLDetailsElement | null} */ (cell.querySelector('details'));
  if (plan === undefined || shown?.dataset['plan'] === plan) return;
  const details = make('details', {}, make('summary', {}, 'Plan, for any values'), planTree(plan));
  details.dataset['plan'] = plan;
  details.open = shown?.open === true;
  if (shown === null) cell.append(details);
  else shown.replaceWith(details);
}

/** @param {StatementList} list */
function summaryOf({ coveredMs, statements, known }) {
  const minutes = Math.max(1, Math.round(coveredMs / 60_000));
  const time = minutes === 1 ? 'the last minute' : `the last ${minutes} minutes`;
  if (known === 0) return `None in ${time}.`;
  const all =
    known > statements.length ? `The ${statements.length} of ${number(known)} that took most time in all` : 'All';
  return `${all}, in ${time}.`;
}
