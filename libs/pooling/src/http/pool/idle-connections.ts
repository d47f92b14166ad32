import type { Clock, Timer } from '../../core/clock.js';
import { LinkedList } from '../../core/linked-list.js';
import type { Origin, OriginConnection } from './origin.js';
import type { HttpCloseReason } from './statistics.js';

/** The idle connections of all origins, and the one timer that ends them. */
export class IdleConnections {
  readonly #clock: Clock;
  readonly #expired: (connection: OriginConnection, reason: HttpCloseReason) => void;
  /** Longest idle first. */
  readonly #list = new LinkedList<OriginConnection>();
  #timer: Timer | undefined;
  #dueAt = Infinity;

  /** `expired` closes a connection and takes it out by {@link remove}. */
  constructor(clock: Clock, expired: (connection: OriginConnection, reason: HttpCloseReason) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  /** Puts a connection on top of its origin's. */
  keep(connection: OriginConnection): void {
    connection.origin.idle.push(connection);
    this.#list.push(connection);
    const dueAt = dueAtOf(connection);
    if (dueAt < this.#dueAt) this.#callAt(dueAt);
  }

  /** Takes a connection out, if it stands here. */
  remove(connection: OriginConnection): void {
    if (!this.#list.remove(connection)) return;
    const { idle } = connection.origin;
    // Nearly always the last one, which was leased.
    if (idle.at(-1) === connection) idle.pop();
    else idle.splice(idle.indexOf(connection), 1);
  }

  /** The connection of another origin that has idled longest. */
  longestOfOther(origin: Origin): OriginConnection | undefined {
    for (const connection of this.#list) if (connection.origin !== origin) return connection;
    return undefined;
  }

  /** Longest idle first; the one just given may be removed while iterating. */
  [Symbol.iterator](): IterableIterator<OriginConnection> {
    return this.#list[Symbol.iterator]();
  }

  /** Leaves no timer behind. */
  stop(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#dueAt = Infinity;
  }

  #callAt(at: number): void {
    this.stop();
    this.#dueAt = at;
    const delayMs = Math.max(1, Math.ceil(at - this.#clock.now()));
    this.#timer = this.#clock.setBackgroundTimeout(() => this.#expire(), delayMs);
  }

  /** Runs when the first may be due; that one may have been used since. */
  #expire(): void {
    this.stop();
    const now = this.#clock.now();
    let next = Infinity;
    for (const connection of this.#list) {
      const dueAt = dueAtOf(connection);
      if (dueAt <= now) this.#expired(connection, now >= connection.expiresAt ? 'age' : 'idle');
      else if (dueAt < next) next = dueAt;
    }
    if (next < Infinity) this.#callAt(next);
  }
}

function dueAtOf({ idleSince, keepAliveMs, expiresAt }: OriginConnection): number {
  return Math.min(idleSince + keepAliveMs, expiresAt);
}
