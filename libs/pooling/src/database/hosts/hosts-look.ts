import type { Clock, Timer } from '../../core/clock.js';

/** Looks at the hosts at intervals while there are connections. */
export class HostsLook {
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #look: () => Promise<void>;
  #timer: Timer | undefined = undefined;
  #wanted = false;

  /** @param look - one look; never rejects. */
  constructor(clock: Clock, everyMs: number, look: () => Promise<void>) {
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#look = look;
  }

  /** Begins, unless it has begun. */
  start(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#plan();
  }

  /** Looks now, if it has begun. */
  now(): void {
    if (this.#timer === undefined) return;
    this.#clock.clearTimeout(this.#timer);
    this.#begin();
  }

  /** Looks no more. */
  stop(): void {
    this.#wanted = false;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #plan(): void {
    if (!this.#wanted || this.#timer !== undefined) return;
    this.#timer = this.#clock.setBackgroundTimeout(() => this.#begin(), this.#everyMs);
  }

  #begin(): void {
    this.#timer = undefined;
    void this.#look().then(() => this.#plan());
  }
}
