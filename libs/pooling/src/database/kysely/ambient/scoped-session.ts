import type { CompiledQuery, QueryResult } from 'kysely';
import type { EngineAcquireOptions } from '../../../core/pool-options.js';
import type { CloseReason } from '../../../core/statistics.js';
import { commandQuery } from '../command-query.js';
import { ConnectionScope } from '../connection-scope.js';
import type { ConnectionWay } from '../connection-way.js';
import type { KyselyConnection } from '../kysely-connection.js';
import { connectionOn } from '../read-only-connection.js';
import type { Beginning } from '../../query/opening.js';
import type { TransactionSession } from './transaction-session.js';

/** A transaction on a connection that is leased with its first statement. */
export class ScopedSession implements TransactionSession {
  readonly #connection: KyselyConnection;
  readonly #scope: ConnectionScope;

  constructor(way: ConnectionWay, beginning: Beginning, acquire: EngineAcquireOptions) {
    this.#connection = connectionOn(way, undefined, acquire);
    this.#connection.begin(beginning);
    this.#scope = new ConnectionScope(this.#connection);
  }

  get pending(): number {
    return this.#connection.pending;
  }

  executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    return this.#scope.run<Row>(query);
  }

  async *streamQuery<Row>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<Row>> {
    let done!: () => void;
    const streamed = new Promise<void>((resolve) => (done = resolve));
    const stream = await new Promise<AsyncIterableIterator<QueryResult<Row>>>((resolve, reject) => {
      this.#scope.alone
        .provideConnection((connection) => {
          resolve(connection.streamQuery<Row>(query, chunkSize));
          return streamed;
        })
        .catch(reject);
    });
    try {
      yield* stream;
    } finally {
      done();
    }
  }

  async command(text: string): Promise<void> {
    await this.#scope.run(commandQuery(text));
  }

  cancelQuery(): Promise<void> {
    return this.#connection.cancelQuery();
  }

  killSession(): Promise<void> {
    return this.#connection.killSession();
  }

  commit(): Promise<void> {
    return this.#connection.commit();
  }

  rollback(): Promise<void> {
    return this.#connection.rollback();
  }

  release(reason?: CloseReason): void {
    this.#connection.release(reason);
  }
}
