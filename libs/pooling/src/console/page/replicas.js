import { FoldedList } from './folded-list.js';
import { behind, number } from './text.js';

/** @typedef {import('../../database/replicas/replica-statistics.js').ReplicasStatistics} ReplicasStatistics */
/** @typedef {import('../../database/replicas/replica-statistics.js').ReplicaStatistics} ReplicaStatistics */

/** The replicas of a database, folded away below where its reads went. */
export class Replicas {
  #list = new FoldedList('data-replicas');
  element = this.#list.element;

  /** @param {ReplicasStatistics | undefined} replicas */
  update(replicas) {
    if (replicas === undefined) return this.#list.hide();
    this.#list.show(
      summaryOf(replicas),
      replicas.states.map((replica) => [replica.host, textOf(replica)]),
    );
  }
}

/** @param {ReplicasStatistics} replicas */
function summaryOf({ reads, states }) {
  const fit = states.filter((replica) => replica.fit).length;
  const went = `${number(reads.replica)} from replicas, ${number(reads.waited)} after a wait, ${number(reads.primary)} from the primary`;
  return `Replicas: ${number(fit)} of ${number(states.length)} fit; reads: ${went}`;
}

/** @param {ReplicaStatistics} replica */
function textOf({ role, state, lagMs, lagBytes, fit, connections, inUse }) {
  const lag = lagMs === undefined ? '' : `, ${behind(lagMs, lagBytes)}`;
  const used = `${number(inUse)} of ${number(connections)} connections in use`;
  return `${state === 'up' ? (role ?? state) : state}${lag}${fit ? '' : ', not read from'}; ${used}`;
}
