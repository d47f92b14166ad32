import type { Clock } from '../../core/clock.js';

/** A transaction that took longer may have much to do at its end, such as checks that were deferred. In milliseconds. */
const LONG_MS = 1_000;

/** A `COMMIT` that takes this much longer than usual is late: by a factor, and in milliseconds. */
const LATE = { factor: 4, ms: 50 };

/** For how long nothing is handed on after a late `COMMIT`, in milliseconds. */
const REST_MS = 1_000;

/** The weight of one `COMMIT` in what is usual. */
const WEIGHT = 1 / 8;

/**
 * Whether a connection goes to the next borrower as soon as `COMMIT` was sent, and not when it was answered. Where all
 * connections are in use, that saves a round trip of each transaction. But the next borrower waits for a `COMMIT` that isn't
 * its own: so not after a long transaction, and not for a while after one that was late.
 */
export class HandingOn {
  readonly #clock: Clock;
  #usualMs: number | undefined = undefined;
  #restsUntil = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a connection may be handed on whose borrower has had it so long. */
  allows(heldMs: number): boolean {
    return heldMs < LONG_MS && this.#clock.now() >= this.#restsUntil;
  }

  /** A `COMMIT` with the next borrower behind it was answered. `sentAt`: by the pool's clock, in milliseconds. */
  answered(sentAt: number): void {
    // Its connection was lost before.
    if (sentAt === Infinity) return;
    const now = this.#clock.now();
    const tookMs = now - sentAt;
    const usualMs = this.#usualMs ?? tookMs;
    this.#usualMs = usualMs + WEIGHT * (tookMs - usualMs);
    if (tookMs > LATE.ms + LATE.factor * usualMs) this.#restsUntil = now + REST_MS;
  }
}
