import type { AcquireOrigin } from './acquire-origin.js';
import type { AcquireQueue } from './acquire-queue.js';
import type { AcquireTraces } from './acquire-traces.js';
import type { AcquireWaiter } from './acquire-waiter.js';
import { Lease, SharedLease, type LeaseOwner } from './lease.js';
import type { LeakWatch } from './leak-watch.js';
import type { PoolEntry } from './pool-entry.js';
import type { LeaseUse, PoolObserver } from './pool-options.js';
import type { PoolParts } from './pool-parts.js';
import type { Sharing } from './sharing.js';
import type { Slots } from './slots.js';
import type { PoolCounters } from './statistics.js';

/** Who acquires, where nobody wants to know. */
const ANONYMOUS: AcquireOrigin = Object.freeze({
  trace: undefined,
  label: undefined,
  span: undefined,
  transaction: undefined,
});

/** Begins and ends leases: counts them, tells observers of them, watches them for leaks. */
export class Leases<T> {
  readonly #slots: Slots<T>;
  readonly #counters: PoolCounters;
  readonly #observer: PoolObserver<T>;
  readonly #traces: AcquireTraces<T>;
  readonly #sharing: Sharing<T>;
  readonly #waiters: AcquireQueue<T>;
  readonly #leakWatch: LeakWatch<T> | undefined;
  readonly #label: (() => string | undefined) | undefined;

  constructor(
    parts: PoolParts<T>,
    sharing: Sharing<T>,
    leakWatch: LeakWatch<T> | undefined,
    label: (() => string | undefined) | undefined,
  ) {
    this.#slots = parts.slots;
    this.#counters = parts.counters;
    this.#observer = parts.observer;
    this.#traces = parts.traces;
    this.#sharing = sharing;
    this.#waiters = parts.waiters;
    this.#leakWatch = leakWatch;
    this.#label = label;
  }

  /** Who acquires now, as far as that is kept; `traced`: whether a tracer listens to it. */
  origin(use: LeaseUse, traced = this.#traces.active): AcquireOrigin {
    const watch = use === 'held' ? this.#leakWatch : undefined;
    if (watch === undefined && this.#label === undefined && !traced) return ANONYMOUS;
    const span = traced ? this.#traces.currentSpan : undefined;
    return { trace: watch?.trace(), label: this.#label?.(), span, transaction: undefined };
  }

  /** Lends a connection to one borrower; `waiter`: who waited for it. */
  begin(
    owner: LeaseOwner<T>,
    entry: PoolEntry<T>,
    now: number,
    use: LeaseUse,
    origin: AcquireOrigin,
    waiter?: AcquireWaiter<T>,
  ): Lease<T> {
    this.#slots.lease(entry, now);
    entry.origin = origin;
    entry.use = use;
    const lease = new Lease<T>(owner, entry);
    // Only leases with a stack are watched; the others end with their query.
    if (origin.trace !== undefined) this.#leakWatch?.watch(entry, lease);
    this.#begun(entry, now, waiter);
    return lease;
  }

  /** Lends a connection to one more borrower who shares it with others: soon over, so that nobody watches it. */
  beginShared(
    owner: LeaseOwner<T>,
    entry: PoolEntry<T>,
    now: number,
    origin: AcquireOrigin,
    waiter?: AcquireWaiter<T>,
  ): Lease<T> {
    this.#slots.lease(entry, now);
    // The last one to come is shown as the holder: the first may have left already.
    entry.origin = origin;
    entry.use = 'shared';
    this.#sharing.join(entry);
    const lease = new SharedLease<T>(owner, entry, now);
    this.#begun(entry, now, waiter);
    return lease;
  }

  #begun(entry: PoolEntry<T>, now: number, waiter: AcquireWaiter<T> | undefined): void {
    const waitMs = waiter === undefined ? 0 : now - waiter.since;
    this.#counters.acquired++;
    this.#counters.wait.record(waitMs, entry.origin?.span);
    const observer = this.#observer;
    const { acquired } = observer;
    if (acquired === undefined || observer.hearsAcquire?.(waitMs) === false) return;
    // This runs in the context of whoever gave the connection back: the observer is called in that of the acquire.
    if (waiter?.context === undefined) acquired.call(observer, entry.connection as T, waitMs, entry);
    else waiter.context.runInAsyncScope(acquired, observer, entry.connection as T, waitMs, entry);
  }

  /** Ends every lease of a connection. Returns whether that has moved waiters into the queue that stood aside. */
  end(entry: PoolEntry<T>, now: number): boolean {
    const useMs = now - entry.leasedAt;
    entry.epoch++;
    if (entry.shares > 0) {
      // A forced end takes it from all of them at once.
      for (let others = this.#sharing.end(entry) - 1; others > 0; others--) this.ended(entry, useMs);
    }
    if (entry.origin?.trace !== undefined) this.#leakWatch?.forget(entry);
    this.ended(entry, useMs);
    entry.origin = undefined;
    return entry.use === 'slow' && this.#waiters.slowEnded(now);
  }

  /** One lease has ended. */
  ended(entry: PoolEntry<T>, useMs: number): void {
    this.#counters.released++;
    this.#counters.use.record(useMs, entry.origin?.span);
    this.#observer.released?.(entry.connection as T, useMs, entry);
  }
}
