import { systemClock, type Clock, type Timer } from '../core/clock.js';
import type { PoolStatistics } from '../core/statistics.js';
import { sizeForLoad, type LoadSize } from './sizing.js';

/** What a pool's load is measured from. */
export type LoadStatistics = Pick<
  PoolStatistics,
  | 'size'
  | 'inUse'
  | 'waiting'
  | 'acquired'
  | 'acquireTimeouts'
  | 'acquireAborted'
  | 'queueRejected'
  | 'emptyAcquires'
  | 'waitMs'
  | 'useMs'
>;

/** The load of a pool over a window of time. */
export interface PoolLoad {
  /** How much time it covers, in milliseconds. */
  readonly windowMs: number;
  /** Acquires that arrived in a second, those that got nothing included. */
  readonly acquiresPerSecond: number;
  /** Acquires that arrived in the window. */
  readonly arrivals: number;
  /** For how long the connections that came back in the window had been held, on average. */
  readonly meanUseMs: number;
  /** How long the acquires that were served in the window had waited, on average. */
  readonly meanWaitMs: number;
  /** The share of acquires that couldn't be served at once: 0 to 1. */
  readonly waited: number;
  /** Acquires that timed out or were refused because of a full queue, in the window. */
  readonly refused: number;
  /** The most that was in use at a look. */
  readonly peakInUse: number;
  /** The fewest connections that were open at a look. */
  readonly leastOpen: number;
  /** Whether acquires were waiting at every look. */
  readonly alwaysWaiting: boolean;
  /** The pool that this load calls for: see {@link sizeForLoad}. */
  readonly recommended: LoadSize;
}

/** The 99th percentile of waits that a recommended size keeps to, in milliseconds. */
export const RECOMMENDED_WAIT_MS = 10;

interface Look {
  readonly at: number;
  readonly size: number;
  readonly inUse: number;
  readonly waiting: number;
  readonly acquired: number;
  readonly arrived: number;
  readonly refused: number;
  readonly emptyAcquires: number;
  readonly waitSumMs: number;
  readonly uses: number;
  readonly useSumMs: number;
}

function lookAt(statistics: LoadStatistics, at: number): Look {
  const { acquired, acquireTimeouts, acquireAborted, queueRejected, waiting } = statistics;
  return {
    at,
    size: statistics.size,
    inUse: statistics.inUse,
    waiting,
    acquired,
    arrived: acquired + acquireTimeouts + acquireAborted + queueRejected + waiting,
    refused: acquireTimeouts + queueRejected,
    emptyAcquires: statistics.emptyAcquires,
    waitSumMs: statistics.waitMs.sumMs,
    uses: statistics.useMs.count,
    useSumMs: statistics.useMs.sumMs,
  };
}

/** Measures the load of one pool from looks at its statistics, over the latest of them; it keeps that many numbers and no more. */
export class LoadMeter {
  readonly #looks: Look[] = [];
  readonly #most: number;

  /** @param most - how many looks it remembers: the window is one interval between looks shorter. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Takes one look; `at` on a monotonic scale, in milliseconds. */
  look(statistics: LoadStatistics, at: number): void {
    this.#looks.push(lookAt(statistics, at));
    if (this.#looks.length > this.#most) this.#looks.shift();
  }

  /** Whether the window is complete. */
  get full(): boolean {
    return this.#looks.length === this.#most;
  }

  /** The load in the window; `undefined` before the second look. */
  load(): PoolLoad | undefined {
    const [first, last] = [this.#looks[0], this.#looks.at(-1)];
    if (first === undefined || last === undefined || last.at <= first.at) return undefined;
    const windowMs = last.at - first.at;
    // The queue may have been longer at the first look: those acquires arrived before.
    const arrivals = Math.max(0, last.arrived - first.arrived);
    const acquired = last.acquired - first.acquired;
    const uses = last.uses - first.uses;
    const acquiresPerSecond = (arrivals / windowMs) * 1000;
    const meanUseMs = uses === 0 ? 0 : (last.useSumMs - first.useSumMs) / uses;
    return {
      windowMs,
      acquiresPerSecond,
      arrivals,
      meanUseMs,
      meanWaitMs: acquired === 0 ? 0 : (last.waitSumMs - first.waitSumMs) / acquired,
      waited: acquired === 0 ? 0 : Math.min(1, (last.emptyAcquires - first.emptyAcquires) / acquired),
      refused: last.refused - first.refused,
      peakInUse: Math.max(...this.#looks.map((look) => look.inUse)),
      leastOpen: Math.min(...this.#looks.map((look) => look.size)),
      alwaysWaiting: this.#looks.every((look) => look.waiting > 0),
      recommended: sizeForLoad({ acquiresPerSecond, meanUseMs, waitTargetMs: RECOMMENDED_WAIT_MS }),
    };
  }
}

/** A pool whose load is watched. */
export interface WatchedPool {
  readonly name: string;
  statistics(): LoadStatistics;
}

/** Time between two looks, in milliseconds. */
const LOOK_INTERVAL_MS = 5_000;
/** Looks that are remembered: a window of one minute. */
const LOOKS = 13;

/**
 * Looks at the pools of an application every five seconds, so that their load of the last minute is known at any
 * time. One look reads counters; the timer doesn't keep the process alive.
 */
export class LoadWatch {
  readonly #pools: () => Iterable<WatchedPool>;
  readonly #clock: Clock;
  readonly #meters = new Map<string, LoadMeter>();
  #timer: Timer | undefined;

  constructor(pools: () => Iterable<WatchedPool>, clock: Clock = systemClock) {
    this.#pools = pools;
    this.#clock = clock;
  }

  /** Starts looking; does nothing when it looks already. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.look();
    this.#timer = this.#clock.setBackgroundTimeout(() => {
      this.#timer = undefined;
      this.start();
    }, LOOK_INTERVAL_MS);
  }

  /** Stops looking. */
  stop(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Looks once, now. */
  look(): void {
    const now = this.#clock.now();
    for (const pool of this.#pools()) {
      let meter = this.#meters.get(pool.name);
      if (meter === undefined) this.#meters.set(pool.name, (meter = new LoadMeter(LOOKS)));
      meter.look(pool.statistics(), now);
    }
  }

  /** The load of a pool in the last minute, or since the watch was started; `undefined` before the second look. */
  load(pool: string): PoolLoad | undefined {
    return this.#meters.get(pool)?.load();
  }

  /** Whether a pool was watched for a whole minute. */
  settled(pool: string): boolean {
    return this.#meters.get(pool)?.full ?? false;
  }

  /** The size that a pool's load calls for: `db_pool_recommended_size`. `undefined` before the second look. */
  recommendedSize(pool: string): number | undefined {
    return this.load(pool)?.recommended.size;
  }
}
