import { FoldedList } from './folded-list.js';
import { behind, number } from './text.js';

/** @typedef {import('../../database/hosts/host-statistics.js').HostsStatistics} HostsStatistics */
/** @typedef {import('../../database/hosts/host-statistics.js').HostStatistics} HostStatistics */
/** @typedef {import('../../database/replicas/replica-statistics.js').ReplicasStatistics} ReplicasStatistics */

/** The hosts of a database, folded away below how often the one that takes writes has changed. */
export class Hosts {
  #list = new FoldedList('data-hosts');
  element = this.#list.element;

  /**
   * @param {HostsStatistics | undefined} hosts
   * @param {ReplicasStatistics | undefined} replicas by which it is known how far behind hosts are
   */
  update(hosts, replicas) {
    if (hosts === undefined) return this.#list.hide();
    const lags = lagsOf(replicas);
    this.#list.show(
      summaryOf(hosts),
      hosts.states.map((host) => [host.host, textOf(host, lags.get(host.host))]),
    );
  }
}

/** @param {HostsStatistics} hosts */
function summaryOf({ failovers, states }) {
  const used = states.filter(({ connections }) => connections > 0).map(({ host }) => host);
  const to = used.length === 0 ? 'none connected to' : `connected to ${used.join(', ')}`;
  return `Hosts: ${number(states.length)}, ${to}; ${number(failovers)} ${failovers === 1 ? 'fail-over' : 'fail-overs'}`;
}

/**
 * How far behind each host is, in words.
 *
 * @param {ReplicasStatistics | undefined} replicas
 * @returns {ReadonlyMap<string, string>}
 */
function lagsOf(replicas) {
  const lags = new Map();
  for (const { host, lagMs, lagBytes } of replicas?.states ?? []) {
    if (lagMs !== undefined) lags.set(host, behind(lagMs, lagBytes));
  }
  return lags;
}

/**
 * @param {HostStatistics} host
 * @param {string | undefined} lag
 */
function textOf({ role, state, connections, supersededBy }, lag) {
  const open = `${number(connections)} open`;
  if (supersededBy !== undefined) return `${role ?? state}, superseded by ${supersededBy}; ${open}`;
  return `${role ?? state}${lag === undefined ? '' : `, ${lag}`}; ${open}`;
}
