import { PoolingError } from './pooling-error.js';

/**
 * A query ran longer than `queryTimeoutMs`. Its connection was destroyed and its backend was asked to cancel.
 *
 * ```ts
 * const reports = new DatabasePool('reports', { queryTimeoutMs: 5_000 });
 * try {
 *   await reports.query('select pg_sleep(10)');
 * } catch (error) {
 *   if (error instanceof PoolQueryTimeoutError) console.error('the report takes too long');
 *   else throw error;
 * }
 * ```
 */
export class PoolQueryTimeoutError extends PoolingError {
  override readonly code = 'ERR_POOL_QUERY_TIMEOUT';
}

/**
 * `COMMIT` was sent and the connection was lost before the answer: the transaction may or may not have happened.
 *
 * ```ts
 * try {
 *   await retryTransaction(db, (transaction) => transaction.insertInto('accounts').values({ id: 1, balance: 0 }).execute());
 * } catch (error) {
 *   if (!(error instanceof PoolCommitUnknownError)) throw error;
 *   const account = await db.selectFrom('accounts').select('id').where('id', '=', 1).executeTakeFirst();
 *   if (account === undefined) throw error; // it did not happen
 * }
 * ```
 */
export class PoolCommitUnknownError extends PoolingError {
  override readonly code = 'ERR_POOL_COMMIT_UNKNOWN';
}

/**
 * A statement was asked for after the end of its transaction had been. It was not sent: a transaction that is over takes nothing in.
 *
 * ```ts
 * import type { Transaction } from 'kysely';
 *
 * let escaped!: Transaction<Database>;
 * await db.transaction().execute(async (transaction) => {
 *   escaped = transaction;
 * });
 * await escaped.deleteFrom('orders').execute(); // rejects: the transaction is over
 * ```
 */
export class PoolTransactionError extends PoolingError {
  override readonly code = 'ERR_POOL_TRANSACTION_OVER';
}
