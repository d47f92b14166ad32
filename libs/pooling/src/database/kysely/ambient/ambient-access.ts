import type { Kysely, Transaction } from 'kysely';
import type { AcquireOrigin, TransactionOrigin } from '../../../core/acquire-origin.js';
import type { EngineAcquireOptions } from '../../../core/pool-options.js';
import type { HookKind } from './hooks.js';
import type { TransactionOutcomes } from '../../transaction-tally.js';
import type { Membership } from './membership.js';
import type { Beginning } from '../../query/opening.js';
import type { TransactionSession } from './transaction-session.js';

/** How transactions of one database are begun. */
export interface TransactionalWay {
  /** Identifies the database: its pool, or what a test has put in its place. */
  readonly database: object;
  /** Another database whose transactions it joins: that whose replicas it stands for. */
  readonly joins?: object | undefined;
  /** Its name. */
  readonly name: string;
  /** A new transaction, on a connection of its own. */
  session(beginning: Beginning, acquire: EngineAcquireOptions): TransactionSession;
  /** Who begins a transaction, captured at its beginning: its connection is leased with its first statement. */
  origin(begun: TransactionOrigin): AcquireOrigin;
  /** Runs the function of a new transaction. */
  holding<Result>(fn: () => Result): Result;
  /** A transaction has ended. */
  ended(outcome: keyof TransactionOutcomes): void;
  /** A hook has thrown. */
  hookFailed(hook: HookKind, error: unknown, begunAt: string | undefined): void;
}

/** What every copy of this library knows the others' by. */
const ANY_COPY = Symbol.for('nestjs-pooling:ambient-access');

function ambientOf(db: object): unknown {
  const { getExecutor } = db as Partial<Kysely<unknown>>;
  if (typeof getExecutor !== 'function') return undefined;
  return (getExecutor.call(db as Kysely<unknown>) as { readonly ambient?: unknown } | undefined)?.ambient;
}

/** Whether a Kysely is that of another copy of this library: its transactions can't be joined from here. */
export function isOfAnotherCopy(db: object): boolean {
  const ambient = ambientOf(db) as { readonly [ANY_COPY]?: unknown } | undefined;
  return !(ambient instanceof AmbientAccess) && ambient?.[ANY_COPY] === true;
}

/** What an executor of this library's Kysely offers for ambient transactions. */
export class AmbientAccess {
  readonly [ANY_COPY] = true;
  readonly way: TransactionalWay;
  /** Kysely's `Transaction` for a membership, with the executor's plugins. */
  readonly transactionFor: (membership: Membership) => Transaction<unknown>;

  constructor(way: TransactionalWay, transactionFor: AmbientAccess['transactionFor']) {
    this.way = way;
    this.transactionFor = transactionFor;
  }

  /** The one of a Kysely; `undefined`: the Kysely isn't this library's, or it is a test's stand-in. */
  static of(db: object): AmbientAccess | undefined {
    const ambient = ambientOf(db);
    // A mock may have a property of any name.
    return ambient instanceof AmbientAccess ? ambient : undefined;
  }
}
