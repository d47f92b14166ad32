import type { Clock, Timer } from './clock.js';

/** The first pause after a failed dial, in milliseconds; it doubles with each failure. */
export const BACKOFF_FIRST_MS = 10;
/** The longest pause while somebody waits, in milliseconds. */
export const BACKOFF_MAX_MS = 5_000;
/** The shortest and longest pause while only the background refill wants a connection, in milliseconds. */
export const BACKGROUND_BACKOFF_MS = { first: 5_000, max: 30_000 } as const;

/** What there is to dial for. */
export interface DialDemand {
  /** How many more dials the waiters would need now, within the pool's bounds. */
  urgentDials(): number;
  /** How many more dials the background refill would like now. */
  backgroundDials(): number;
}

/**
 * Decides when connections are opened: how many at once, and how soon again after a failure. One back-off for the
 * whole pool (10 ms doubling to 5 s, jittered), and a slow start after it (1, 2, 4, … dials at once), so that a
 * server that comes back isn't knocked over. The scheme is HikariCP's single adder and psycopg_pool's, with the
 * slow start added; per-connection back-off is what made postgres.js dial 12,500 times a second (its issue 1179).
 */
export class Dialer {
  readonly #clock: Clock;
  readonly #demand: DialDemand;
  readonly #dial: () => void;
  readonly #random: () => number;
  #maxConnecting: number;
  /** How many dials may be under way: `maxConnecting`, or fewer after a failure. */
  #allowance: number;
  #connecting = 0;
  #failures = 0;
  /** Dials begun before this belong to an outage that was counted already. */
  #failureSeenAt = -Infinity;
  #pausedUntil = -Infinity;
  #timer: Timer | undefined;
  #stopped = false;

  /** @param dial starts one dial, whose end is told with `succeeded`, `failed` or `abandoned`, exactly once. */
  constructor(clock: Clock, demand: DialDemand, dial: () => void, maxConnecting: number, random: () => number) {
    this.#clock = clock;
    this.#demand = demand;
    this.#dial = dial;
    this.#maxConnecting = maxConnecting;
    this.#allowance = maxConnecting;
    this.#random = random;
  }

  /** Dials under way. */
  get connecting(): number {
    return this.#connecting;
  }

  /** Whether the last dial failed, and the next one isn't due. */
  get pausing(): boolean {
    return this.#failures > 0 && this.#connecting === 0 && this.#pausedUntil > this.#clock.now();
  }

  /** To be called whenever demand may have grown or room was made. */
  wake(): void {
    if (this.#stopped) return;
    while (this.#connecting < this.#allowance) {
      const urgent = this.#demand.urgentDials() > 0;
      if (!urgent && this.#demand.backgroundDials() <= 0) return this.#disarm();
      const wait = this.#pauseLeft(urgent);
      if (wait > 0) return this.#arm(wait);
      this.#start();
    }
  }

  /** Dials at once, whatever the back-off says, unless a dial is under way: a health probe wants to know the truth. */
  probe(): void {
    if (!this.#stopped && this.#connecting === 0) this.#start();
  }

  /** A dial begun at `startedAt` has opened a connection. */
  succeeded(): void {
    this.#connecting--;
    // One more for each success doubles it with each round, as TCP's slow start does.
    this.#allowance = Math.min(this.#allowance + 1, this.#maxConnecting);
    this.#failures = 0;
    this.#pausedUntil = -Infinity;
  }

  /** A dial begun at `startedAt` has failed; the pause after it is at most `longestMs`. */
  failed(startedAt: number, longestMs = BACKOFF_MAX_MS): void {
    this.#connecting--;
    this.#allowance = 1;
    const now = this.#clock.now();
    if (startedAt < this.#failureSeenAt) return;
    this.#failureSeenAt = now;
    this.#failures++;
    const pause = BACKOFF_FIRST_MS * 2 ** Math.min(this.#failures - 1, 30);
    this.#pausedUntil = now + this.#jittered(pause, Math.min(longestMs, BACKOFF_MAX_MS));
  }

  /** A dial was given up by the pool itself (it closes); it says nothing about the server. */
  abandoned(): void {
    this.#connecting--;
  }

  /** No more dials, for good. */
  stop(): void {
    this.#stopped = true;
    this.#disarm();
  }

  #start(): void {
    this.#connecting++;
    this.#dial();
  }

  #pauseLeft(urgent: boolean): number {
    if (this.#failures === 0) return 0;
    const now = this.#clock.now();
    if (urgent) return this.#pausedUntil - now;
    const { first, max } = BACKGROUND_BACKOFF_MS;
    return this.#failureSeenAt + Math.min(first * 2 ** Math.min(this.#failures - 1, 10), max) - now;
  }

  /** 75 % to 125 % of the pause, never more than the longest. */
  #jittered(pause: number, longest: number): number {
    return Math.min(Math.min(pause, longest) * (0.75 + this.#random() * 0.5), longest);
  }

  #arm(wait: number): void {
    this.#disarm();
    this.#timer = this.#clock.setBackgroundTimeout(this.#due, Math.ceil(wait));
  }

  #disarm(): void {
    if (this.#timer === undefined) return;
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  readonly #due = (): void => {
    this.#timer = undefined;
    this.wake();
  };
}
