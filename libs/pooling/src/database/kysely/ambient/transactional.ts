import type { Kysely, Transaction } from 'kysely';
import { keepRequests } from '../../../core/request-context.js';
import { runCall } from './transactional-call.js';
import { membershipIn } from './membership.js';
import { standInWay } from './stand-in.js';
import { refuseTransactionalOptions, type TransactionalOptions } from './transactional-options.js';
import { AmbientAccess, type TransactionalWay } from './ambient-access.js';

/**
 * Runs `fn` in a transaction that whatever it calls belongs to: every query that is made with the `Kysely` of that database
 * while `fn` runs, in whichever class, is part of it. It is committed when `fn` resolves, and rolled back when it rejects.
 * What is called in a transaction joins it, unless `options.propagation` says otherwise.
 *
 * ```ts
 * await transactional(db, async () => {
 *   await db.updateTable('accounts').set({ balance: 0 }).where('id', '=', id).execute();
 *   await db.insertInto('events').values({ id, tenant: 'a' }).execute();
 * });
 * ```
 *
 * @throws what `fn` throws; `ERR_POOL_TRANSACTION_REQUIRED`, `_FORBIDDEN`, `_MISMATCH`, `_TIMEOUT`, `_OVER`;
 * `ERR_POOL_COMMIT_UNKNOWN`; `ERR_POOL_OPTIONS_INVALID`.
 */
export function transactional<DB, Result>(db: Kysely<DB>, fn: () => Result | Promise<Result>): Promise<Result>;
export function transactional<DB, Result>(
  db: Kysely<DB>,
  options: Omit<TransactionalOptions, 'database'>,
  fn: () => Result | Promise<Result>,
): Promise<Result>;
export async function transactional<DB, Result>(
  db: Kysely<DB>,
  given: TransactionalOptions | (() => Result | Promise<Result>),
  last?: () => Result | Promise<Result>,
): Promise<Result> {
  const options = typeof given === 'function' ? {} : given;
  const fn = typeof given === 'function' ? given : (last as () => Result | Promise<Result>);
  refuseTransactionalOptions('transactional', options);
  keepRequests();
  return await runCall({ way: wayOf(db), options, fn });
}

/** How transactions are begun on a database: on its pool, or as if on a test's stand-in. */
export function wayOf(db: object): TransactionalWay {
  return AmbientAccess.of(db)?.way ?? standInWay(db);
}

/**
 * Kysely's view of the transaction that the caller belongs to: for code that wants a `Transaction`; `undefined` where there is
 * none. Everything else just uses the `Kysely` that it has.
 *
 * ```ts
 * const transaction = currentTransaction(db);
 * if (transaction !== undefined) await transaction.deleteFrom('events').execute();
 * ```
 */
export function currentTransaction<DB>(db: Kysely<DB>): Transaction<DB> | undefined {
  const access = AmbientAccess.of(db);
  if (access === undefined) return undefined;
  const membership = membershipIn(access.way.database, access.way.joins);
  if (membership?.scope === undefined || membership.scope.over) return undefined;
  return access.transactionFor(membership) as Transaction<unknown> as Transaction<DB>;
}
