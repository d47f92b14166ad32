import type { KyselyProps } from 'kysely';
import type { AcquireOrigin, TransactionOrigin } from '../../../core/acquire-origin.js';
import type { EngineAcquireOptions } from '../../../core/pool-options.js';
import type { TransactionOutcomes } from '../../transaction-tally.js';
import type { ConnectionWay } from '../connection-way.js';
import type { HookKind } from './hooks.js';
import { ScopedSession } from './scoped-session.js';
import type { Beginning } from '../../query/opening.js';
import type { TransactionSession } from './transaction-session.js';
import type { TransactionalWay } from './ambient-access.js';

/** Begins ambient transactions on a pool, and counts how they end. */
export class TransactionsOfPool implements TransactionalWay {
  readonly database: object;
  readonly joins: object | undefined;
  readonly name: string;
  /** What Kysely's `Transaction` is made of, besides the executor. */
  readonly kyselyParts: Omit<KyselyProps, 'executor'>;
  readonly #way: ConnectionWay;

  constructor(way: ConnectionWay, kyselyParts: Omit<KyselyProps, 'executor'>, joins?: object) {
    this.database = way.pool;
    this.joins = joins;
    this.name = way.pool.name;
    this.kyselyParts = kyselyParts;
    this.#way = way;
  }

  session(beginning: Beginning, acquire: EngineAcquireOptions): TransactionSession {
    return new ScopedSession(this.#way, beginning, { ...acquire, follows: true });
  }

  origin(begun: TransactionOrigin): AcquireOrigin {
    const { trace, label, span } = this.#way.leases.origin;
    return { trace, label, span, transaction: begun };
  }

  holding<Result>(fn: () => Result): Result {
    const { lender } = this.#way.leases;
    return lender === undefined ? fn() : lender.holding(fn);
  }

  ended(outcome: keyof TransactionOutcomes): void {
    this.#way.transactions.outcomes[outcome]++;
  }

  hookFailed(hook: HookKind, error: unknown, begunAt: string | undefined): void {
    const begun = begunAt === undefined ? undefined : { begunAt };
    this.#way.transactions.hookFailed({ pool: this.name, hook, error, ...begun });
  }
}
