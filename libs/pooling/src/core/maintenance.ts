import type { Clock, Timer } from './clock.js';
import type { PoolOptions } from './pool-options.js';

/** What the background round does its work on. */
export interface MaintenanceHost {
  maintain(now: number, leaped: boolean): void;
}

/** The shortest and longest time between two rounds, in milliseconds. */
const PERIOD_MS = { min: 100, max: 5_000 } as const;
/** A round this much later than planned means that the clock leaped or the event loop stood still, in milliseconds. */
const LEAP_MS = 1_000;

/**
 * The background round: closes what idled or lived too long, pings what idles, refills, and notices that time
 * leaped (a stalled event loop, a suspended machine, a frozen Lambda). HikariCP's housekeeper calls that
 * "thread starvation or clock leap".
 */
export class Maintenance {
  readonly #clock: Clock;
  readonly #host: MaintenanceHost;
  readonly #periodMs: number;
  #timer: Timer | undefined;
  #dueAt = 0;

  constructor(clock: Clock, host: MaintenanceHost, options: PoolOptions) {
    this.#clock = clock;
    this.#host = host;
    const times = [options.idleTimeoutMs, options.keepAliveMs, options.maxLifetimeMs].filter((time) => time > 0);
    this.#periodMs = Math.min(PERIOD_MS.max, Math.max(PERIOD_MS.min, Math.min(...times) / 4));
  }

  /** Starts the rounds; a second start does nothing. */
  start(): void {
    if (this.#timer === undefined) this.#plan();
  }

  /** Ends the rounds. */
  stop(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #plan(): void {
    this.#dueAt = this.#clock.now() + this.#periodMs;
    this.#timer = this.#clock.setBackgroundTimeout(this.#round, this.#periodMs);
  }

  readonly #round = (): void => {
    const now = this.#clock.now();
    const leaped = now - this.#dueAt > LEAP_MS;
    this.#plan();
    this.#host.maintain(now, leaped);
  };
}
