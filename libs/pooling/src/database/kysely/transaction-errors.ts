import { PoolCommitUnknownError } from '../../core/errors.js';
import { pg } from '../pg.js';
import { endsConnection } from '../server-errors.js';

/** Marks an error for Kysely 0.29: the failed commit has already ended the transaction. */
const ABORTED_TRANSACTION = Symbol.for('kysely.AbortedTransactionError');

/** Whether an error is the server's answer, after which the connection lives on. */
export function isAnswer(error: unknown): boolean {
  return error instanceof pg.DatabaseError && !endsConnection(error);
}

/** The error of a commit that was sent and not answered. */
export function commitUnknownError(pool: string, cause: unknown): PoolCommitUnknownError {
  return new PoolCommitUnknownError(
    pool,
    `${pool}: the connection was lost after COMMIT was sent and before it was answered: ` +
      'the transaction may have been committed or not',
    { cause },
  );
}

/** The error of a commit that rolled back instead: a statement, or `BEGIN`, had failed. */
export function rolledBackError(cause: Error | undefined): Error {
  const message = 'the transaction was rolled back instead of committed: one of its statements had failed';
  return Object.assign(new Error(message, cause === undefined ? undefined : { cause }), {
    code: '25P02',
    [ABORTED_TRANSACTION]: true,
  });
}
