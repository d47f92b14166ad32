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
import { SLOW_MS } from './slow-acquires.js';
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

/** How slow acquires use the pool. */
export interface SlowShare {
  /** Connections that they hold. */
  readonly held: number;
  /** Connections that are kept for others. */
  readonly kept: number;
}

/** Why an acquire has stood aside. */
function explainAside({ max }: PoolStatistics, { held, kept }: SlowShare): string {
  const slow = `${held} of ${max} connections run queries that usually take ${SLOW_MS} ms or more`;
  return kept === 0
    ? `${slow}.`
    : `${slow}, and ${kept} ${kept === 1 ? 'is' : 'are'} kept for quick ones (quickReserve).`;
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
  readonly #slow: SlowShare;
  readonly #accounts = new Map<string, Account>();

  constructor(
    statistics: PoolStatistics,
    suspended: boolean,
    connectFailure: { readonly error: unknown; readonly explained: DialFailure } | undefined,
    holders: readonly Holder[],
    slow: SlowShare,
  ) {
    this.#statistics = statistics;
    this.#suspended = suspended;
    this.#connectError = connectFailure?.error;
    this.#connectAdvice = connectFailure?.explained.advice;
    this.#holders = holders;
    this.#slow = slow;
  }

  /**
   * The error of an acquire that got nothing by its deadline: everything needed to act stands in it. The `cause` is
   * the real error of the last dial, while dials fail. `aside`: whether it has left connections to others.
   */
  error(waiter: Pick<AcquireWaiter<unknown>, 'timeoutMs' | 'origin'>, aside: boolean): PoolingError {
    const { name } = this.#statistics;
    const { message, options } = this.#account(waiter.timeoutMs, aside);
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

  #account(timeoutMs: number, aside: boolean): Account {
    const key = `${timeoutMs} ${aside}`;
    let account = this.#accounts.get(key);
    if (account === undefined) {
      account = { message: this.#message(timeoutMs, aside), options: this.#errorOptions(timeoutMs) };
      // Those who choose limits of their own may all choose another one.
      if (this.#accounts.size < MOST_ACCOUNTS) this.#accounts.set(key, account);
    }
    return account;
  }

  get #lastFailure(): string {
    return this.#connectError === undefined ? 'none' : describeCause(this.#connectError);
  }

  #message(timeoutMs: number, aside: boolean): string {
    const { name, inUse, max, waiting } = this.#statistics;
    const state = `${inUse} of ${max} in use, ${waiting} waiting`;
    if (this.#suspended) return `${name}: no connection within ${timeoutMs} ms: the pool is suspended (${state})`;
    const holders = this.#holders;
    const advice =
      aside && this.#connectAdvice === undefined
        ? explainAside(this.#statistics, this.#slow)
        : advise(this.#statistics, this.#connectAdvice, holders, timeoutMs);
    return (
      `${name}: no connection within ${timeoutMs} ms (${state}). ` +
      `Longest held: ${holders.length === 0 ? 'none' : summariseHolders(holders)}. ` +
      `Last connect failure: ${this.#lastFailure}. ${advice} ${PG_WORDS}`
    );
  }

  #errorOptions(timeoutMs: number): PoolingErrorOptions {
    const { size, inUse, idle, connecting, waiting, aside, max } = this.#statistics;
    const holders = this.#holders.slice(0, DETAILED_HOLDERS).map(({ stack: _stack, ...holder }) => holder);
    return {
      ...(this.#connectError === undefined ? undefined : { cause: this.#connectError }),
      details: {
        timeoutMs,
        size,
        inUse,
        idle,
        connecting,
        waiting,
        aside,
        max,
        lastConnectError: this.#lastFailure,
        holders,
      },
    };
  }
}
