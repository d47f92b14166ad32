import { make } from './dom.js';

/**
 * @typedef {object} Step a step of a plan
 * @property {string} what
 * @property {string} cost
 * @property {string[]} conditions
 * @property {Step[]} inputs the steps whose rows it takes
 */

/** `  → Seq Scan on orders (cost 155, 9000 rows)` */
const STEP = /^( *)→ (.*) \(cost (\S+), (\S+) rows\)$/;

/**
 * The steps of a plan that was written line by line, each under the one that takes its rows.
 *
 * @param {string} plan
 * @returns {Step[]}
 */
function stepsOf(plan) {
  /** @type {Step[]} */
  const roots = [];
  /** @type {Step[]} */
  const path = [];
  for (const line of plan.split('\n')) {
    const [, indent, what, cost, rows] = STEP.exec(line) ?? [];
    if (indent === undefined || what === undefined) {
      path.at(-1)?.conditions.push(line.trim());
      continue;
    }
    /** @type {Step} */
    const step = { what, cost: `cost ${cost}, ${rows} rows`, conditions: [], inputs: [] };
    path.length = Math.min(path.length, indent.length / 2);
    (path.at(-1)?.inputs ?? roots).push(step);
    path.push(step);
  }
  return roots;
}

/** @param {Step} step @returns {HTMLLIElement} */
function itemOf({ what, cost, conditions, inputs }) {
  return make(
    'li',
    {},
    make('b', {}, what),
    ' ',
    make('span', { class: 'cost' }, cost),
    ...conditions.map((condition) => make('code', {}, condition)),
    ...(inputs.length === 0 ? [] : [make('ul', {}, ...inputs.map(itemOf))]),
  );
}

/**
 * A plan as a tree.
 *
 * @param {string} plan
 */
export function planTree(plan) {
  return make('ul', { class: 'plan' }, ...stepsOf(plan).map(itemOf));
}
