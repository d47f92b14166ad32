import { make, setText } from './dom.js';
import { duration, number } from './text.js';

/** @typedef {import('../../database/replicas/replica-statistics.js').ReplicasStatistics} ReplicasStatistics */
/** @typedef {import('../../database/replicas/replica-statistics.js').ReplicaStatistics} ReplicaStatistics */

/** The replicas of a database, folded away below where its reads went. */
export class Replicas {
  /** @type {HTMLDetailsElement} */
  element;
  #summary = make('summary');
  #list = make('dl', { class: 'configuration' });
  #shown = '';

  constructor() {
    this.element = make('details', { class: 'fold', hidden: true, 'data-replicas': '' }, this.#summary, this.#list);
  }

  /** @param {ReplicasStatistics | undefined} replicas */
  update(replicas) {
    this.element.hidden = replicas === undefined;
    if (replicas === undefined) return;
    setText(this.#summary, summaryOf(replicas));
    const shown = JSON.stringify(replicas.states);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const rows = replicas.states.map((replica) =>
      make('div', {}, make('dt', {}, replica.host), make('dd', {}, textOf(replica))),
    );
    this.#list.replaceChildren(...rows);
  }
}

/** @param {ReplicasStatistics} replicas */
function summaryOf({ reads, states }) {
  const fit = states.filter((replica) => replica.fit).length;
  const went = `${number(reads.replica)} from replicas, ${number(reads.waited)} after a wait, ${number(reads.primary)} from the primary`;
  return `Replicas: ${number(fit)} of ${number(states.length)} fit; reads: ${went}`;
}

/** @param {ReplicaStatistics} replica */
function textOf({ role, state, lagMs, fit, connections, inUse }) {
  const lag = lagMs === undefined ? '' : `, ${duration(lagMs)} behind`;
  const used = `${number(inUse)} of ${number(connections)} connections in use`;
  return `${state === 'up' ? (role ?? state) : state}${lag}${fit ? '' : ', not read from'}; ${used}`;
}
