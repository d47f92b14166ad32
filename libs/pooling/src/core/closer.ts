import type { PoolEntry } from './pool-entry.js';
import type { PoolParts } from './pool-parts.js';
import type { CloseReason } from './statistics.js';

/** How long a polite close may take before the socket is destroyed, in milliseconds. */
const POLITE_CLOSE_MS = 2_000;
/** After this a closing connection's slot is free whatever its connector does, in milliseconds. */
const CLOSE_GUARD_MS = 3_000;

/** What the closer tells its pool. */
export interface CloserHost {
  /** A connection is leaving: others may be wanted in its place. */
  leaving(): void;
  /** A slot is free. */
  freed(): void;
}

/** Closes connections: politely, by force when that takes too long, and never for ever. */
export class Closer<T> {
  readonly #parts: PoolParts<T>;
  readonly #host: CloserHost;

  constructor(parts: PoolParts<T>, host: CloserHost) {
    this.#parts = parts;
    this.#host = host;
  }

  /** Closes a connection that is to be replaced: politely, unless it is broken. */
  retire(entry: PoolEntry<T>, reason: CloseReason): void {
    this.#begin(entry, reason);
    if (reason === 'broken') this.#force(entry);
    else this.#closePolitely(entry);
    this.#host.leaving();
  }

  /** Closes a connection by force, whatever is under way on it. */
  destroy(entry: PoolEntry<T>, reason: CloseReason): void {
    this.#begin(entry, reason);
    this.#force(entry);
    this.#host.leaving();
  }

  /** Cuts a close under way short, whose guard goes on. */
  cutShort(entry: PoolEntry<T>): void {
    const closed = this.#closed(entry);
    this.#parts.connector.close(entry.connection as T, false).then(closed, closed);
  }

  #begin(entry: PoolEntry<T>, reason: CloseReason): void {
    const { counters, deadlines, observer, slots } = this.#parts;
    deadlines.clear(entry.stepDeadline);
    slots.close(entry);
    counters.closed[reason]++;
    observer.closed?.(entry.connection as T, reason, entry);
  }

  #closePolitely(entry: PoolEntry<T>): void {
    const { connector, deadlines } = this.#parts;
    const closed = this.#closed(entry);
    entry.stepDeadline.onExpire = () => this.#force(entry);
    deadlines.set(entry.stepDeadline, POLITE_CLOSE_MS);
    connector.close(entry.connection as T, true).then(closed, closed);
  }

  #force(entry: PoolEntry<T>): void {
    const { connector, deadlines } = this.#parts;
    const closed = this.#closed(entry);
    entry.stepDeadline.onExpire = closed;
    deadlines.set(entry.stepDeadline, CLOSE_GUARD_MS);
    connector.close(entry.connection as T, false).then(closed, closed);
  }

  #closed(entry: PoolEntry<T>): () => void {
    return () => {
      if (entry.state === 'gone') return;
      this.#parts.deadlines.clear(entry.stepDeadline);
      this.#parts.slots.free(entry);
      this.#host.freed();
    };
  }
}
