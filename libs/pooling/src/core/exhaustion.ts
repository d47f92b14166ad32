import type { AcquireWaiter } from './acquire-waiter.js';
import { describeCause, PoolAcquireTimeoutError, PoolSuspendedError, type PoolingError } from './errors.js';
import { summariseHolders, type Holder } from './holders.js';
import type { PoolStatistics } from './statistics.js';

/** Fields of holders that go into an error's plain data. */
const DETAILED_HOLDERS = 5;

/** One line of advice on why nobody got a connection. */
function advise(statistics: PoolStatistics, holders: readonly Holder[], waitedMs: number): string {
  if (statistics.lastConnectError !== undefined) return 'The server can’t be reached or refuses connections.';
  if (holders.some((holder) => holder.leaked)) return 'A lease was reported as leaked: release it in a finally block.';
  if (holders.some((holder) => holder.inTransaction === true && holder.active !== true && holder.heldMs >= waitedMs)) {
    return 'Transactions sit idle: look for a forgotten COMMIT or release, or slow work within a transaction.';
  }
  if (holders.some((holder) => holder.heldMs >= waitedMs)) {
    return 'Some connections have been held for longer than this wait: a leak, or slow queries. leakDetectionMs names the code.';
  }
  if (statistics.size < statistics.max)
    return 'Connections open too slowly: look at connectTimeoutMs and the server’s load.';
  return 'Connections come and go, but too few for this load: a larger pool, or shorter queries.';
}

/**
 * The error of an acquire that got nothing by its deadline: everything needed to act stands in it. The `cause` is
 * the real error of the last dial, while dials fail.
 */
export function exhaustionError(
  statistics: PoolStatistics,
  suspended: boolean,
  waiter: Pick<AcquireWaiter<unknown>, 'timeoutMs' | 'origin'>,
  connectError: unknown,
  holders: readonly Holder[],
): PoolingError {
  const { name, inUse, max, waiting } = statistics;
  const state = `${inUse} of ${max} in use, ${waiting} waiting`;
  const lastFailure = connectError === undefined ? 'none' : describeCause(connectError);
  const options = {
    ...(connectError === undefined ? undefined : { cause: connectError }),
    details: {
      timeoutMs: waiter.timeoutMs,
      size: statistics.size,
      inUse,
      idle: statistics.idle,
      connecting: statistics.connecting,
      waiting,
      max,
      lastConnectError: lastFailure,
      holders: holders.slice(0, DETAILED_HOLDERS).map(({ stack: _stack, ...holder }) => holder),
    },
  };
  // The stack of the timer that noticed says nothing; the acquire's own is kept when leak detection is on.
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    const error = suspended
      ? new PoolSuspendedError(
          name,
          `${name}: no connection within ${waiter.timeoutMs} ms: the pool is suspended (${state})`,
          options,
        )
      : new PoolAcquireTimeoutError(
          name,
          `${name}: no connection within ${waiter.timeoutMs} ms (${state}). ` +
            `Longest held: ${holders.length === 0 ? 'none' : summariseHolders(holders)}. ` +
            `Last connect failure: ${lastFailure}. ${advise(statistics, holders, waiter.timeoutMs)}`,
          options,
        );
    if (waiter.origin.trace?.stack !== undefined) {
      error.stack = `${error.name}: ${error.message}\n${waiter.origin.trace.stack.split('\n').slice(1).join('\n')}`;
    }
    return error;
  } finally {
    Error.stackTraceLimit = limit;
  }
}
