import type { Kysely, Transaction } from 'kysely';
import { membershipIn } from './ambient/membership.js';
import { AmbientAccess } from './ambient/ambient-access.js';
import { runWithRetries, type RetryTransactionOptions } from './retries.js';

/**
 * Runs `fn` in a transaction, and again after an error that another try can heal: a serialization failure (40001), a deadlock
 * (40P01), a server that takes no writes any more (25006), or a connection that was lost before `COMMIT` was sent. It doesn't
 * try again when `COMMIT` was sent and not answered. Within a transaction of `@Transactional()` it is a savepoint and tries
 * once, because the whole transaction has to run again. `fn` must be safe to run more than once: what it does besides its
 * queries isn't rolled back.
 *
 * Pauses are random up to a doubling limit ("full jitter",
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 *
 * ```ts
 * const balance = await retryTransaction(db, async (transaction) => {
 *   const account = await transaction
 *     .updateTable('accounts')
 *     .set((eb) => ({ balance: eb('balance', '-', 10) }))
 *     .where('id', '=', id)
 *     .returning('balance')
 *     .executeTakeFirstOrThrow();
 *   return account.balance;
 * });
 * ```
 *
 * @throws the last try's error; `ERR_POOL_COMMIT_UNKNOWN`; the signal's reason.
 */
export async function retryTransaction<DB, Result>(
  db: Kysely<DB>,
  fn: (transaction: Transaction<DB>) => Promise<Result>,
  options: RetryTransactionOptions = {},
): Promise<Result> {
  // Another try can't heal a savepoint: the whole transaction has to run again.
  const within = isInTransaction(db);
  return await runWithRetries(() => transactionBuilder(db, options).execute(fn), {
    ...options,
    ...(within ? { attempts: 1 } : undefined),
  });
}

function isInTransaction(db: object): boolean {
  const access = AmbientAccess.of(db);
  return access !== undefined && membershipIn(access.way.database, access.way.joins) !== undefined;
}

function transactionBuilder<DB>(
  db: Kysely<DB>,
  { isolationLevel, accessMode }: RetryTransactionOptions,
): ReturnType<Kysely<DB>['transaction']> {
  let builder = db.transaction();
  if (isolationLevel !== undefined) builder = builder.setIsolationLevel(isolationLevel);
  if (accessMode !== undefined) builder = builder.setAccessMode(accessMode);
  return builder;
}
