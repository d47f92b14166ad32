import { FoldedList } from './folded-list.js';
import { number } from './text.js';

/** @typedef {import('../../database/fleet/fleet-member.js').FleetStatistics} FleetStatistics */
/** @typedef {import('../../database/fleet/fleet-member.js').FleetProcess} FleetProcess */

/** More processes than these aren't listed. */
const MOST_LISTED = 200;

/** The processes that share a budget of connections, folded away below what they have together. */
export class Fleet {
  #list = new FoldedList('data-fleet');
  element = this.#list.element;

  /** @param {FleetStatistics | undefined} fleet */
  update(fleet) {
    if (fleet === undefined) return this.#list.hide();
    const { id, members } = fleet;
    this.#list.show(
      summaryOf(fleet),
      members
        .slice(0, MOST_LISTED)
        .map((member) => [member.id === id ? `${id} (this one)` : member.id, textOf(member)]),
    );
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
  return `${number(connections)} open, holds ${number(held)}${wants}`;
}
