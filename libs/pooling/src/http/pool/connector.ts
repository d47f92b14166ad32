import { AsyncResource } from 'node:async_hooks';
import type { Clock } from '../../core/clock.js';
import type { Deadlines } from '../../core/deadlines.js';
import type { PoolClosedError } from '../../core/errors.js';
import { Connection, H2_STREAMS } from './connection.js';
import { Dial, Dialler } from './dial.js';
import type { HttpEvents } from './events.js';
import { FairQueue } from './fair-queue.js';
import { IdleConnections } from './idle-connections.js';
import { LookupCache, type ResolveAll } from './lookup.js';
import { OpenSockets } from './open-sockets.js';
import type { ResolvedHttpClientOptions } from '../options.js';
import type { Borrower, Origin, OriginConnection } from './origin.js';
import { Origins } from './origins.js';
import { closedError, describeLoad, queueFullError } from './refusals.js';
import type { HttpSocket } from './socket.js';
import type { CountersByOrigin, HttpCloseReason } from './statistics.js';

/** A socket's age limit varies by this share either way, so that those opened together don't end together. */
const AGE_JITTER = 0.1;

/** What a connector works with. */
export interface ConnectorDependencies {
  readonly name: string;
  readonly options: ResolvedHttpClientOptions;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly counters: CountersByOrigin;
  readonly events: HttpEvents;
  readonly random: () => number;
  readonly resolve: ResolveAll | undefined;
}

/** `open` → `closing` (takes no new exchange, those under way may end) → `closed` (nothing is left). */
export type ConnectorState = 'open' | 'closing' | 'closed';

/**
 * The HTTP pool: hosts, limits, sockets. An exchange gets a connection at once where the limits allow it and one
 * idles; otherwise it waits, first come first served within its origin, and the origins are served in turn.
 * Nobody dials on a borrower's back: who waits for a dial takes whichever comes first, the new connection or one
 * that was given back (Go's `http.Transport` does the same).
 */
export class Connector {
  readonly #name: string;
  readonly #options: ResolvedHttpClientOptions;
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #events: HttpEvents;
  readonly #random: () => number;
  readonly #lookup: LookupCache;
  readonly #dialler: Dialler;
  /** Sockets outlive the request that opened them: they belong to no request's asynchronous context. */
  readonly #context = new AsyncResource('HttpConnector');
  readonly #limit: number;
  readonly #limitPerHost: number;
  /** What is known of each origin. */
  readonly origins: Origins;
  readonly #queue = new FairQueue((origin) => origin.inUse >= this.#limitPerHost || this.#awaitsProtocol(origin));
  readonly #idle: IdleConnections;
  readonly #connections = new Set<OriginConnection>();
  readonly #dials = new Set<Dial>();
  readonly #open = new OpenSockets();
  #sockets = 0;
  #inUse = 0;
  #state: ConnectorState = 'open';
  #pumpScheduled = false;

  constructor({ name, options, clock, deadlines, counters, events, random, resolve }: ConnectorDependencies) {
    this.#name = name;
    this.#options = options;
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.#events = events;
    this.origins = new Origins(counters);
    this.#random = random;
    this.#limit = options.limit || Infinity;
    this.#limitPerHost = options.limitPerHost || Infinity;
    this.#idle = new IdleConnections(clock, (connection, reason) => this.#giveUp(connection, reason));
    this.#lookup = new LookupCache(options.dnsCacheTtlMs, clock, resolve);
    this.#dialler = new Dialler(options, this.#lookup);
  }

  get state(): ConnectorState {
    return this.#state;
  }

  /** Connections in use or being opened. */
  get inUse(): number {
    return this.#inUse;
  }

  /** Whether a socket is alive for the system, those being closed included. */
  get hasSockets(): boolean {
    return this.#open.any;
  }

  /** Requests without a place within the limits. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Whether somebody waits who would get a connection to this origin at once when it is given back. */
  isAwaited(origin: Origin): boolean {
    return this.#queue.length > 0 || origin.connecting.length > 0;
  }

  /** The connections that carry exchanges now. */
  *busy(): IterableIterator<OriginConnection> {
    for (const connection of this.#connections) if (connection.leases > 0) yield connection;
  }

  /**
   * Takes an exchange in. Before this returns it has begun, been queued, or been refused with
   * `ERR_HTTP_QUEUE_FULL` or `ERR_POOL_CLOSED`.
   */
  submit(exchange: Borrower, now: number): void {
    if (this.#state !== 'open') return exchange.refuse(this.closedError());
    // The record may have been forgotten while the exchange paused.
    if (exchange.origin.forgotten) exchange.origin = this.origins.again(exchange.origin);
    if (this.#queue.turn === undefined || this.#options.http2) {
      const connection = this.#available(exchange.origin, now);
      if (connection !== undefined) return this.#lease(connection, exchange, now);
    }
    const dials = this.#queue.turn === undefined && this.#mayDial(exchange.origin);
    if (!dials && this.#queue.length >= this.#options.maxWaiting) {
      exchange.origin.counters.queueRejected++;
      return exchange.refuse(queueFullError(this.#name, this.#options, this, exchange));
    }
    if (dials) {
      exchange.enqueued('connecting', now);
      exchange.origin.connecting.push(exchange);
      this.#dial(exchange.origin, exchange.timeouts.connectMs);
    } else {
      exchange.enqueued('waiting', now);
      this.#queue.push(exchange);
    }
  }

  /**
   * Puts an exchange that lost its connection before the others that wait. It is served once that connection was given
   * back.
   */
  requeue(exchange: Borrower, now: number): void {
    exchange.enqueued('waiting', now);
    this.#queue.putBack(exchange);
  }

  /** Takes an exchange out of the queue. Its dial, if it has one, is kept for the next. */
  withdraw(exchange: Borrower): void {
    const { origin } = exchange;
    if (!this.#queue.remove(exchange) && origin.connecting.remove(exchange)) this.#promote(origin);
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
    this.#events.released(origin, now - exchange.leasedAt, exchange.context);
    if (healthy && connection.leases === 0) connection.idleSince = now;
    if (!healthy || this.#state !== 'open' || !connection.usable(now)) {
      if (connection.leases === 0 || !healthy) this.#giveUp(connection, this.#why(connection, healthy, reason, now));
      if (connection.leases === 0) this.#free(connection);
    } else if (!this.#serveNext(connection, now) && connection.leases === 0) {
      this.#free(connection);
      this.#idle.keep(connection);
    }
    if (healthy) this.#pump();
    else this.#schedulePump();
    this.origins.forgetIfUnused(origin);
  }

  /** A kept connection was found dead: those that idle as long or longer probably are too. */
  suspect(connection: OriginConnection): void {
    const { origin, idleSince } = connection;
    for (const idle of origin.idle.slice()) if (idle.idleSince <= idleSince) this.#giveUp(idle, 'stale');
  }

  /** Closes every idle connection; used ones are kept again afterwards. */
  closeIdle(): void {
    for (const connection of this.#idle) this.#giveUp(connection, 'shutdown');
  }

  /** Takes nothing in any more; refuses everyone who waits, and returns how many. */
  close(): number {
    this.#state = 'closing';
    this.closeIdle();
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
    for (const dial of this.#dials) this.#dialFailed(dial, error);
    return refused;
  }

  /** Destroys what is still in use; those exchanges fail with `error`. */
  destroy(error: Error): void {
    for (const connection of this.#connections) {
      for (const exchange of connection.exchanges) exchange.fail(error);
      this.#giveUp(connection, 'shutdown');
    }
  }

  /** Calls back, once, as soon as no socket is left. */
  whenGone(callback: () => void): void {
    this.#open.whenNone(callback);
  }

  /** The last word: no timer is left. */
  closed(): void {
    this.#state = 'closed';
    this.#idle.stop();
    this.origins.clear();
  }

  /** The refusal of a client that is closed. */
  closedError(): PoolClosedError {
    return closedError(this.#name);
  }

  /** How full the client is, for messages. */
  describeLoad(origin: Origin): string {
    return describeLoad(this.#options, this, origin);
  }

  // Leases

  #available(origin: Origin, now: number): OriginConnection | undefined {
    for (const connection of origin.shared) {
      if (connection.leases < connection.capacity && connection.usable(now)) return connection;
    }
    if (this.#inUse >= this.#limit || origin.inUse >= this.#limitPerHost) return undefined;
    for (let connection = origin.idle.at(-1); connection !== undefined; connection = origin.idle.at(-1)) {
      if (connection.usable(now)) return connection;
      this.#giveUp(connection, now >= connection.expiresAt ? 'age' : 'idle');
    }
    return undefined;
  }

  #lease(connection: OriginConnection, exchange: Borrower, now: number): void {
    this.#idle.remove(connection);
    if (!connection.inUse) {
      connection.inUse = true;
      this.#inUse++;
      connection.origin.inUse++;
      if (connection.multiplexes) connection.origin.shared.add(connection);
    }
    connection.lease(exchange);
    exchange.begin(connection, now);
  }

  /** Hands a connection straight to a waiter of its own origin that is entitled to it. */
  #serveNext(connection: OriginConnection, now: number): boolean {
    const { origin } = connection;
    if (connection.leases >= connection.capacity) return false;
    const next = origin.connecting.shift() ?? (connection.multiplexes ? this.#queue.take(origin) : undefined);
    if (next === undefined) return false;
    this.#lease(connection, next, now);
    this.#promote(origin);
    return true;
  }

  #free(connection: OriginConnection): void {
    if (!connection.inUse) return;
    connection.inUse = false;
    this.#inUse--;
    connection.origin.inUse--;
    if (connection.multiplexes) connection.origin.shared.delete(connection);
    this.#queue.regard(connection.origin);
  }

  // The queue

  /** Whether a dial under way may turn out to carry everybody who waits. */
  #awaitsProtocol(origin: Origin): boolean {
    if (!this.#options.http2 || origin.connecting.length >= H2_STREAMS) return false;
    return origin.settling > 0 || (origin.dialling > 0 && origin.version !== 'h1');
  }

  #mayDial(origin: Origin): boolean {
    if (this.#inUse >= this.#limit || origin.inUse >= this.#limitPerHost || this.#awaitsProtocol(origin)) return false;
    if (this.#sockets < this.#options.maxSockets) return true;
    const idle = this.#idle.longestOfOther(origin);
    if (idle !== undefined) this.#giveUp(idle, 'evicted');
    return idle !== undefined;
  }

  #schedulePump(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  /** Gives free places to waiters: one for each origin in turn. */
  #pump(): void {
    for (let origin = this.#queue.turn; origin !== undefined; origin = this.#queue.turn) {
      const now = this.#clock.now();
      const connection = this.#available(origin, now);
      if (connection === undefined && !this.#mayDial(origin)) return;
      const exchange = this.#queue.take(origin) as Borrower;
      if (connection !== undefined) {
        this.#lease(connection, exchange, now);
      } else {
        exchange.promoted(now);
        origin.connecting.push(exchange);
        this.#dial(origin, exchange.timeouts.connectMs);
      }
      this.#queue.passTurn(origin);
    }
  }

  /** A dial has lost the exchange that it was made for: it serves the next. */
  #promote(origin: Origin): void {
    while (origin.connecting.length < origin.dialling) {
      const exchange = this.#queue.take(origin);
      if (exchange === undefined) break;
      exchange.promoted(this.#clock.now());
      origin.connecting.push(exchange);
    }
    this.#queue.regard(origin);
  }

  // Sockets

  #dial(origin: Origin, connectMs: number): void {
    origin.dialling++;
    origin.sockets++;
    origin.inUse++;
    this.#sockets++;
    this.#inUse++;
    this.#open.opened();
    const patienceMs = connectMs === 0 ? 0 : Math.max(connectMs, this.#options.timeouts.connectMs);
    const dial: Dial = new Dial(origin, this.#clock.now(), {
      connected: (socket) => this.#connected(dial, socket),
      failed: (error) => this.#dialFailed(dial, error),
      late: () => this.#dialFailed(dial, undefined),
      gone: () => this.#open.closed(),
    });
    this.#dials.add(dial);
    if (patienceMs > 0) this.#deadlines.set(dial, patienceMs);
    this.#context.runInAsyncScope(() => dial.start(this.#dialler));
  }

  #endDial(dial: Dial): boolean {
    if (!this.#dials.delete(dial)) return false;
    this.#deadlines.clear(dial);
    dial.origin.dialling--;
    return true;
  }

  #connected(dial: Dial, socket: HttpSocket): void {
    if (!this.#endDial(dial)) return;
    const { origin } = dial;
    const { maxSocketAgeMs, keepAliveMs } = this.#options;
    const now = this.#clock.now();
    const age = maxSocketAgeMs * (1 - AGE_JITTER + 2 * AGE_JITTER * this.#random());
    const connection = new Connection(origin, socket, now, maxSocketAgeMs === 0 ? Infinity : now + age, keepAliveMs);
    origin.counters.opened++;
    this.#events.connected(origin, now - dial.startedAt);
    origin.version = connection.multiplexes ? 'h2' : 'h1';
    this.#connections.add(connection);
    connection.inUse = true;
    if (connection.multiplexes) {
      origin.shared.add(connection);
      origin.settling++;
      connection.onCapacity = () => this.#capacityChanged(connection);
    }
    socket.once('close', () => this.#giveUp(connection, 'peer'));
    connection.idleSince = now;
    if (!this.#fill(connection, now)) {
      this.#free(connection);
      this.#idle.keep(connection);
    }
    this.#queue.regard(origin);
    this.#pump();
  }

  /** Hands a new connection's places to those who wait; whether anybody did. */
  #fill(connection: OriginConnection, now: number): boolean {
    const { origin } = connection;
    let served = false;
    while (connection.leases < connection.capacity) {
      const next = origin.connecting.shift() ?? this.#queue.take(origin);
      if (next === undefined) break;
      served = true;
      this.#lease(connection, next, now);
    }
    return served;
  }

  /** A server has said how many streams it takes. */
  #capacityChanged(connection: OriginConnection): void {
    const { origin } = connection;
    const now = this.#clock.now();
    if (connection.settling) {
      connection.settling = false;
      origin.settling--;
    }
    if (connection.usable(now)) this.#fill(connection, now);
    this.#queue.regard(origin);
    this.#pump();
  }

  /** `error` is `undefined` when the dial took too long: those who wait for it have deadlines of their own. */
  #dialFailed(dial: Dial, error: Error | undefined): void {
    if (!this.#endDial(dial)) return;
    const { origin } = dial;
    dial.cancel();
    origin.counters.connectErrors++;
    this.#events.connectFailed(origin, this.#clock.now() - dial.startedAt, error);
    origin.sockets--;
    origin.inUse--;
    this.#sockets--;
    this.#inUse--;
    this.#lookup.suspect(origin.hostname);
    if (error !== undefined) origin.connecting.shift()?.connectFailed(error);
    if (this.#state === 'open' && origin.connecting.length > origin.dialling) {
      this.#dial(origin, this.#options.timeouts.connectMs);
    }
    this.#queue.regard(origin);
    this.#schedulePump();
    this.origins.forgetIfUnused(origin);
  }

  #why(connection: OriginConnection, healthy: boolean, reason: HttpCloseReason, now: number): HttpCloseReason {
    if (!healthy) return reason;
    if (this.#state !== 'open') return 'shutdown';
    if (connection.socket.destroyed) return 'peer';
    return now >= connection.expiresAt ? 'age' : 'not-kept';
  }

  /** Takes a connection out of everything and closes it. Whoever still uses it gives it back by itself. */
  #giveUp(connection: OriginConnection, reason: HttpCloseReason): void {
    if (connection.gone) return;
    connection.gone = true;
    const { origin } = connection;
    this.#idle.remove(connection);
    this.#connections.delete(connection);
    origin.counters.closed[reason]++;
    this.#events.closed(origin, reason, this.#clock.now() - connection.openedAt);
    if (connection.settling) {
      connection.settling = false;
      origin.settling--;
      this.#queue.regard(origin);
    }
    origin.sockets--;
    this.#sockets--;
    if (!connection.socket.destroyed) connection.destroy(null);
    if (this.#queue.turn !== undefined) this.#schedulePump();
    this.origins.forgetIfUnused(origin);
  }
}
