import { FoldedList } from './folded-list.js';
import { number } from './text.js';

/** @typedef {import('../../database/hosts/host-statistics.js').HostsStatistics} HostsStatistics */
/** @typedef {import('../../database/hosts/host-statistics.js').HostStatistics} HostStatistics */

/** The hosts of a database, folded away below how often the one that takes writes has changed. */
export class Hosts {
  #list = new FoldedList('data-hosts');
  element = this.#list.element;

  /** @param {HostsStatistics | undefined} hosts */
  update(hosts) {
    if (hosts === undefined) return this.#list.hide();
    this.#list.show(
      summaryOf(hosts),
      hosts.states.map((host) => [host.host, textOf(host)]),
    );
  }
}

/** @param {HostsStatistics} hosts */
function summaryOf({ failovers, states }) {
  const used = states.filter(({ connections }) => connections > 0).map(({ host }) => host);
  const to = used.length === 0 ? 'none connected to' : `connected to ${used.join(', ')}`;
  return `Hosts: ${number(states.length)}, ${to}; ${number(failovers)} ${failovers === 1 ? 'fail-over' : 'fail-overs'}`;
}

/** @param {HostStatistics} host */
function textOf({ role, state, connections, supersededBy }) {
  const open = `${number(connections)} open`;
  if (supersededBy !== undefined) return `${role ?? state}, superseded by ${supersededBy}; ${open}`;
  return `${role ?? state}; ${open}`;
}
