import { asNobody } from './async-context.js';

/** A timer made by a {@link Clock}; opaque to its holder. */
export type Timer = object;

/**
 * The one source of time of the library. Everything that waits or measures asks a clock, so that
 * tests turn time by hand instead of sleeping. Callbacks run in the async context of no request: a timer that many
 * share is set by whoever happens to be first.
 */
export interface Clock {
  /** Milliseconds on a monotonic scale, with fractions. Only differences have a meaning. */
  now(): number;
  /** Milliseconds since 1970, for people and logs; may jump. */
  wallNow(): number;
  /** Calls `callback` once after at least `delayMs`. The timer keeps the process alive until it fires. */
  setTimeout(callback: () => void, delayMs: number): Timer;
  /** The same, but the timer doesn't keep the process alive. */
  setBackgroundTimeout(callback: () => void, delayMs: number): Timer;
  /** Stops a timer of either kind; a fired or stopped one is ignored. */
  clearTimeout(timer: Timer): void;
}

class SystemClock implements Clock {
  now(): number {
    return performance.now();
  }

  wallNow(): number {
    return Date.now();
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    return asNobody(setTimeout, callback, delayMs);
  }

  setBackgroundTimeout(callback: () => void, delayMs: number): Timer {
    return asNobody(setTimeout, callback, delayMs).unref();
  }

  clearTimeout(timer: Timer): void {
    clearTimeout(timer as NodeJS.Timeout);
  }
}

/** The machine's clock. */
export const systemClock: Clock = new SystemClock();
