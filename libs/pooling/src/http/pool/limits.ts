import { H2_STREAMS } from './connection.js';
import { FairQueue } from './fair-queue.js';
import type { ResolvedHttpClientOptions } from '../options.js';
import type { Borrower, Origin, OriginConnection } from './origin.js';

/**
 * Counts sockets and places, of each origin and of all, and knows whose turn it is. A place is what `limit` and
 * `limitPerHost` count: a connection in use, or a dial. Nothing else changes these numbers.
 */
export class Limits {
  readonly #total: number;
  readonly #perHost: number;
  readonly #maxSockets: number;
  readonly #http2: boolean;
  readonly #queue = new FairQueue((origin) => origin.inUse >= this.#perHost || this.#awaitsProtocol(origin));
  #sockets = 0;
  #inUse = 0;

  constructor({ limit, limitPerHost, maxSockets, http2 }: ResolvedHttpClientOptions) {
    this.#total = limit || Infinity;
    this.#perHost = limitPerHost || Infinity;
    this.#maxSockets = maxSockets;
    this.#http2 = http2;
  }

  /** Places taken: connections in use or being opened. */
  get inUse(): number {
    return this.#inUse;
  }

  /** Exchanges without a place. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** The origin whose turn it is; `undefined`: nobody waits for the total limit. */
  get turn(): Origin | undefined {
    return this.#queue.turn;
  }

  /** Whether another connection to an origin may be used. */
  hasPlace(origin: Origin): boolean {
    return this.#inUse < this.#total && origin.inUse < this.#perHost;
  }

  /** Whether another connection may be opened, provided that {@link hasSocket} or an idle one is evicted. */
  mayDial(origin: Origin): boolean {
    return this.hasPlace(origin) && !this.#awaitsProtocol(origin);
  }

  /** Whether another socket may be opened. */
  get hasSocket(): boolean {
    return this.#sockets < this.#maxSockets;
  }

  // Sockets and places

  /** A dial takes a socket and a place. */
  reserve(origin: Origin): void {
    origin.dialling++;
    origin.sockets++;
    this.#sockets++;
    this.take(origin);
  }

  /** The dial has brought a connection, which takes over its socket and place. */
  connected(connection: OriginConnection): void {
    const { origin } = connection;
    origin.dialling--;
    if (connection.settling) origin.settling++;
  }

  /** The dial has brought nothing: its socket and place are free. */
  cancel(origin: Origin): void {
    origin.dialling--;
    origin.sockets--;
    this.#sockets--;
    this.free(origin);
  }

  /** An idle connection takes a place. */
  take(origin: Origin): void {
    origin.inUse++;
    this.#inUse++;
  }

  /** A connection gives its place back. */
  free(origin: Origin): void {
    origin.inUse--;
    this.#inUse--;
    this.#queue.update(origin);
  }

  /** A connection gives its socket back. If exchanges are still on it, it keeps its place until they have ended. */
  closed(connection: OriginConnection): void {
    connection.origin.sockets--;
    this.#sockets--;
    this.settled(connection);
  }

  /** It is known how many exchanges an HTTP/2 connection takes, or it is gone. */
  settled(connection: OriginConnection): void {
    if (!connection.settling) return;
    connection.settling = false;
    connection.origin.settling--;
    this.#queue.update(connection.origin);
  }

  // Those who wait

  /** Whether an exchange waits that would get a connection to this origin as soon as it is given back. */
  isAwaited(origin: Origin): boolean {
    return this.#queue.length > 0 || origin.connecting.length > 0;
  }

  /** An exchange waits for a place. */
  wait(exchange: Borrower): void {
    this.#queue.push(exchange);
  }

  /** An exchange that had its turn already waits before all others of its origin. */
  waitAgain(exchange: Borrower): void {
    this.#queue.putBack(exchange);
  }

  /** An exchange gives up waiting; returns whether it stood here. */
  withdraw(exchange: Borrower): boolean {
    return this.#queue.remove(exchange);
  }

  /** Takes the exchange of an origin that has waited longest; {@link update} the origin afterwards. */
  next(origin: Origin): Borrower | undefined {
    return this.#queue.take(origin);
  }

  /** The origin has had its turn: the next origin is served next. */
  passTurn(origin: Origin): void {
    this.#queue.passTurn(origin);
  }

  /** Those who wait for an origin, or for its dials, have changed. */
  update(origin: Origin): void {
    this.#queue.update(origin);
  }

  /** Whether a dial under way may turn out to carry everybody who waits. */
  #awaitsProtocol(origin: Origin): boolean {
    if (!this.#http2 || origin.connecting.length >= H2_STREAMS) return false;
    return origin.settling > 0 || (origin.dialling > 0 && origin.version !== 'h1');
  }
}
