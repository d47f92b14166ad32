import { systemClock, type Clock, type Timer } from '../core/clock.js';

/** Lines of one kind within a window; further ones are counted. */
const MOST_LINES = 10;
/** Milliseconds. */
const WINDOW_MS = 10_000;

/** What a window held back. */
export interface HeldBack {
  readonly count: number;
  /** The longest of them, in milliseconds. */
  readonly longestMs: number;
  /** How long the window was, in milliseconds. */
  readonly windowMs: number;
}

/**
 * Lets ten lines through in ten seconds and counts the others, so that a storm of slow queries doesn't become a storm
 * of lines. What was held back is told at the end of the window.
 */
export class LogThrottle {
  readonly #tell: (heldBack: HeldBack) => void;
  readonly #clock: Clock;
  #windowFrom = -Infinity;
  #lines = 0;
  #heldBack = 0;
  #longestMs = 0;
  #timer: Timer | undefined;

  constructor(tell: (heldBack: HeldBack) => void, clock: Clock = systemClock) {
    this.#tell = tell;
    this.#clock = clock;
  }

  /** Whether a line about something that took `durationMs` may be written; counts it otherwise. */
  admits(durationMs: number): boolean {
    const now = this.#clock.now();
    if (this.#timer === undefined && now - this.#windowFrom >= WINDOW_MS) {
      this.#windowFrom = now;
      this.#lines = 0;
    }
    if (this.#lines < MOST_LINES) {
      this.#lines++;
      return true;
    }
    this.#heldBack++;
    this.#longestMs = Math.max(this.#longestMs, durationMs);
    this.#timer ??= this.#clock.setBackgroundTimeout(this.#windowOver, this.#windowFrom + WINDOW_MS - now);
    return false;
  }

  readonly #windowOver = (): void => {
    const heldBack = { count: this.#heldBack, longestMs: this.#longestMs, windowMs: WINDOW_MS };
    this.#timer = undefined;
    this.#windowFrom = this.#clock.now();
    this.#lines = 0;
    this.#heldBack = 0;
    this.#longestMs = 0;
    this.#tell(heldBack);
  };
}
