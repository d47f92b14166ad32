import type { Timer } from './clock.js';
import type { Closer } from './closer.js';
import type { PoolEntry } from './pool-entry.js';
import type { PoolParts } from './pool-parts.js';
import type { CloseReason } from './statistics.js';

/** What the background round asks of its pool. */
export interface MaintenanceHost<T> {
  /** Pings an idle connection, which stays as idle as it was. */
  keepAlive(entry: PoolEntry<T>): void;
  /** Opens what is wanted in the background. */
  refill(): void;
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
export class Maintenance<T> {
  readonly #parts: PoolParts<T>;
  readonly #closer: Closer<T>;
  readonly #host: MaintenanceHost<T>;
  readonly #periodMs: number;
  #timer: Timer | undefined;
  #dueAt = 0;

  constructor(parts: PoolParts<T>, closer: Closer<T>, host: MaintenanceHost<T>) {
    const { idleTimeoutMs, keepAliveMs, maxLifetimeMs } = parts.options;
    this.#parts = parts;
    this.#closer = closer;
    this.#host = host;
    const times = [idleTimeoutMs, keepAliveMs, maxLifetimeMs].filter((time) => time > 0);
    this.#periodMs = Math.min(PERIOD_MS.max, Math.max(PERIOD_MS.min, Math.min(...times) / 4));
  }

  /** Starts the rounds; a second start does nothing. */
  start(): void {
    if (this.#timer === undefined) this.#plan();
  }

  /** Ends the rounds. */
  stop(): void {
    if (this.#timer !== undefined) this.#parts.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #plan(): void {
    const { clock } = this.#parts;
    this.#dueAt = clock.now() + this.#periodMs;
    this.#timer = clock.setBackgroundTimeout(this.#round, this.#periodMs);
  }

  readonly #round = (): void => {
    const { clock, fitness, slots } = this.#parts;
    const now = clock.now();
    const leaped = now - this.#dueAt > LEAP_MS;
    this.#plan();
    // Nothing could be used or answered meanwhile: check idle connections before the next lease, but close none for it.
    if (leaped) fitness.suspectAll(now);
    for (const entry of slots.idleEntries()) {
      if (leaped) entry.idleSince = now;
      const reason = this.#reasonToClose(entry, now);
      if (reason !== undefined) this.#closer.retire(entry, reason);
      else if (this.#needsPing(entry, now)) this.#host.keepAlive(entry);
    }
    this.#host.refill();
  };

  #reasonToClose(entry: PoolEntry<T>, now: number): CloseReason | undefined {
    const { fitness, options, slots, waiters } = this.#parts;
    const retired = fitness.retireReason(entry, now);
    if (retired !== undefined) return retired;
    // They were kept for waiters of a suspended pool that have given up since.
    if (waiters.length === 0 && slots.open > slots.kept) return 'overflow';
    const { idleTimeoutMs, minIdle } = options;
    const surplus = idleTimeoutMs > 0 && slots.idle > minIdle;
    return surplus && now - entry.idleSince >= idleTimeoutMs ? 'idle' : undefined;
  }

  #needsPing(entry: PoolEntry<T>, now: number): boolean {
    const { connector, options } = this.#parts;
    const { keepAliveMs } = options;
    return keepAliveMs > 0 && now - entry.verifiedAt >= keepAliveMs && connector.ping !== undefined;
  }
}
