import type { Clock } from '../../core/clock.js';
import { Connection } from './connection.js';
import type { HttpEvents } from './events.js';
import { IdleConnections } from './idle-connections.js';
import type { Limits } from './limits.js';
import type { ResolvedHttpClientOptions } from '../options.js';
import type { Borrower, Origin, OriginConnection } from './origin.js';
import type { HttpSocket } from './socket.js';
import type { HttpCloseReason } from './statistics.js';

/** A socket's age limit varies by this share either way, so that those opened together don't end together. */
const AGE_JITTER = 0.1;

/** What connections need of the pool. */
export interface ConnectionsDependencies {
  readonly options: ResolvedHttpClientOptions;
  readonly clock: Clock;
  readonly events: HttpEvents;
  readonly random: () => number;
}

/** Every open connection, the idle ones among them. All of a connection's states but `leaving` are set here. */
export class Connections {
  readonly #options: ResolvedHttpClientOptions;
  readonly #clock: Clock;
  readonly #events: HttpEvents;
  readonly #random: () => number;
  readonly #limits: Limits;
  readonly #closed: (origin: Origin) => void;
  readonly #idle: IdleConnections;
  readonly #connections = new Set<OriginConnection>();

  /** `closed` is called when a socket was given back to the limits. */
  constructor(dependencies: ConnectionsDependencies, limits: Limits, closed: (origin: Origin) => void) {
    const { options, clock, events, random } = dependencies;
    this.#options = options;
    this.#clock = clock;
    this.#events = events;
    this.#random = random;
    this.#limits = limits;
    this.#closed = closed;
    this.#idle = new IdleConnections(clock, (connection, reason) => this.close(connection, reason));
  }

  /** The connections that carry exchanges now. */
  *busy(): IterableIterator<OriginConnection> {
    for (const connection of this.#connections) if (connection.leases > 0) yield connection;
  }

  /** Takes a new socket in. Its connection is `leased`, by nobody yet: the place of its dial is its own. */
  open(origin: Origin, socket: HttpSocket, startedAt: number): OriginConnection {
    const { maxSocketAgeMs, keepAliveMs } = this.#options;
    const now = this.#clock.now();
    const age = maxSocketAgeMs * (1 - AGE_JITTER + 2 * AGE_JITTER * this.#random());
    const expiresAt = maxSocketAgeMs === 0 ? Infinity : now + age;
    const connection = new Connection(origin, socket, now, expiresAt, keepAliveMs);
    this.#connections.add(connection);
    this.#limits.connected(connection);
    origin.counters.opened++;
    origin.version = connection.multiplexes ? 'h2' : 'h1';
    if (connection.multiplexes) origin.shared.add(connection);
    this.#events.connected(origin, now - startedAt);
    socket.once('close', () => this.close(connection, 'peer'));
    return connection;
  }

  /** The connection to an origin that an exchange may use now, within the limits. */
  available(origin: Origin, now: number): OriginConnection | undefined {
    for (const connection of origin.shared) {
      if (connection.leases < connection.capacity && connection.usable(now)) return connection;
    }
    if (!this.#limits.hasPlace(origin)) return undefined;
    for (let connection = origin.idle.at(-1); connection !== undefined; connection = origin.idle.at(-1)) {
      if (connection.usable(now)) return connection;
      this.close(connection, now >= connection.expiresAt ? 'age' : 'idle');
    }
    return undefined;
  }

  /** Gives a connection to an exchange, or to one more of those who share it. */
  lease(connection: OriginConnection, exchange: Borrower): void {
    if (connection.state === 'idle') {
      this.#idle.remove(connection);
      connection.state = 'leased';
      this.#limits.take(connection.origin);
      if (connection.multiplexes) connection.origin.shared.add(connection);
    }
    connection.lease(exchange);
  }

  /** No exchange is on it any more: its place is free, and it idles unless it is gone. */
  park(connection: OriginConnection): void {
    const { origin } = connection;
    if (connection.multiplexes) origin.shared.delete(connection);
    this.#limits.free(origin);
    if (connection.state === 'gone') return;
    connection.state = 'idle';
    this.#idle.keep(connection);
  }

  /** Removes a connection from all lists and closes it. Exchanges on it still give it back. */
  close(connection: OriginConnection, reason: HttpCloseReason): void {
    if (connection.state === 'gone') return;
    connection.state = 'gone';
    const { origin } = connection;
    this.#idle.remove(connection);
    this.#connections.delete(connection);
    origin.counters.closed[reason]++;
    this.#events.closed(origin, reason, this.#clock.now() - connection.openedAt);
    this.#limits.closed(connection);
    if (!connection.socket.destroyed) connection.destroy(null);
    this.#closed(origin);
  }

  /** Closes the connection of another origin that has idled longest; returns whether there was one. */
  evict(origin: Origin): boolean {
    const idle = this.#idle.longestOfOther(origin);
    if (idle !== undefined) this.close(idle, 'evicted');
    return idle !== undefined;
  }

  /** A kept connection was dead: closes those that have idled as long or longer, because they probably are dead as well. */
  suspect({ origin, idleSince }: OriginConnection): void {
    for (const idle of origin.idle.slice()) if (idle.idleSince <= idleSince) this.close(idle, 'stale');
  }

  /** Closes every idle connection. */
  closeIdle(): void {
    for (const connection of this.#idle) this.close(connection, 'shutdown');
  }

  /** Closes every connection; the exchanges on them fail with `error`. */
  destroy(error: Error): void {
    for (const connection of this.#connections) {
      for (const exchange of connection.exchanges) exchange.fail(error);
      this.close(connection, 'shutdown');
    }
  }

  /** Leaves no timer behind. */
  stop(): void {
    this.#idle.stop();
  }
}
