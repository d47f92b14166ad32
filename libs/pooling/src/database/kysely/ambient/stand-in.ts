import type { QueryResult } from 'kysely';
import type { AcquireOrigin } from '../../../core/acquire-origin.js';
import { PoolTransactionError } from '../../../core/errors.js';
import type { TransactionSession } from './transaction-session.js';
import { isOfAnotherCopy, type TransactionalWay } from './ambient-access.js';

const DEFAULT_NAME = 'default';

/** The session of a test's stand-in for a database: it sends nothing. */
const NO_SESSION: TransactionSession = {
  pending: 0,
  executeQuery: (): Promise<QueryResult<never>> => Promise.resolve({ rows: [] }),
  async *streamQuery(): AsyncIterableIterator<QueryResult<never>> {
    // There are no rows.
  },
  command: () => Promise.resolve(),
  cancelQuery: () => Promise.resolve(),
  killSession: () => Promise.resolve(),
  commit: () => Promise.resolve(),
  rollback: () => Promise.resolve(),
  release: () => undefined,
};

const NOBODY: AcquireOrigin = { trace: undefined, label: undefined, span: undefined, transaction: undefined };

const told = new WeakSet<object>();

/** Warns once for each object. */
function warnOnce(about: object, message: string): void {
  if (told.has(about)) return;
  told.add(about);
  process.emitWarning(message, { code: 'NESTJS_POOLING_NO_TRANSACTION' });
}

/**
 * Transactions on what a test has put in the place of a database: functions run as they are, and their hooks after them.
 *
 * @throws PoolTransactionError `ERR_POOL_TRANSACTION_FORBIDDEN` for a transaction of Kysely's own: what is called would not
 * belong to it; and for a database of another copy of this library.
 */
export function standInWay(db: object, name: string = DEFAULT_NAME, warn = warnOnce): TransactionalWay {
  if ((db as { isTransaction?: unknown }).isTransaction === true) {
    throw new PoolTransactionError(
      name,
      `${name}: code that is called here would not join a transaction of db.transaction(): pass the Kysely of @InjectDb(), ` +
        'or begin the transaction with transactional()',
      { code: 'ERR_POOL_TRANSACTION_FORBIDDEN' },
    );
  }
  if (isOfAnotherCopy(db)) {
    throw new PoolTransactionError(
      name,
      `${name}: this database and what begins the transaction come from two copies of nestjs-pooling, and no transaction ` +
        'reaches from one into the other: install the package once (npm ls nestjs-pooling shows where it is)',
      { code: 'ERR_POOL_TRANSACTION_FORBIDDEN' },
    );
  }
  warn(db, `${name}: a test has replaced the database: @Transactional() and transactional() run without a transaction`);
  return {
    database: db,
    name,
    session: () => NO_SESSION,
    origin: () => NOBODY,
    holding: (fn) => fn(),
    ended: () => undefined,
    hookFailed: (kind, error) => process.emitWarning(`${name}: a hook of ${kind} has failed: ${String(error)}`),
  };
}
