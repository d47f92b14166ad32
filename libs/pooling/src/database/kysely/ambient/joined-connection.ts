import type { CompiledQuery, DatabaseConnection, QueryResult, TransactionSettings } from 'kysely';
import { refuseMismatch } from './mismatch.js';
import { innermost, type Membership } from './membership.js';
import type { Scope } from './scope.js';

/** Kysely's connection to the ambient transaction: a transaction that Kysely begins on it is a savepoint. */
export class JoinedConnection implements DatabaseConnection {
  readonly membership: Membership;
  constructor(membership: Membership) {
    this.membership = membership;
  }

  get #scope(): Scope {
    return this.membership.scope as Scope;
  }

  executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    return this.membership.execute<Row>(query);
  }

  streamQuery<Row>(query: CompiledQuery, chunkSize = 100): AsyncIterableIterator<QueryResult<Row>> {
    return this.#scope.stream<Row>(query, chunkSize);
  }

  /** For Kysely 0.29. */
  async cancelQuery(): Promise<void> {
    await this.#scope.transaction.session.cancelQuery();
  }

  /** For Kysely 0.29: ends the connection, and the transaction with it. */
  async killSession(): Promise<void> {
    await this.#scope.transaction.session.killSession();
  }

  /** Begins a savepoint. From now on the context of `db.transaction().execute()` belongs to it. */
  async begin(settings: TransactionSettings): Promise<void> {
    refuseMismatch(this.#scope.transaction, settings);
    const { membership } = this;
    membership.begun = true;
    if (innermost() === membership) {
      membership.savepoint = await this.#scope.nest();
    } else {
      membership.savepoint = await this.#scope.nestBeside();
      membership.byObject = true;
    }
    membership.scope = membership.savepoint;
  }

  async commit(): Promise<void> {
    await this.#scope.release();
  }

  /** Kysely 0.28.0 asks for it as well when the savepoint could not be begun: nothing around it may be undone for that. */
  async rollback(): Promise<void> {
    await this.membership.savepoint?.undo();
  }
}
