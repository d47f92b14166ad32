import type { QueryResult } from 'kysely';
import { PoolTransactionError } from '../../../core/errors.js';
import type { TransactionSession } from './session.js';
import type { TransactionalWay } from './way.js';

const DEFAULT_NAME = 'default';

/** A transaction of what isn't a database: nothing is sent. */
const NO_SESSION: TransactionSession = {
  pending: 0,
  executeQuery: (): Promise<QueryResult<never>> => Promise.resolve({ rows: [] }),
  async *streamQuery(): AsyncIterableIterator<QueryResult<never>> {
    // No row comes from nowhere.
  },
  command: () => Promise.resolve(),
  cancelQuery: () => Promise.resolve(),
  killSession: () => Promise.resolve(),
  commit: () => Promise.resolve(),
  rollback: () => Promise.resolve(),
  release: () => undefined,
};

const told = new WeakSet<object>();

/** Says a thing about an object once. */
function warnOnce(about: object, message: string): void {
  if (told.has(about)) return;
  told.add(about);
  process.emitWarning(message, { code: 'NESTJS_POOLING_NO_TRANSACTION' });
}

/**
 * What a test has put in the place of a database: functions run as they are, and their hooks after them.
 *
 * @throws PoolTransactionError `ERR_POOL_TRANSACTION_FORBIDDEN` for a transaction of Kysely's own: what is called would not
 * belong to it.
 */
export function standInWay(db: object, name: string = DEFAULT_NAME, warn = warnOnce): TransactionalWay {
  if ((db as { isTransaction?: unknown }).isTransaction === true) {
    throw new PoolTransactionError(
      name,
      `${name}: a transaction that was begun with db.transaction() can't take others in: give what @InjectDb() has given, ` +
        'or begin the transaction with transactional()',
      { code: 'ERR_POOL_TRANSACTION_FORBIDDEN' },
    );
  }
  warn(db, `${name}: the database was replaced by something else: what is transactional runs without a transaction`);
  return {
    database: db,
    name,
    session: () => NO_SESSION,
    ended: () => undefined,
    hookFailed: (kind, error) => process.emitWarning(`${name}: a hook of ${kind} has failed: ${String(error)}`),
  };
}
