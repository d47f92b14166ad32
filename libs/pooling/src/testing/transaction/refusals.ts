import { PoolTransactionError } from '../../core/errors.js';
import { shortenStatement } from '../../database/query/shown-statement.js';

/** What PostgreSQL says of what can't run in a transaction: `CREATE DATABASE`, `VACUUM`, a `COMMIT` in a procedure. */
const NOT_IN_A_TRANSACTION = new Set(['25001', '2D000']);

/** The error of what can't be done in a test's transaction. */
export function cantBeSo(name: string, text: string, why: string, cause?: Error): PoolTransactionError {
  return new PoolTransactionError(
    name,
    `${name}: this can't be done in the transaction of a test (beginTestTransaction): ${why}. ` +
      'Give the test a database of its own with cloneDatabase() instead',
    {
      code: 'ERR_POOL_TRANSACTION_FORBIDDEN',
      details: { statement: shortenStatement(text) },
      ...(cause === undefined ? undefined : { cause }),
    },
  );
}

/** Says of an error that it comes of the test's transaction, where it does. */
export function explained(name: string, text: string, error: Error | undefined): Error | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  if (error === undefined || typeof code !== 'string' || !NOT_IN_A_TRANSACTION.has(code)) return error;
  return cantBeSo(name, text, error.message, error);
}
