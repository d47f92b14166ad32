import { PoolTransactionError } from '../../../core/errors.js';
import type { BegunAt } from './begun-at.js';
import { Scope, type ScopedTransaction } from './scope.js';
import type { Beginning } from '../../query/opening.js';
import type { TransactionSession } from './transaction-session.js';

/** How long a cancelled transaction may take to answer before its connection is given up, in milliseconds. */
const ABORT_MS = 1_000;

/** Numbers savepoints, so that a name is never used twice on a connection. */
let savepoints = 0;

/** The parts of an ambient transaction. */
export interface AmbientParts {
  /** The name of the database. */
  readonly name: string;
  readonly beginning: Beginning;
  readonly begunAt: BegunAt;
  readonly session: TransactionSession;
}

/** A transaction that code belongs to by its async context. It leases and sends nothing before its first statement. */
export class AmbientTransaction implements ScopedTransaction {
  readonly name: string;
  readonly beginning: Beginning;
  readonly begunAt: BegunAt;
  readonly session: TransactionSession;
  readonly root: Scope;

  constructor({ name, beginning, begunAt, session }: AmbientParts) {
    this.name = name;
    this.beginning = beginning;
    this.begunAt = begunAt;
    this.session = session;
    this.root = new Scope(this);
  }

  nextSavepoint(): string {
    savepoints = (savepoints + 1) % Number.MAX_SAFE_INTEGER;
    return `ambient_${savepoints}`;
  }

  /** Commits it; resolves when the connection is back. */
  async commit(): Promise<void> {
    this.root.close();
    await this.root.undoUnfinished();
    await this.session.commit();
    this.session.release();
  }

  /** Rolls it back. Never throws. */
  async rollback(): Promise<void> {
    this.root.close();
    await this.session.rollback();
    this.session.release();
  }

  /** Cancels what runs and rolls back. When that takes longer than a second, the connection is closed instead. */
  async abort(reason: Error): Promise<void> {
    this.root.close(reason);
    await withinASecond(this.session, async () => {
      await this.session.cancelQuery();
      await this.session.rollback();
    });
    this.session.release();
  }

  /** The error of what comes after its end, or after that of a savepoint in it. */
  overError(what: 'savepoint' | 'transaction', reason: Error | undefined): PoolTransactionError {
    const { name } = this;
    const begun = this.begunAt.begunBy;
    const where = begun === undefined ? '' : ` that was begun by ${begun}`;
    return new PoolTransactionError(
      name,
      `${name}: refused, because the ${what}${where} is over. ` +
        'Await everything that belongs to a transaction before it ends, or start work that outlives it with withoutTransaction()',
      {
        details: begun === undefined ? {} : { begunAt: begun },
        ...(reason === undefined ? undefined : { cause: reason }),
      },
    );
  }
}

/** Runs the end of a transaction or savepoint, and closes the connection when that takes longer than a second. */
export async function withinASecond(session: TransactionSession, end: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => (timer = setTimeout(resolve, ABORT_MS, 'late')));
  // A cancel request that fails means that the server can't be reached: the connection is lost anyway.
  const ended = end().catch(() => undefined);
  const outcome = await Promise.race([ended, late]);
  clearTimeout(timer);
  if (outcome === 'late') session.release('query-timeout');
}
