import type { ClientConfig } from 'pg';
import type { Clock } from '../../core/clock.js';
import type { ResolvedDatabaseOptions } from '../options/options.js';
import type { HostTarget } from '../options/host-options.js';
import { AddressedSocket } from './addresses.js';
import { HostDialling, type HostConnection } from './host-dialling.js';
import { fitOf, type ServerFacts } from './server-facts.js';
import { WantedRole, type JudgedConnection } from './wanted-role.js';

/** A connection to one of several hosts. */
export interface HostedConnection extends HostConnection, JudgedConnection {
  readonly hostTarget: HostTarget | undefined;
}

/** What the hosts of a pool need of it. */
export interface PoolHostsHost {
  readonly clock: Clock;
  /** 0 ≤ number < 1; for the order of hosts. */
  readonly random: () => number;
  /** Every connection is checked before it is leased again. */
  suspectAll(): void;
}

/** The hosts of one pool: how they are dialled, what is known of them, and which connections have to go. */
export class PoolHosts<Connection extends HostedConnection> {
  readonly dialling: HostDialling<Connection>;
  readonly role: WantedRole<Connection>;
  readonly #options: ResolvedDatabaseOptions;
  readonly #host: PoolHostsHost;
  /** Whether the user's own settings make sessions read-only: then that they are says nothing. */
  readonly #ownReadOnly: boolean;
  #suspicions = 0;

  constructor(options: ResolvedDatabaseOptions, host: PoolHostsHost) {
    this.#options = options;
    this.#host = host;
    this.#ownReadOnly = Object.keys(options.session).some((name) => /^default_transaction_read_only$/i.test(name));
    this.dialling = new HostDialling(host.clock, options, host.random);
    this.role = new WantedRole<Connection>(options.targetSessionAttrs, {
      noneFits: () => this.dialling.noneFits,
      suspicions: () => this.#suspicions,
      changed: (connection, facts) => this.#changed(connection, facts),
    });
  }

  /** How to reach one address of a host: pg knows the host by its name, which its certificate and password are for. */
  configOf({ host, port }: HostTarget, address: string | undefined): ClientConfig {
    const { clientConfig } = this.#options;
    const own = address === undefined || clientConfig.stream !== undefined;
    return { ...clientConfig, host, port, ...(own ? undefined : { stream: () => new AddressedSocket(address) }) };
  }

  /** A connection has been chosen. */
  chosen(connection: Connection): void {
    connection.told.changed = (standby) => this.#told(connection, standby);
  }

  /** A connection has died by itself: its host may have, too. */
  lost(): void {
    this.dialling.suspectHosts();
  }

  /** A server tells that it has changed: where it isn't what is wanted any more, it is asked when the connection is given back. */
  #told(connection: Connection, standby: boolean): void {
    if (!standby && this.#ownReadOnly) return;
    const { facts, hostTarget, role } = connection;
    if (standby && hostTarget !== undefined) this.dialling.states.told(hostTarget, facts);
    if (fitOf(this.#options.targetSessionAttrs, facts) === 'none') role.refusedWrite = true;
  }

  #changed({ hostTarget }: Connection, facts: ServerFacts): void {
    if (hostTarget !== undefined) this.dialling.states.told(hostTarget, facts);
    if (this.dialling.suspect) return;
    this.#suspicions++;
    this.dialling.suspectHosts();
    this.#host.suspectAll();
  }
}
