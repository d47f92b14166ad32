import type { PoolClosedError } from '../../core/errors.js';
import { Connections, type ConnectionsDependencies } from './connections.js';
import { Dials, type DialsDependencies } from './dials.js';
import { Limits } from './limits.js';
import type { Borrower, Origin, OriginConnection } from './origin.js';
import { Origins } from './origins.js';
import { closedError, describeLoad, queueFullError } from './refusals.js';
import type { HttpSocket } from './socket.js';
import type { CountersByOrigin, HttpCloseReason } from './statistics.js';

/** What an HTTP pool takes. */
export interface HttpPoolDependencies extends DialsDependencies, ConnectionsDependencies {
  readonly name: string;
  readonly counters: CountersByOrigin;
}

/**
 * `running` → `draining`: still serves, idle connections were closed ahead of the end → `closing`: takes no new
 * exchange, those under way may end → `closed`: nothing is left. `draining` may be left out.
 */
export type HttpPoolState = 'running' | 'draining' | 'closing' | 'closed';

/**
 * The HTTP pool: hosts, limits, sockets. An exchange gets a connection at once where the limits allow it and one
 * idles; otherwise it waits, first come first served within its origin, and the origins are served in turn. An exchange
 * that waits for a dial takes whichever comes first, the new connection or one that was given back (Go's
 * `http.Transport` does the same).
 */
export class HttpPool {
  readonly #dependencies: HttpPoolDependencies;
  /** What is known of each origin. */
  readonly origins: Origins;
  readonly connections: Connections;
  readonly dials: Dials;
  readonly #limits: Limits;
  #state: HttpPoolState = 'running';
  #pumpScheduled = false;

  constructor(dependencies: HttpPoolDependencies) {
    this.#dependencies = dependencies;
    this.origins = new Origins(dependencies.counters);
    this.#limits = new Limits(dependencies.options);
    this.connections = new Connections(dependencies, this.#limits, (origin) => this.#connectionClosed(origin));
    this.dials = new Dials(dependencies, this.#limits, {
      connected: (origin, socket, startedAt) => this.#connected(origin, socket, startedAt),
      failed: (origin, error) => this.#dialFailed(origin, error),
    });
  }

  get state(): HttpPoolState {
    return this.#state;
  }

  /** Whether exchanges are served. */
  get serving(): boolean {
    return this.#state === 'running' || this.#state === 'draining';
  }

  /** Whether an exchange waits that would get a connection to this origin as soon as it is given back. */
  isAwaited(origin: Origin): boolean {
    return this.#limits.isAwaited(origin);
  }

  /** How full the client is, for messages. */
  describeLoad(origin: Origin): string {
    return describeLoad(this.#dependencies.options, this.#limits, origin);
  }

  // Exchanges

  /**
   * Takes an exchange in. Before this returns it has begun, been queued, or been refused with
   * `ERR_HTTP_QUEUE_FULL` or `ERR_POOL_CLOSED`.
   */
  submit(exchange: Borrower, now: number): void {
    if (!this.serving) return exchange.refuse(this.closedError());
    // The origin's record may have been dropped while the exchange paused.
    if (exchange.origin.forgotten) exchange.origin = this.origins.again(exchange.origin);
    const { name, options } = this.#dependencies;
    const nobodysTurn = this.#limits.turn === undefined;
    if (nobodysTurn || options.http2) {
      const connection = this.connections.available(exchange.origin, now);
      if (connection !== undefined) return this.#lease(connection, exchange, now);
    }
    if (nobodysTurn && this.#mayDial(exchange.origin)) {
      exchange.enqueued('connecting', now);
      exchange.origin.connecting.push(exchange);
      this.dials.start(exchange.origin, exchange.timeouts.connectMs);
    } else if (this.#limits.waiting >= options.maxWaiting) {
      exchange.origin.counters.queueRejected++;
      exchange.refuse(queueFullError(name, options, this.#limits, exchange));
    } else {
      exchange.enqueued('waiting', now);
      this.#limits.wait(exchange);
    }
  }

  /**
   * Puts an exchange that lost its connection before the others that wait. It is served once that connection was given
   * back.
   */
  requeue(exchange: Borrower, now: number): void {
    exchange.enqueued('waiting', now);
    this.#limits.waitAgain(exchange);
  }

  /** Takes an exchange out of the queue. Its dial, if it has one, is kept for the next. */
  withdraw(exchange: Borrower): void {
    const { origin } = exchange;
    if (!this.#limits.withdraw(exchange) && origin.connecting.remove(exchange)) this.#promote(origin);
    this.origins.forgetIfUnused(origin);
  }

  /**
   * Takes a connection back, once for each lease. A healthy one serves the next; anything else is closed. Waiters
   * are served before this returns, or right after the current callback where undici isn't ready for it.
   */
  release(
    connection: OriginConnection,
    exchange: Borrower,
    healthy: boolean,
    reason: HttpCloseReason,
    now: number,
  ): void {
    const { origin } = connection;
    connection.unlease(exchange);
    this.#dependencies.events.released(origin, now - exchange.leasedAt, exchange.context);
    if (healthy && connection.leases === 0) connection.idleSince = now;
    if (!healthy || !this.serving || !connection.usable(now)) {
      if (!healthy) this.connections.close(connection, reason);
      else if (connection.leases === 0) {
        this.connections.close(connection, this.serving ? closeReason(connection, now) : 'shutdown');
      }
      if (connection.leases === 0) this.connections.park(connection);
    } else if (!this.#serveNext(connection, now) && connection.leases === 0) {
      this.connections.park(connection);
    }
    if (healthy) this.#pump();
    else this.#schedulePump();
    this.origins.forgetIfUnused(origin);
  }

  // The end

  /** Closes every idle connection; used ones are kept again afterwards. */
  drain(): void {
    if (this.#state !== 'running') return;
    this.#state = 'draining';
    this.connections.closeIdle();
  }

  /** Takes nothing in any more; refuses everyone who waits, and returns how many. */
  close(): number {
    this.#state = 'closing';
    this.connections.closeIdle();
    const error = this.closedError();
    let refused = 0;
    for (const origin of this.origins) {
      for (const queue of [origin.connecting, origin.waiting]) {
        for (let exchange = queue.first; exchange !== undefined; exchange = queue.first) {
          exchange.fail(error);
          refused++;
        }
      }
    }
    this.dials.cancel(error);
    return refused;
  }

  /** Nothing is left: no timer either. */
  closed(): void {
    this.#state = 'closed';
    this.connections.stop();
    this.origins.clear();
  }

  /** The refusal of a client that is closed. */
  closedError(): PoolClosedError {
    return closedError(this.#dependencies.name);
  }

  // Serving

  #lease(connection: OriginConnection, exchange: Borrower, now: number): void {
    this.connections.lease(connection, exchange);
    exchange.begin(connection, now);
  }

  /** Hands a connection straight to a waiter of its own origin that is entitled to it. */
  #serveNext(connection: OriginConnection, now: number): boolean {
    const { origin } = connection;
    if (connection.leases >= connection.capacity) return false;
    const next = origin.connecting.shift() ?? (connection.multiplexes ? this.#limits.next(origin) : undefined);
    if (next === undefined) return false;
    this.#lease(connection, next, now);
    this.#promote(origin);
    return true;
  }

  /** Hands the free places of an HTTP/2 or a new connection to those who wait; whether anybody did. */
  #serveAll(connection: OriginConnection, now: number): boolean {
    const { origin } = connection;
    let served = false;
    // An exchange may end before its lease returns, and its connection with it.
    while (connection.leases < connection.capacity && connection.open) {
      const next = origin.connecting.shift() ?? this.#limits.next(origin);
      if (next === undefined) break;
      served = true;
      this.#lease(connection, next, now);
    }
    return served;
  }

  /** A dial has lost its exchange: it serves the next one. */
  #promote(origin: Origin): void {
    while (origin.connecting.length < origin.dialling) {
      const exchange = this.#limits.next(origin);
      if (exchange === undefined) break;
      exchange.promoted(this.#dependencies.clock.now());
      origin.connecting.push(exchange);
    }
    this.#limits.update(origin);
  }

  /** Gives free places to waiters: one for each origin in turn. */
  #pump(): void {
    for (let origin = this.#limits.turn; origin !== undefined; origin = this.#limits.turn) {
      const now = this.#dependencies.clock.now();
      const connection = this.connections.available(origin, now);
      if (connection === undefined && !this.#mayDial(origin)) return;
      const exchange = this.#limits.next(origin) as Borrower;
      if (connection !== undefined) {
        this.#lease(connection, exchange, now);
      } else {
        exchange.promoted(now);
        origin.connecting.push(exchange);
        this.dials.start(origin, exchange.timeouts.connectMs);
      }
      this.#limits.passTurn(origin);
    }
  }

  #schedulePump(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  // Sockets

  #mayDial(origin: Origin): boolean {
    if (!this.#limits.mayDial(origin)) return false;
    return this.#limits.hasSocket || this.connections.evict(origin);
  }

  #connected(origin: Origin, socket: HttpSocket, startedAt: number): void {
    const connection = this.connections.open(origin, socket, startedAt);
    if (connection.multiplexes) connection.onCapacity = () => this.#capacityChanged(connection);
    connection.idleSince = connection.openedAt;
    if (!this.#serveAll(connection, connection.openedAt)) this.connections.park(connection);
    this.#limits.update(origin);
    this.#pump();
  }

  /** A server has said how many streams it takes. */
  #capacityChanged(connection: OriginConnection): void {
    const now = this.#dependencies.clock.now();
    this.#limits.settled(connection);
    if (connection.usable(now)) this.#serveAll(connection, now);
    this.#limits.update(connection.origin);
    this.#pump();
  }

  /** `error` is `undefined` when the dial took too long: those who wait for it have deadlines of their own. */
  #dialFailed(origin: Origin, error: Error | undefined): void {
    if (error !== undefined) origin.connecting.shift()?.connectFailed(error);
    if (this.serving && origin.connecting.length > origin.dialling) {
      this.dials.start(origin, this.#dependencies.options.timeouts.connectMs);
    }
    this.#limits.update(origin);
    this.#schedulePump();
    this.origins.forgetIfUnused(origin);
  }

  #connectionClosed(origin: Origin): void {
    if (this.#limits.turn !== undefined) this.#schedulePump();
    this.origins.forgetIfUnused(origin);
  }
}

/** Why a healthy connection isn't kept by a pool that is open. */
function closeReason({ socket, expiresAt }: OriginConnection, now: number): HttpCloseReason {
  if (socket.destroyed) return 'peer';
  return now >= expiresAt ? 'age' : 'not-kept';
}
