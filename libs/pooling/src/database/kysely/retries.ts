import type { IsolationLevel } from 'kysely';
import { systemClock, type Clock } from '../../core/clock.js';
import { PoolCommitUnknownError, PoolTransactionError } from '../../core/errors.js';
import { integer, durationMs, optionProblems, refuseProblems, type Rule } from '../../core/validation.js';
import { isLostConnection } from '../server-errors.js';
import { RetriedTransaction } from './retried-transaction.js';

/**
 * How `retryTransaction` tries again.
 *
 * ```ts
 * await retryTransaction(
 *   db,
 *   (transaction) => transaction.updateTable('accounts').set({ balance: 0 }).where('id', '=', id).execute(),
 *   { attempts: 5, isolationLevel: 'serializable', signal: AbortSignal.timeout(2_000) },
 * );
 * ```
 */
export interface RetryTransactionOptions {
  /** Tries in all: 3. */
  readonly attempts?: number | undefined;
  /** The longest pause before the second try, doubled before each further one: 20 ms. The pause itself is random. */
  readonly baseDelayMs?: number | undefined;
  /** No pause is longer: 1000 ms. */
  readonly maxDelayMs?: number | undefined;
  /** The isolation level of each try; left out: the server's default. */
  readonly isolationLevel?: IsolationLevel | undefined;
  /** The access mode of each try; left out: the server's default. */
  readonly accessMode?: 'read only' | 'read write' | undefined;
  /** Its abort ends the pauses and forbids further tries; a try under way goes on to its end. */
  readonly signal?: AbortSignal | undefined;
  /** The clock of the pauses, for tests; the machine's by default. */
  readonly clock?: Clock | undefined;
  /** 0 ≤ number < 1; for the pauses. */
  readonly random?: (() => number) | undefined;
}

/** SQLSTATE of a write in a read-only transaction. */
const REFUSED_WRITE = '25006';

/**
 * Serialization failure and deadlock: the server asks to try again. A refused write: the server may have been demoted, and
 * the next connection goes to another one.
 */
const RETRIABLE_STATES = new Set(['40001', '40P01', REFUSED_WRITE]);

const RETRY_RULES: Readonly<Record<string, Rule>> = {
  attempts: integer({ min: 1 }),
  baseDelayMs: durationMs(),
  maxDelayMs: durationMs(),
};

/** Whether a transaction that failed with this may be run again: nothing of it can have been committed. */
export function isRetriable(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof PoolCommitUnknownError) return false;
  // A mistake in the code: another try would repeat it.
  if (error instanceof PoolTransactionError) return false;
  const { code } = error as { code?: unknown };
  return (typeof code === 'string' && RETRIABLE_STATES.has(code)) || isLostConnection(error);
}

/** Runs a function, and again after errors that {@link isRetriable} accepts. */
export async function runWithRetries<Result>(
  run: () => Promise<Result>,
  options: RetryTransactionOptions,
): Promise<Result> {
  const { attempts = 3, baseDelayMs = 20, maxDelayMs = 1_000, signal } = options;
  refuseProblems('retryTransaction', optionProblems(RETRY_RULES, { attempts, baseDelayMs, maxDelayMs }));
  const { clock = systemClock, random = Math.random } = options;
  const tries = async (): Promise<Result> => {
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      try {
        return await run();
      } catch (error) {
        if (attempt >= attempts || !isRetriable(error) || isOwnRefusal(error, options)) throw error;
      }
      await pause(random() * Math.min(maxDelayMs, baseDelayMs * 2 ** (attempt - 1)), clock, signal);
    }
  };
  return RetriedTransaction.over(tries);
}

/** Whether a write was refused because the caller itself asked for `read only`. */
function isOwnRefusal(error: unknown, { accessMode }: RetryTransactionOptions): boolean {
  return accessMode === 'read only' && (error as { code?: unknown }).code === REFUSED_WRITE;
}

async function pause(ms: number, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  // It may have been aborted during the try: a listener would never be called then.
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const abort = (): void => {
      clock.clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = clock.setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
