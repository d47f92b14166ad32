import type { PoolEntry } from './pool-entry.js';
import type { Slots } from './slots.js';
import type { Steps } from './steps.js';

/** What the pool's owner does with a connection between two leases; rejects when the connection is dead. */
export type Visit<T> = (connection: T) => Promise<void>;

/** What visits ask of their pool. */
export interface VisitHost<T> {
  /** The visit is over, and the connection fit for its next borrower. */
  visited(entry: PoolEntry<T>): void;
  failed(entry: PoolEntry<T>): void;
}

/**
 * Questions of the pool's owner that have no need of a connection of their own: they take one that is idle, or the next one
 * that comes back, before any waiter. No connection is opened for them, and none stays open for them: an idle one
 * stays as idle as it was. They are no leases, and count as none.
 */
export class Visits<T> {
  readonly #slots: Slots<T>;
  readonly #steps: Steps<T>;
  readonly #host: VisitHost<T>;
  #next: Visit<T> | undefined = undefined;
  /** The shared connection that nobody may join until it has been visited. */
  #freed: PoolEntry<T> | undefined = undefined;

  constructor(slots: Slots<T>, steps: Steps<T>, host: VisitHost<T>) {
    this.#slots = slots;
    this.#steps = steps;
    this.#host = host;
  }

  /** Whether a visit waits for a connection. */
  get waiting(): boolean {
    return this.#next !== undefined;
  }

  /** Visits an idle connection now, or the next one that comes back. A visit that still waits is replaced. */
  ask(visit: Visit<T>): void {
    this.#next = visit;
    const entry = this.#slots.newestIdle;
    if (entry !== undefined) this.begin(entry, entry.idleSince);
  }

  /** Nobody is to be visited any more. */
  cancel(): void {
    this.#next = undefined;
    this.#freed = undefined;
  }

  /** Visits a connection that nobody uses. */
  begin(entry: PoolEntry<T>, idleSince: number | undefined): void {
    const visit = this.#next as Visit<T>;
    this.cancel();
    this.#steps.visit(
      entry,
      visit,
      () => {
        this.#host.visited(entry);
        if (idleSince !== undefined) entry.idleSince = idleSince;
      },
      () => this.#host.failed(entry),
    );
  }

  /** Whether a shared connection is the one that a visit waits for. */
  claims(entry: PoolEntry<T>): boolean {
    if (this.#next === undefined) return false;
    this.#freed ??= entry;
    return this.#freed === entry;
  }
}
