import { make, setText } from './dom.js';
import { number } from './text.js';

/** @typedef {import('../../database/fleet/fleet-member.js').FleetStatistics} FleetStatistics */
/** @typedef {import('../../database/fleet/fleet-member.js').FleetProcess} FleetProcess */

/** More processes than these aren't listed. */
const MOST_LISTED = 200;

/** The processes that share a budget of connections, folded away below what they have together. */
export class Fleet {
  /** @type {HTMLDetailsElement} */
  element;
  #summary = make('summary');
  #list = make('dl', { class: 'configuration' });
  /** @type {readonly FleetProcess[]} */
  #shown = [];

  constructor() {
    this.element = make('details', { class: 'fold', hidden: true, 'data-fleet': '' }, this.#summary, this.#list);
  }

  /** @param {FleetStatistics | undefined} fleet */
  update(fleet) {
    this.element.hidden = fleet === undefined;
    if (fleet === undefined) return;
    setText(this.#summary, summaryOf(fleet));
    const { members } = fleet;
    if (members === this.#shown || JSON.stringify(members) === JSON.stringify(this.#shown)) return;
    this.#shown = members;
    const rows = members
      .slice(0, MOST_LISTED)
      .map((member) =>
        make('div', {}, make('dt', {}, member.id === fleet.id ? `${member.id} (this one)` : member.id), textOf(member)),
      );
    this.#list.replaceChildren(...rows);
  }
}

/** @param {FleetStatistics} fleet */
function summaryOf({ state, reason, budget, id, ceiling, processes, connections }) {
  if (state === 'off') return `Budget of ${number(budget)} connections: off, ${reason}`;
  if (state === 'starting')
    return `Budget of ${number(budget)} connections: this process (${id}) begins with ${ceiling}`;
  return (
    `Budget: ${number(connections)} of ${number(budget)} connections, ` +
    `${number(processes)} ${processes === 1 ? 'process' : 'processes'}; this one (${id}) may have ${number(ceiling)}`
  );
}

/** @param {FleetProcess} member */
function textOf({ connections, held, wanted }) {
  const wants = wanted === undefined ? '' : `, wants ${number(wanted)}`;
  return make('dd', {}, `${number(connections)} open, holds ${number(held)}${wants}`);
}
