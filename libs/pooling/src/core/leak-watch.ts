import { traceAbove, type CallTrace } from './call-trace.js';
import { Deadline, type Deadlines } from './deadlines.js';
import type { PoolEntry } from './pool-entry.js';

/** What the watch reports to. */
export interface LeakListener<T> {
  /** A lease is held longer than the threshold. Called once a lease. */
  leaked(entry: PoolEntry<T>): void;
  /** A lease was dropped without release: the garbage collector took it. */
  collected(entry: PoolEntry<T>): void;
}

/** Frames of a captured stack: enough to get from the driver through Kysely to the application. */
const TRACE_FRAMES = 40;

class LeakDeadline<T> extends Deadline {
  constructor(
    readonly entry: PoolEntry<T>,
    readonly listener: LeakListener<T>,
  ) {
    super();
  }

  expire(): void {
    this.entry.leakReported = true;
    this.listener.leaked(this.entry);
  }
}

/**
 * Finds leases that nobody gives back: those held longer than a threshold (HikariCP's ProxyLeakTask) and those
 * that the garbage collector took (asyncpg and SQLAlchemy do the latter). Made only when leak detection is on.
 */
export class LeakWatch<T> {
  readonly #thresholdMs: number;
  readonly #deadlines: Deadlines;
  readonly #listener: LeakListener<T>;
  readonly #registry: FinalizationRegistry<{ entry: PoolEntry<T>; epoch: number }>;
  #stopped = false;

  constructor(thresholdMs: number, deadlines: Deadlines, listener: LeakListener<T>) {
    this.#thresholdMs = thresholdMs;
    this.#deadlines = deadlines;
    this.#listener = listener;
    this.#registry = new FinalizationRegistry(({ entry, epoch }) => {
      if (!this.#stopped && entry.state === 'leased' && entry.epoch === epoch) this.#listener.collected(entry);
    });
  }

  /** The stack of the caller. */
  trace(): CallTrace {
    return traceAbove(LeakWatch.prototype.trace, TRACE_FRAMES);
  }

  /** Watches a lease that was just given out. */
  watch(entry: PoolEntry<T>, lease: object): void {
    entry.leakDeadline ??= new LeakDeadline(entry, this.#listener);
    this.#deadlines.set(entry.leakDeadline, this.#thresholdMs);
    this.#registry.register(lease, { entry, epoch: entry.epoch }, entry);
  }

  /** The lease came back. */
  forget(entry: PoolEntry<T>): void {
    entry.leakReported = false;
    if (entry.leakDeadline !== undefined) this.#deadlines.clear(entry.leakDeadline);
    this.#registry.unregister(entry);
  }

  /** No more reports. */
  stop(): void {
    this.#stopped = true;
  }
}
