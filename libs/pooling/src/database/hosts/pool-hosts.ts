import type { ClientConfig } from 'pg';
import type { Clock } from '../../core/clock.js';
import type { ResolvedDatabaseOptions } from '../options/options.js';
import { nameOfHost, type HostTarget } from '../options/host-options.js';
import { AddressedSocket } from './addresses.js';
import { HostDialling, type DialAddress, type HostConnection } from './host-dialling.js';
import { HostsLook } from './hosts-look.js';
import { isRefusedWrite } from './connection-role.js';
import type { HostsStatistics, HostStatistics } from './host-statistics.js';
import { fitOf, wantsWrites, type Fit, type ServerFacts } from './server-facts.js';
import { branchOf, successionOf, type Primary } from './rival-primaries.js';
import { WantedRole, type JudgedConnection } from './wanted-role.js';

/** How long a server that has refused a write may take to report its role, in milliseconds. */
const ANSWER_WITHIN_MS = 5_000;

function isSame(one: HostTarget, other: HostTarget): boolean {
  return one.host === other.host && one.port === other.port;
}

function stateOf(known: ServerFacts | 'dead' | undefined): Pick<HostStatistics, 'role' | 'state'> {
  if (known === undefined) return { role: undefined, state: 'unknown' };
  if (known === 'dead') return { role: undefined, state: 'down' };
  return { role: known.standby ? 'standby' : 'primary', state: 'up' };
}

/** A connection to one of several hosts. */
export interface HostedConnection extends HostConnection, JudgedConnection {
  readonly hostTarget: HostTarget | undefined;
}

/** What the hosts of a pool need of it. */
export interface PoolHostsHost<Connection> {
  readonly clock: Clock;
  /** 0 ≤ number < 1; for the order of hosts. */
  readonly random: () => number;
  /** Every connection is checked before it is leased again. */
  suspectAll(): void;
  /** The host that takes writes is another one than before. */
  failedOver(): void;
  /** Replaces up to `most` of the chosen connections when they are next idle. */
  replace(chosen: (connection: Connection) => boolean, most: number): void;
}

/** The hosts of one pool: how they are dialled, what is known of them, and which connections have to go. */
export class PoolHosts<Connection extends HostedConnection> {
  readonly dialling: HostDialling<Connection>;
  readonly role: WantedRole<Connection>;
  readonly #options: ResolvedDatabaseOptions;
  readonly #host: PoolHostsHost<Connection>;
  readonly #open = new Set<Connection>();
  /** Whether several hosts may take writes at the same time. */
  readonly #watchesRivals: boolean;
  /** Whether the hosts are looked at from time to time: for rivals, for a better choice, or for those that come and go. */
  readonly #looks: boolean;
  readonly #look: HostsLook;
  #dial: DialAddress<Connection> | undefined = undefined;
  #suspicions = 0;
  #failovers = 0;
  /** The host that took writes last. */
  #writable: HostTarget | undefined = undefined;

  constructor(options: ResolvedDatabaseOptions, host: PoolHostsHost<Connection>) {
    this.#options = options;
    this.#host = host;
    const { targetSessionAttrs, hosts, hostRecheckMs, findHosts } = options;
    this.#watchesRivals = wantsWrites(targetSessionAttrs) && (hosts.length > 1 || findHosts !== undefined);
    this.#looks = this.#watchesRivals || findHosts !== undefined || targetSessionAttrs.startsWith('prefer-');
    this.#look = new HostsLook(host.clock, hostRecheckMs, () => this.#lookAgain());
    this.dialling = new HostDialling(host.clock, options, host.random, (target) => this.#isInUse(target));
    this.role = new WantedRole<Connection>(options.targetSessionAttrs, {
      clock: host.clock,
      recheckMs: hostRecheckMs,
      noneFits: () => this.dialling.noneFits,
      suspicions: () => this.#suspicions,
      changed: (connection, facts) => this.#changed(connection, facts),
    });
  }

  /** The settings for one address of a host; pg still gets the name, for certificate and password. */
  configOf({ host, port }: HostTarget, address: string | undefined): ClientConfig {
    const { clientConfig } = this.#options;
    const own = address === undefined || clientConfig.stream !== undefined;
    return { ...clientConfig, host, port, ...(own ? undefined : { stream: () => new AddressedSocket(address) }) };
  }

  /** A dial has chosen a connection; later looks dial in the same way. */
  chosen(connection: Connection, dial: DialAddress<Connection>): void {
    connection.told.changed = (standby) => this.#told(connection, standby);
    this.#dial = dial;
    this.#open.add(connection);
    if (this.#looks || this.#mustBeAsked(connection)) this.#look.start();
    this.#noteWritable(connection);
  }

  /** The host of the newest connection; without one, the first host. */
  get present(): HostTarget {
    return [...this.#open].at(-1)?.hostTarget ?? (this.dialling.hosts[0] as HostTarget);
  }

  /** What is known of the hosts. */
  statistics(): HostsStatistics {
    const connections = new Map<string, number>();
    for (const { hostTarget } of this.#open) {
      const name = nameOfHost(hostTarget as HostTarget);
      connections.set(name, (connections.get(name) ?? 0) + 1);
    }
    return {
      failovers: this.#failovers,
      states: this.dialling.hosts.map((target) => {
        const host = nameOfHost(target);
        const supersededBy = this.dialling.states.supersededBy(target);
        return {
          host,
          ...stateOf(this.#lastKnown(target)),
          connections: connections.get(host) ?? 0,
          ...(supersededBy === undefined ? undefined : { supersededBy }),
        };
      }),
    };
  }

  /** The facts of an open connection are newer than those of the last dial. */
  #lastKnown(host: HostTarget): ServerFacts | 'dead' | undefined {
    const open = [...this.#open].findLast(({ hostTarget }) => hostTarget !== undefined && isSame(hostTarget, host));
    return open?.facts ?? this.dialling.states.of(host);
  }

  #noteWritable({ facts, hostTarget }: Connection): void {
    if (facts.readOnly || hostTarget === undefined || !wantsWrites(this.#options.targetSessionAttrs)) return;
    const before = this.#writable;
    this.#writable = hostTarget;
    if (before === undefined || isSame(before, hostTarget)) return;
    this.#failovers++;
    this.#host.failedOver();
    // The one before may be back, without a fence.
    this.#look.now();
  }

  /** Whether a connection goes to the host that took writes last, and takes them still by what it has told. */
  isPresent({ facts, hostTarget }: Connection): boolean {
    if (this.#writable === undefined || hostTarget === undefined) return true;
    return isSame(this.#writable, hostTarget) && this.#fit(facts) === 'first';
  }

  /** A connection is closed. */
  removed(connection: Connection): void {
    this.#open.delete(connection);
    if (this.#open.size === 0) this.#look.stop();
  }

  /** Replaces a few connections to hosts that were removed from the list, or to the second choice when a first one is back. */
  async #lookAgain(): Promise<void> {
    const { maxConnecting } = this.#options;
    const hosts = await this.dialling.hostsNow().catch(() => this.dialling.hosts);
    const names = new Set(hosts.map(nameOfHost));
    const isGone = ({ hostTarget }: Connection): boolean =>
      hostTarget !== undefined && !names.has(nameOfHost(hostTarget));
    const isSecond = ({ facts }: Connection): boolean => this.#fit(facts) === 'second';
    if ([...this.#open].some(isGone)) return this.#host.replace(isGone, maxConnecting);
    if (this.#dial === undefined) return;
    await this.#askSilent(this.#dial);
    if (this.#watchesRivals) await this.#lookForRivals(this.#dial, hosts);
    if (![...this.#open].some(isSecond)) return;
    if (await this.dialling.lookForFirst(this.#dial)) this.#host.replace(isSecond, maxConnecting);
  }

  /** Whether a server doesn't report its role, and the pool wants to know it. */
  #mustBeAsked({ told }: Connection): boolean {
    return !told.speaks && this.#options.targetSessionAttrs !== 'any';
  }

  /** The connections to a host whose server doesn't report its role. */
  #silentOf(host: HostTarget): Connection[] {
    return [...this.#open].filter(
      ({ hostTarget, told }) => !told.speaks && hostTarget !== undefined && isSame(hostTarget, host),
    );
  }

  /** A host has another role: its connections that don't hear of it ask when they are given back. */
  #doubt(host: HostTarget): void {
    for (const { role } of this.#silentOf(host)) role.toBeAsked = true;
  }

  /** Asks hosts in use whose servers don't report their roles: busy connections may never be asked. */
  async #askSilent(dial: DialAddress<Connection>): Promise<void> {
    const silent = new Map<string, HostTarget>();
    for (const connection of this.#open) {
      const { hostTarget } = connection;
      if (hostTarget !== undefined && this.#mustBeAsked(connection)) silent.set(nameOfHost(hostTarget), hostTarget);
    }
    const ask = async (host: HostTarget): Promise<void> => {
      const facts = await this.dialling.factsOf(host, dial);
      if (facts === undefined) return;
      for (const { told } of this.#silentOf(host)) told.answered(facts);
      if (this.#fit(facts) !== 'none') return;
      this.#doubt(host);
      this.#suspect();
    };
    await Promise.all([...silent.values()].map(ask));
  }

  /** Asks every other host whether it takes writes as well, and leaves the present one where it was left behind. */
  async #lookForRivals(dial: DialAddress<Connection>, hosts: readonly HostTarget[]): Promise<void> {
    const present = this.#writable;
    if (present === undefined) return;
    const ask = async (host: HostTarget): Promise<Primary | undefined> => {
      const branch = await this.dialling.visit(host, dial, branchOf);
      return branch && { host, branch };
    };
    const asked = await Promise.all(hosts.filter((host) => !isSame(host, present)).map(ask));
    const others = asked.filter((each) => each !== undefined);
    if (others.length === 0) return this.dialling.states.supersede([], present);
    const own = await ask(present);
    // One that is away for a moment hasn't lost its place; what is known isn't believed for ever.
    if (own === undefined) return;
    const { newest, superseded } = successionOf(own, others);
    this.dialling.states.supersede(superseded, newest);
    if (!superseded.includes(present)) return;
    this.dialling.suspectHosts();
    this.#host.replace(({ hostTarget }) => hostTarget !== undefined && isSame(hostTarget, present), Infinity);
  }

  /** Whether there are connections to a host and it fits: while there are, it is dialled first. */
  #isInUse(host: HostTarget): boolean {
    for (const { facts, hostTarget, role } of this.#open) {
      const fits = !role.toBeAsked && this.#fit(facts) === 'first';
      if (fits && hostTarget !== undefined && isSame(hostTarget, host)) return true;
    }
    return false;
  }

  #fit(facts: ServerFacts): Fit {
    return fitOf(this.#options.targetSessionAttrs, facts);
  }

  /** Whether an error may mean that the server has another role by now, so that the statement can run elsewhere. */
  mayHaveMoved(error: Error): boolean {
    return isRefusedWrite(error) && wantsWrites(this.#options.targetSessionAttrs);
  }

  /** Asks a server that has refused a write whether its role has changed. `true` also where it is lost, or silent for seconds. */
  async moved(connection: Connection): Promise<boolean> {
    const { clock } = this.#host;
    return new Promise((resolve) => {
      const timer = clock.setTimeout(() => resolve(true), ANSWER_WITHIN_MS);
      const settle = (fits: boolean): void => {
        clock.clearTimeout(timer);
        resolve(!fits);
      };
      this.role.ask(connection).then(settle, () => settle(false));
    });
  }

  /** A connection has died by itself: its host may be down. */
  lost(): void {
    this.dialling.suspectHosts();
  }

  /** A server reports a new role. Where it doesn't fit any more, the connection asks for the role when it is given back. */
  #told(connection: Connection, standby: boolean): void {
    const { facts, hostTarget, role } = connection;
    if (standby && hostTarget !== undefined) this.dialling.states.told(hostTarget, facts);
    if (this.#fit(facts) !== 'none') return;
    role.toBeAsked = true;
    this.#host.suspectAll();
  }

  #changed({ hostTarget }: Connection, facts: ServerFacts): void {
    if (hostTarget !== undefined) {
      this.dialling.states.told(hostTarget, facts);
      this.#doubt(hostTarget);
    }
    if (!this.dialling.suspect) this.#suspect();
  }

  /** Servers may have changed their roles: connections are checked before they are used, and the next dial asks all hosts. */
  #suspect(): void {
    this.#suspicions++;
    this.dialling.suspectHosts();
    this.#host.suspectAll();
  }
}
