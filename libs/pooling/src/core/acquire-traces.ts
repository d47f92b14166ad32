import type { AcquireWaiter } from './acquire-waiter.js';
import { acquirerOf } from './holders.js';
import type { PoolEntry } from './pool-entry.js';
import type { LeaseUse } from './pool-options.js';
import type { Slots } from './slots.js';
import type { SpanRef, SpanSink } from './span-sink.js';
import { TracedAcquire, type ConnectionHolder } from './traced-acquire.js';
import { acquireOperations, type AcquireReason } from './tracing-channels.js';

/** The acquires of one pool that wait, as tracers see them. */
export class AcquireTraces<T> {
  readonly #pool: string;
  readonly #slots: Slots<T>;
  readonly #sink: SpanSink | undefined;

  constructor(pool: string, slots: Slots<T>, sink: SpanSink | undefined) {
    this.#pool = pool;
    this.#slots = slots;
    this.#sink = sink;
  }

  /** Whether a tracer listens to the acquire that is made now: it keeps the active span then. */
  get active(): boolean {
    return this.#sink?.active === true;
  }

  /** The span that is active now, where acquires keep one. */
  get currentSpan(): SpanRef | undefined {
    return this.#sink?.current();
  }

  /**
   * An acquire begins to wait; `undefined`: nobody listens to it. `traced`: whether a tracer does; `aside`: whether it waits
   * for other slow ones.
   */
  waits(use: LeaseUse, traced = this.active, aside = false): TracedAcquire | undefined {
    if (use === 'own' || !(traced || acquireOperations.hasSubscribers)) return undefined;
    const reason = aside ? 'queue' : this.#reasonNow();
    const holder = reason === 'queue' ? this.#longestHolder() : undefined;
    return TracedAcquire.begin(traced ? this.#sink : undefined, { kind: 'database', pool: this.#pool, reason, holder });
  }

  /** An acquire is refused at once. */
  refused(use: LeaseUse, error: unknown, traced?: boolean): void {
    this.waits(use, traced)?.end(error);
  }

  /** A waiter is about to get a connection. */
  granted(acquire: TracedAcquire, entry: PoolEntry<T>, { since, stoodAside }: AcquireWaiter<T>): void {
    if (entry.state === 'leased' || stoodAside) acquire.reason = 'queue';
    else if (entry.openedAt >= since && entry.uses === 0) acquire.reason = 'dial';
    // It was idle when the acquire came: only a check or a hook can have come in between.
    else if (entry.idleSince >= entry.leasedAt && entry.idleSince <= since) acquire.reason = 'check';
    else acquire.reason = 'queue';
  }

  #reasonNow(): AcquireReason {
    if (this.#slots.idle > 0 || this.#slots.arriving > 0) return 'check';
    return this.#slots.used < this.#slots.max || this.#slots.connecting > 0 ? 'dial' : 'queue';
  }

  #longestHolder(): ConnectionHolder | undefined {
    let longest: PoolEntry<T> | undefined;
    for (const entry of this.#slots) {
      if (entry.state === 'leased' && (longest === undefined || entry.leasedAt < longest.leasedAt)) longest = entry;
    }
    if (longest?.origin === undefined) return undefined;
    const { trace, label, span } = longest.origin;
    return { label: trace === undefined ? label : acquirerOf(longest.origin).label, span };
  }
}
