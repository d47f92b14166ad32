import type { ConnectionSource, ConnectionTarget } from './connection-options.js';
import type { DatabaseOptions, ResolvedDatabaseOptions } from './database-options.js';
import { hostListProblems, nameOfHost, targetOf, type FindHosts, type HostTarget } from './host-options.js';
import type { TargetSessionAttrs } from './host-options.js';

/** The hosts of a database, and which roles are accepted. */
export interface ChosenHosts {
  readonly hosts: readonly HostTarget[];
  readonly findHosts: FindHosts | undefined;
  readonly targetSessionAttrs: TargetSessionAttrs;
  /** The first host, where only one is shown. */
  readonly target: ConnectionTarget;
}

/**
 * Merges the option `hosts` with the address.
 *
 * @param problems - an address that names another host is added here.
 */
export function chosenHosts(
  { hosts, targetSessionAttrs }: Pick<DatabaseOptions, 'hosts' | 'targetSessionAttrs'>,
  source: ConnectionSource,
  problems: string[],
): ChosenHosts {
  const findHosts = typeof hosts === 'function' ? hosts : undefined;
  const listed = Array.isArray(hosts) && hostListProblems('', hosts).length === 0 ? hosts.map(targetOf) : undefined;
  const chosen: readonly HostTarget[] = Object.freeze(listed ?? source.hosts);
  if (listed !== undefined && source.namesHost) {
    const names = listed.map(nameOfHost);
    const other = source.hosts.find((host) => !names.includes(nameOfHost(host)));
    if (other !== undefined) {
      const where = source.addressFrom === 'DATABASE_URL' ? 'DATABASE_URL' : 'the address';
      problems.push(
        `hosts: ${where} names ${nameOfHost(other)}, which is none of them; list all, or leave it out there`,
      );
    }
  }
  const { host, port } = chosen[0] as HostTarget;
  const several = chosen.length > 1 || findHosts !== undefined;
  return {
    hosts: chosen,
    findHosts,
    targetSessionAttrs: targetSessionAttrs ?? source.targetSessionAttrs ?? (several ? 'read-write' : 'any'),
    target: Object.freeze({ ...source.target, host, port }),
  };
}

/** What is wrong with a budget of several hosts: it counts on one server, and that is the one that takes writes. */
export function budgetProblems(
  { budget }: Pick<DatabaseOptions, 'budget'>,
  { hosts, findHosts, targetSessionAttrs }: ChosenHosts,
): string[] {
  const several = hosts.length > 1 || findHosts !== undefined;
  if (budget === undefined || !several) return [];
  if (targetSessionAttrs === 'read-write' || targetSessionAttrs === 'primary') return [];
  return [
    `budget: with several hosts and targetSessionAttrs '${targetSessionAttrs}' it would count on several servers; ` +
      `'read-write' or 'primary', or a pool for each server`,
  ];
}

type HostChoice = Pick<ResolvedDatabaseOptions, 'hosts' | 'findHosts' | 'targetSessionAttrs'>;

/** Whether a dial has to know its server's role, and that there is a server behind the login: there are several hosts, or not every role will do. */
export function judgesServer({ hosts, findHosts, targetSessionAttrs }: HostChoice): boolean {
  return hosts.length > 1 || findHosts !== undefined || targetSessionAttrs !== 'any';
}

/** Whether a pool dials by the list of its hosts: it judges their servers, or a host has an address beside its name. */
export function choosesHost(options: HostChoice): boolean {
  return judgesServer(options) || options.hosts[0]?.address !== undefined;
}
