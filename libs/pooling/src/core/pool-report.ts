import type { AcquireWaiter } from './acquire-waiter.js';
import type { Dialling } from './dialling.js';
import { Exhaustion } from './exhaustion.js';
import { acquirerOf, type Holder, type HolderActivity } from './holders.js';
import type { PoolEntry } from './pool-entry.js';
import type { LeakReport } from './pool-options.js';
import type { PoolParts } from './pool-parts.js';
import { snapshotOf, type LeakNotice, type PoolHistograms, type PoolStatistics } from './statistics.js';

/** Errors of acquires that time out together share one snapshot of the pool, this old at most, in milliseconds. */
const SNAPSHOT_MS = 50;

/** What a pool tells of itself: statistics, holders, the errors of acquires that time out, leaks. */
export class PoolReport<T> {
  readonly #parts: PoolParts<T>;
  readonly #dialling: Dialling<T>;
  readonly #describe: ((connection: T) => HolderActivity) | undefined;
  #lastLeak: LeakNotice | undefined = undefined;
  #snapshot: { readonly at: number; readonly exhaustion: Exhaustion } | undefined = undefined;

  constructor(parts: PoolParts<T>, dialling: Dialling<T>, describe: ((connection: T) => HolderActivity) | undefined) {
    this.#parts = parts;
    this.#dialling = dialling;
    this.#describe = describe;
  }

  /** An immutable snapshot of levels and counters. */
  statistics(): PoolStatistics {
    const { counters, life, options, slots, slow, waiters } = this.#parts;
    const { state } = life;
    return snapshotOf(
      {
        name: options.name,
        state: state === 'finishing' || state === 'closing' ? 'draining' : state,
        open: slots.open,
        idle: slots.idle,
        connecting: slots.connecting,
        closing: slots.closing,
        waiting: waiters.waiting,
        aside: slow.aside,
        slow: slow.admitted,
        size: slots.size,
        max: slots.max,
        lastConnectError: this.#dialling.lastFailure?.failure,
        lastLeak: this.#lastLeak,
      },
      counters,
    );
  }

  /** The distributions behind the percentiles. */
  histograms(): PoolHistograms {
    const { wait, use, connect } = this.#parts.counters;
    return { wait: wait.snapshot(), use: use.snapshot(), connect: connect.snapshot() };
  }

  /** Who holds connections, longest first. */
  holders(): Holder[] {
    const { clock, slots } = this.#parts;
    const now = clock.now();
    const holders: Holder[] = [];
    for (const entry of slots) {
      if (entry.state === 'leased') holders.push(this.#holder(entry, now));
    }
    return holders.sort((one, other) => other.heldMs - one.heldMs);
  }

  /** The real error of the last dial; `undefined` once a dial has succeeded. */
  get connectError(): unknown {
    return this.#dialling.lastFailure?.error;
  }

  /** When an open connection last gave proof of life, on the clock's scale; `undefined` while none is open. */
  get lastVerifiedAt(): number | undefined {
    let latest: number | undefined;
    for (const entry of this.#parts.slots) {
      if (entry.connection === undefined || entry.lost || entry.state === 'closing') continue;
      if (latest === undefined || entry.verifiedAt > latest) latest = entry.verifiedAt;
    }
    return latest;
  }

  /** The error of a waiter whose deadline has come. */
  timeoutError(waiter: AcquireWaiter<T>): Error {
    const { clock, life, slow } = this.#parts;
    const now = clock.now();
    if (this.#snapshot === undefined || now - this.#snapshot.at >= SNAPSHOT_MS) {
      const suspended = life.state === 'suspended';
      this.#snapshot = {
        at: now,
        exhaustion: new Exhaustion(this.statistics(), suspended, this.#dialling.lastFailure, this.holders(), {
          held: this.#heldBySlow,
          kept: slow.kept(now),
        }),
      };
    }
    return this.#snapshot.exhaustion.error(waiter, slow.has(waiter));
  }

  get #heldBySlow(): number {
    let held = 0;
    for (const { state, use } of this.#parts.slots) if (state === 'leased' && use === 'slow') held++;
    return held;
  }

  /** The next acquire that times out finds another pool: one that was suspended, or resumed. */
  forgetSnapshot(): void {
    this.#snapshot = undefined;
  }

  /** How many connections are in use, and how many there may be: for the error of a full queue. */
  occupancy(): string {
    const { open, idle, max } = this.#parts.slots;
    return `${open - idle} of ${max} in use`;
  }

  /** A lease is held too long, or was `collected` by the garbage collector: counted once. */
  leaked(entry: PoolEntry<T>, collected: boolean): void {
    const { clock, counters, observer } = this.#parts;
    if (!collected || !entry.leakReported) counters.leaks++;
    const report = this.#leakReport(entry, collected);
    const { stack: _stack, activity: _activity, ...notice } = report;
    this.#lastLeak = { at: clock.wallNow(), ...notice };
    observer.leaked?.(report);
  }

  /** A lease that was reported came back after all. */
  unleaked(entry: PoolEntry<T>): void {
    this.#parts.observer.unleaked?.(this.#leakReport(entry, false));
  }

  #leakReport(entry: PoolEntry<T>, collected: boolean): LeakReport {
    const activity = this.#describe?.(entry.connection as T);
    return {
      connection: entry.id,
      heldMs: this.#parts.clock.now() - entry.leasedAt,
      collected,
      ...acquirerOf(entry.origin),
      ...(activity === undefined ? undefined : { activity }),
    };
  }

  #holder(entry: PoolEntry<T>, now: number): Holder {
    const activity = this.#describe?.(entry.connection as T);
    return {
      connection: entry.id,
      heldMs: now - entry.leasedAt,
      ...(activity?.active === false ? { idleMs: now - Math.max(entry.leasedAt, entry.verifiedAt) } : undefined),
      leaked: entry.leakReported,
      ...acquirerOf(entry.origin),
      ...activity,
    };
  }
}
