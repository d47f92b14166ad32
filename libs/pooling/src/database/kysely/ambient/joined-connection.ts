import type { CompiledQuery, ConnectionProvider, DatabaseConnection, QueryResult, TransactionSettings } from 'kysely';
import { refuseMismatch } from './joining.js';
import { innermost, type Membership } from './membership.js';
import type { Scope } from './scope.js';

/** Kysely's view of a transaction that its caller belongs to: a transaction that is begun on it is a savepoint. */
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

  /** Begins a savepoint: what is called in the context of `db.transaction().execute()` belongs to it from now on. */
  async begin(settings: TransactionSettings): Promise<void> {
    refuseMismatch(this.#scope.transaction, settings);
    const { membership } = this;
    membership.begun = true;
    if (innermost() === membership) {
      membership.scope = await this.#scope.nest();
      return;
    }
    membership.scope = await this.#scope.nestBeside();
    membership.byObject = true;
  }

  async commit(): Promise<void> {
    await this.#scope.release();
  }

  async rollback(): Promise<void> {
    await this.#scope.undo();
  }
}

/** The connection that Kysely has just put into a provider of its own, which gives it at once. */
export function joinedConnectionOf(provider: ConnectionProvider): JoinedConnection | undefined {
  let found: DatabaseConnection | undefined;
  provider
    .provideConnection((connection) => {
      found = connection;
      return Promise.resolve();
    })
    .catch(() => undefined);
  return found instanceof JoinedConnection ? found : undefined;
}
