import { Inject, Injectable, Logger, Optional } from '@nestjs/common';
import { systemClock, type Clock } from '../core/clock.js';
import { describeCause, PoolingError } from '../core/errors.js';
import type { HealthDatabase } from './health-source.js';

/** What a ping found. */
export type PingOutcome = 'up' | 'degraded' | 'down';

/** How long a ping may take, in milliseconds. */
export const PING_TIMEOUT_MS = 1_000;
/** For how long after its start a ping's outcome is given to others, in milliseconds. */
export const PING_CACHE_MS = 1_000;
/**
 * From this age on a probe that is still given the last outcome starts the next ping, in milliseconds: a server that
 * stops answering without closing its connections is then seen within two seconds, a whole time-out included.
 */
export const PING_AHEAD_MS = 800;

/** The clock, for tests that turn time by hand; the machine's when it isn't provided. */
export const PING_CLOCK = Symbol('PING_CLOCK');

interface Ping {
  readonly startedAt: number;
  readonly outcome: Promise<PingOutcome>;
}

/**
 * Pings databases for all probes together: probes that come at once share one ping, and its outcome serves for a
 * second, so that any number of probes cost a database one round trip a second. Logs when a database goes down and
 * when it comes back, once each; the probes' answers hold no error text.
 */
@Injectable()
export class PingCache {
  readonly #clock: Clock;
  readonly #logger = new Logger('PoolHealth');
  readonly #pings = new WeakMap<HealthDatabase, Ping>();
  readonly #downSince = new WeakMap<HealthDatabase, number>();

  constructor(@Optional() @Inject(PING_CLOCK) clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** What a ping finds now, or found within the last second. Never rejects. */
  ping(database: HealthDatabase): Promise<PingOutcome> {
    const now = this.#clock.now();
    const last = this.#pings.get(database);
    const age = last === undefined ? Infinity : now - last.startedAt;
    if (last !== undefined && age < PING_AHEAD_MS) return last.outcome;
    const next = { startedAt: now, outcome: this.#ping(database) };
    this.#pings.set(database, next);
    return last !== undefined && age < PING_CACHE_MS ? last.outcome : next.outcome;
  }

  async #ping(database: HealthDatabase): Promise<PingOutcome> {
    try {
      const { status } = await database.ping({ timeoutMs: PING_TIMEOUT_MS });
      this.#answered(database);
      return status;
    } catch (error) {
      this.#failed(database, error);
      return 'down';
    }
  }

  #answered(database: HealthDatabase): void {
    const since = this.#downSince.get(database);
    if (since === undefined) return;
    this.#downSince.delete(database);
    const seconds = ((this.#clock.now() - since) / 1_000).toFixed(1);
    this.#logger.log(`${database.name}: the database answers again, after ${seconds} s`);
  }

  #failed(database: HealthDatabase, error: unknown): void {
    if (this.#downSince.has(database)) return;
    this.#downSince.set(database, this.#clock.now());
    const cause = error instanceof PoolingError ? (error.cause ?? error) : error;
    this.#logger.warn(`${database.name}: the database doesn't answer: ${describeCause(cause)}`);
  }
}
