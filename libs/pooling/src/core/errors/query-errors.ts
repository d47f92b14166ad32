import { PoolingError, type PoolingErrorOptions } from './pooling-error.js';

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

/** What {@link PoolTransactionError} says was wrong. */
export type PoolTransactionErrorCode =
  | 'ERR_POOL_TRANSACTION_OVER'
  | 'ERR_POOL_TRANSACTION_REQUIRED'
  | 'ERR_POOL_TRANSACTION_FORBIDDEN'
  | 'ERR_POOL_TRANSACTION_MISMATCH'
  | 'ERR_POOL_TRANSACTION_TIMEOUT';

/** @internal All of them. */
export const TRANSACTION_ERROR_CODES = Object.keys({
  ERR_POOL_TRANSACTION_OVER: true,
  ERR_POOL_TRANSACTION_REQUIRED: true,
  ERR_POOL_TRANSACTION_FORBIDDEN: true,
  ERR_POOL_TRANSACTION_MISMATCH: true,
  ERR_POOL_TRANSACTION_TIMEOUT: true,
} satisfies Record<PoolTransactionErrorCode, true>) as readonly PoolTransactionErrorCode[];

/** What a {@link PoolTransactionError} is made with. */
export interface PoolTransactionErrorOptions extends PoolingErrorOptions {
  /** `ERR_POOL_TRANSACTION_OVER` by default. */
  readonly code?: PoolTransactionErrorCode | undefined;
}

/**
 * A transaction is not as its caller needs it. By its `code`: `ERR_POOL_TRANSACTION_OVER`, a statement came after the end
 * of its transaction had been asked for, and was not sent: it never runs outside of it; `_REQUIRED` and `_FORBIDDEN`, there
 * is none where one must be, or one where none may be; `_MISMATCH`, what would join wants another isolation level, access
 * mode or settings than the running one has; `_TIMEOUT`, it took longer than `timeoutMs`.
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
  override readonly code: PoolTransactionErrorCode;

  constructor(pool: string, message: string, options: PoolTransactionErrorOptions = {}) {
    super(pool, message, options);
    this.code = options.code ?? 'ERR_POOL_TRANSACTION_OVER';
  }
}
