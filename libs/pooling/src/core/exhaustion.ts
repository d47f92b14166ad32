import type { AcquireWaiter } from './acquire-waiter.js';
import type { DialFailure } from './connector.js';
import {
  describeCause,
  PoolAcquireTimeoutError,
  PoolSuspendedError,
  type PoolingError,
  type PoolingErrorOptions,
} from './errors.js';
import { summariseHolders, type Holder } from './holders.js';
import type { PoolStatistics } from './statistics.js';

/** Fields of holders that go into an error's plain data. */
const DETAILED_HOLDERS = 5;
/** What `pg.Pool` says of an acquire that takes too long: others match on it. */
const PG_WORDS = '(timeout exceeded when trying to connect)';
/** How many messages are kept: one for each time limit. */
const MOST_ACCOUNTS = 8;

/** One line of advice on why nobody got a connection. */
function advise(
  statistics: PoolStatistics,
  connectAdvice: string | undefined,
  holders: readonly Holder[],
  waitedMs: number,
): string {
  if (connectAdvice !== undefined) return connectAdvice;
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

/** What the errors of acquires that time out together have in common. */
interface Account {
  readonly message: string;
  readonly options: PoolingErrorOptions;
}

/**
 * Makes the errors of acquires that time out. Those that time out together with the same limit share one message: there may
 * be 100,000 of them.
 */
export class Exhaustion {
  readonly #statistics: PoolStatistics;
  readonly #suspended: boolean;
  readonly #connectError: unknown;
  readonly #connectAdvice: string | undefined;
  readonly #holders: readonly Holder[];
  readonly #accounts = new Map<number, Account>();

  constructor(
    statistics: PoolStatistics,
    suspended: boolean,
    connectFailure: { readonly error: unknown; readonly explained: DialFailure } | undefined,
    holders: readonly Holder[],
  ) {
    this.#statistics = statistics;
    this.#suspended = suspended;
    this.#connectError = connectFailure?.error;
    this.#connectAdvice = connectFailure?.explained.advice;
    this.#holders = holders;
  }

  /**
   * The error of an acquire that got nothing by its deadline: everything needed to act stands in it. The `cause` is
   * the real error of the last dial, while dials fail.
   */
  error(waiter: Pick<AcquireWaiter<unknown>, 'timeoutMs' | 'origin'>): PoolingError {
    const { name } = this.#statistics;
    const { message, options } = this.#account(waiter.timeoutMs);
    // The stack of the timer that noticed says nothing; the acquire's own is kept when leak detection is on.
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    try {
      const error = this.#suspended
        ? new PoolSuspendedError(name, message, options)
        : new PoolAcquireTimeoutError(name, message, options);
      if (waiter.origin.trace?.stack !== undefined) {
        error.stack = `${error.name}: ${error.message}\n${waiter.origin.trace.stack.split('\n').slice(1).join('\n')}`;
      }
      return error;
    } finally {
      Error.stackTraceLimit = limit;
    }
  }

  #account(timeoutMs: number): Account {
    let account = this.#accounts.get(timeoutMs);
    if (account === undefined) {
      account = { message: this.#message(timeoutMs), options: this.#errorOptions(timeoutMs) };
      // Those who choose limits of their own may all choose another one.
      if (this.#accounts.size < MOST_ACCOUNTS) this.#accounts.set(timeoutMs, account);
    }
    return account;
  }

  get #lastFailure(): string {
    return this.#connectError === undefined ? 'none' : describeCause(this.#connectError);
  }

  #message(timeoutMs: number): string {
    const { name, inUse, max, waiting } = this.#statistics;
    const state = `${inUse} of ${max} in use, ${waiting} waiting`;
    if (this.#suspended) return `${name}: no connection within ${timeoutMs} ms: the pool is suspended (${state})`;
    const holders = this.#holders;
    return (
      `${name}: no connection within ${timeoutMs} ms (${state}). ` +
      `Longest held: ${holders.length === 0 ? 'none' : summariseHolders(holders)}. ` +
      `Last connect failure: ${this.#lastFailure}. ${advise(this.#statistics, this.#connectAdvice, holders, timeoutMs)} ${PG_WORDS}`
    );
  }

  #errorOptions(timeoutMs: number): PoolingErrorOptions {
    const { size, inUse, idle, connecting, waiting, max } = this.#statistics;
    const holders = this.#holders.slice(0, DETAILED_HOLDERS).map(({ stack: _stack, ...holder }) => holder);
    return {
      ...(this.#connectError === undefined ? undefined : { cause: this.#connectError }),
      details: { timeoutMs, size, inUse, idle, connecting, waiting, max, lastConnectError: this.#lastFailure, holders },
    };
  }
}
