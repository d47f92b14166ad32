import type { Kysely, Transaction } from 'kysely';
import type { AcquireOptions } from '../../../core/pool-options.js';
import type { HookKind } from './hooks.js';
import type { TransactionOutcomes } from '../../transaction-tally.js';
import type { Membership } from './membership.js';
import type { Beginning, TransactionSession } from './session.js';

/** How transactions of one database are begun. */
export interface TransactionalWay {
  /** By this its transactions are known: its pool, or what stands in for the database. */
  readonly database: object;
  /** Its name. */
  readonly name: string;
  /** A transaction of its own. */
  session(beginning: Beginning, acquire: AcquireOptions): TransactionSession;
  /** A transaction has ended. */
  ended(outcome: keyof TransactionOutcomes): void;
  /** A hook has thrown. */
  hookFailed(hook: HookKind, error: unknown, begunAt: string | undefined): void;
}

/** What an executor of this library's Kysely knows of transactions that travel by the async context. */
export class AmbientAccess {
  readonly way: TransactionalWay;
  /** Kysely's view of the transaction that a member belongs to, with the executor's plugins. */
  readonly transactionFor: (membership: Membership) => Transaction<unknown>;

  constructor(way: TransactionalWay, transactionFor: AmbientAccess['transactionFor']) {
    this.way = way;
    this.transactionFor = transactionFor;
  }

  /** That of a Kysely; `undefined`: it isn't this library's, or it is what stands in for one in a test. */
  static of(db: object): AmbientAccess | undefined {
    const { getExecutor } = db as Partial<Kysely<unknown>>;
    if (typeof getExecutor !== 'function') return undefined;
    const executor = getExecutor.call(db as Kysely<unknown>) as { readonly ambient?: unknown } | undefined;
    const ambient = executor?.ambient;
    // A mock has whatever it is asked for.
    return ambient instanceof AmbientAccess ? ambient : undefined;
  }
}
