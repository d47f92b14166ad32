import type { Clock, Timer } from '../core/clock.js';
import type { Pool } from '../core/pool.js';
import type { CloseReport } from '../core/pool-options.js';

/** Closes a pool by a deadline, in milliseconds. It first serves the acquires that a connection is being dialled for. */
export function closeAfterWaiting(
  engine: Pick<Pool<unknown>, 'finishWaiting' | 'close'>,
  clock: Clock,
  deadlineMs: number,
): Promise<CloseReport> {
  const served = engine.finishWaiting();
  if (served === undefined) return engine.close(deadlineMs);
  const startedAt = clock.now();
  let timer: Timer | undefined;
  const late = new Promise<void>((resolve) => (timer = clock.setTimeout(resolve, deadlineMs)));
  return Promise.race([served, late]).then(() => {
    clock.clearTimeout(timer as Timer);
    return engine.close(Math.max(0, deadlineMs - (clock.now() - startedAt)));
  });
}

/** One report of pools that end at the same time. */
export async function closedTogether(closing: readonly Promise<CloseReport>[]): Promise<CloseReport> {
  const reports = await Promise.all(closing);
  return {
    graceful: reports.every(({ graceful }) => graceful),
    durationMs: Math.max(...reports.map(({ durationMs }) => durationMs)),
    refused: reports.reduce((sum, { refused }) => sum + refused, 0),
    destroyed: reports.flatMap(({ destroyed }) => destroyed),
  };
}
