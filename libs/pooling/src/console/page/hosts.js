import { make, setText } from './dom.js';
import { number } from './text.js';

/** @typedef {import('../../database/hosts/host-statistics.js').HostsStatistics} HostsStatistics */
/** @typedef {import('../../database/hosts/host-statistics.js').HostStatistics} HostStatistics */

/** The hosts of a database, folded away below how often the one that takes writes has changed. */
export class Hosts {
  /** @type {HTMLDetailsElement} */
  element;
  #summary = make('summary');
  #list = make('dl', { class: 'configuration' });
  #shown = '';

  constructor() {
    this.element = make('details', { class: 'fold', hidden: true, 'data-hosts': '' }, this.#summary, this.#list);
  }

  /** @param {HostsStatistics | undefined} hosts */
  update(hosts) {
    this.element.hidden = hosts === undefined;
    if (hosts === undefined) return;
    setText(this.#summary, summaryOf(hosts));
    const shown = JSON.stringify(hosts.states);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const rows = hosts.states.map((host) => make('div', {}, make('dt', {}, host.host), make('dd', {}, textOf(host))));
    this.#list.replaceChildren(...rows);
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
