import type { Clock, Timer } from '../core/clock.js';

interface ManualTimer {
  dueAt: number;
  order: number;
  callback: () => void;
}

/**
 * A clock that stands still until it is turned by hand.
 *
 * ```ts
 * const clock = new ManualClock();
 * let rung = false;
 * clock.setTimeout(() => (rung = true), 30_000);
 * await clock.advance(30_000); // every timer due within 30 s fires, in order
 * ```
 */
export class ManualClock implements Clock {
  readonly #timers = new Set<ManualTimer>();
  #now = 0;
  #order = 0;

  now(): number {
    return this.#now;
  }

  wallNow(): number {
    return Date.UTC(2026, 0, 1) + this.#now;
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    const timer: ManualTimer = { dueAt: this.#now + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.add(timer);
    return timer;
  }

  setBackgroundTimeout(callback: () => void, delayMs: number): Timer {
    return this.setTimeout(callback, delayMs);
  }

  clearTimeout(timer: Timer): void {
    this.#timers.delete(timer as ManualTimer);
  }

  /** Timers that have neither fired nor been stopped. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Turns the clock by `byMs`, firing every timer on the way; promise reactions run after each of them. */
  async advance(byMs: number): Promise<void> {
    const target = this.#now + byMs;
    await settle();
    for (let next = this.#next(target); next !== undefined; next = this.#next(target)) {
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.dueAt);
      next.callback();
      await settle();
    }
    this.#now = target;
  }

  /** Jumps by `byMs` without firing anything on the way: a stalled event loop or a suspended machine. */
  async leap(byMs: number): Promise<void> {
    this.#now += byMs;
    await this.advance(0);
  }

  #next(until: number): ManualTimer | undefined {
    let first: ManualTimer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueAt > until) continue;
      if (
        first === undefined ||
        timer.dueAt < first.dueAt ||
        (timer.dueAt === first.dueAt && timer.order < first.order)
      ) {
        first = timer;
      }
    }
    return first;
  }
}

/** Lets every promise reaction that is ready run. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
