import type { Clock } from '../../core/clock.js';
import type { EngineAcquireOptions } from '../../core/pool-options.js';
import type { DatabaseLease } from '../database-lease.js';
import type { DatabaseLeases } from '../database-leases.js';

/** Where leases come from, by the time that they take. */
export interface LeasedPool {
  readonly clock: Clock;
  readonly leases: DatabaseLeases;
}

/**
 * A lease within a time; `undefined`: there was none. The time is no time-out of the pool's: that it is over is nobody's error.
 *
 * @throws the reason of the caller's own signal.
 */
export async function leaseWithin(
  { clock, leases }: LeasedPool,
  limitMs: number,
  options: EngineAcquireOptions,
): Promise<DatabaseLease | undefined> {
  const { signal, use = 'held' } = options;
  signal?.throwIfAborted();
  const ready = leases.tryAcquire(use);
  if (ready !== undefined) return ready;
  const late = new AbortController();
  const timer = clock.setTimeout(() => late.abort(), limitMs);
  try {
    const either = signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]);
    return await leases.acquire({ ...options, signal: either });
  } catch {
    signal?.throwIfAborted();
    return undefined;
  } finally {
    clock.clearTimeout(timer);
  }
}
