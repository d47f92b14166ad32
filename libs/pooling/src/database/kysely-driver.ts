import type {
  CompiledQuery,
  DatabaseConnection,
  Driver,
  IdentifierNode,
  PostgresCursorConstructor,
  QueryCompiler,
  QueryId,
  QueryResult,
  RawNode,
  TransactionSettings,
} from 'kysely';
import type { QueryResult as PgQueryResult, Submittable } from 'pg';
import { PoolCommitUnknownError, PoolLeaseReleasedError } from '../core/errors.js';
import type { AcquireOptions } from '../core/pool-options.js';
import type { CloseReason } from '../core/statistics.js';
import type { PostgresConnection } from './connection.js';
import type { DatabaseLease } from './database-leases.js';
import type { DatabasePool } from './database-pool.js';
import { pg } from './pg.js';
import { loadPgCursor } from './pg-package.cjs';
import { kyselyResult } from './pool-query-executor.js';
import { promiseOf, type QueryText } from './query-forms.js';
import { endsConnection } from './server-errors.js';
import { textOfCompiled } from './unprepared-plugin.js';

/** By this Kysely 0.29 knows that a failed commit has already ended the transaction. */
const ABORTED_TRANSACTION = Symbol.for('kysely.AbortedTransactionError');

/** What Kysely 0.29 hands to operations that can be aborted. */
type AbortableOptions = Pick<AcquireOptions, 'signal'>;

/**
 * Kysely's view of one lease. It can be given back early: when a commit or rollback fails, Kysely itself doesn't
 * always release (kysely-org/kysely#1990), and a slot must not be lost for that.
 */
export class KyselyConnection implements DatabaseConnection {
  readonly #pool: DatabasePool;
  readonly #lease: DatabaseLease;
  readonly #cursor: PostgresCursorConstructor | undefined;
  #running = 0;

  constructor(pool: DatabasePool, lease: DatabaseLease, cursor: PostgresCursorConstructor | undefined) {
    this.#pool = pool;
    this.#lease = lease;
    this.#cursor = cursor;
  }

  /** Whether the lease is over. */
  get released(): boolean {
    return this.#lease.released;
  }

  /** Whether a statement can still be sent. */
  get alive(): boolean {
    return !this.#lease.released && this.#lease.connection.alive;
  }

  async executeQuery<Row>(compiledQuery: CompiledQuery): Promise<QueryResult<Row>> {
    return kyselyResult(await this.run(textOfCompiled(compiledQuery), compiledQuery.parameters as unknown[]));
  }

  /** Runs one statement on this connection. */
  async run(text: QueryText, values?: unknown[]): Promise<PgQueryResult> {
    const connection = this.#connection();
    this.#running++;
    try {
      return await promiseOf((outcome) =>
        connection.execute(this.#lease, text, values, this.#pool.configuration.queryTimeoutMs, outcome),
      );
    } finally {
      this.#running--;
    }
  }

  async *streamQuery<Row>(compiledQuery: CompiledQuery, chunkSize = 100): AsyncIterableIterator<QueryResult<Row>> {
    if (!Number.isInteger(chunkSize) || chunkSize <= 0) throw new Error('chunkSize must be a positive integer');
    const Cursor = this.#cursor ?? requireCursor();
    const connection = this.#connection();
    const cursor = new Cursor<Row>(compiledQuery.sql, compiledQuery.parameters.slice());
    connection.submit(cursor as unknown as Submittable);
    this.#running++;
    try {
      for (;;) {
        const rows = await cursor.read(chunkSize);
        if (rows.length === 0) break;
        yield { rows };
      }
    } finally {
      // The server's answer to the goodbye never comes on a connection that died.
      await Promise.race([cursor.close(), connection.ended]);
      this.#running--;
    }
  }

  /** For Kysely 0.29: cancels on the server what runs here now. */
  async cancelQuery(): Promise<void> {
    if (this.#running > 0 && this.alive) await this.#lease.connection.cancel();
  }

  /** For Kysely 0.29: cancels what runs and destroys the connection. */
  async killSession(): Promise<void> {
    if (this.#running === 0 || !this.alive) return;
    const { connection } = this.#lease;
    connection.abandon('broken');
    await connection.ended;
  }

  /** Gives the lease back; a second time does nothing. */
  release(reason?: CloseReason): void {
    this.#pool.leases.giveBack(this.#lease, undefined, reason);
  }

  #connection(): PostgresConnection {
    if (!this.#lease.released) return this.#lease.connection;
    const { name } = this.#pool;
    throw new PoolLeaseReleasedError(
      name,
      `${name}: the connection was used after it had been given back to the pool: its transaction is over`,
    );
  }
}

/** Kysely's driver over a {@link DatabasePool}: each connection is a lease. */
export class KyselyDriver implements Driver {
  readonly #pool: DatabasePool;
  readonly #cursor: PostgresCursorConstructor | undefined;

  constructor(pool: DatabasePool, cursor: PostgresCursorConstructor | undefined) {
    this.#pool = pool;
    this.#cursor = cursor;
  }

  async init(): Promise<void> {
    // The pool connects when it is used.
  }

  async acquireConnection(options?: AbortableOptions): Promise<KyselyConnection> {
    return new KyselyConnection(this.#pool, await this.#pool.leases.acquire(options), this.#cursor);
  }

  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    const { isolationLevel, accessMode } = settings;
    const level = isolationLevel === undefined ? '' : ` isolation level ${isolationLevel}`;
    const access = accessMode === undefined ? '' : ` ${accessMode}`;
    const session = own(connection);
    try {
      await session.run(`start transaction${level}${access}`);
    } catch (error) {
      // Kysely's controlled transactions before 0.28.18 don't.
      session.release();
      throw error;
    }
  }

  /**
   * A commit that fails ends the lease. When it was sent and not answered, nobody knows whether it happened:
   * `ERR_POOL_COMMIT_UNKNOWN`.
   */
  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    const session = own(connection);
    const mayHaveBeenSent = session.alive;
    let result: PgQueryResult;
    try {
      result = await session.run('commit');
    } catch (error) {
      session.release();
      const answered = error instanceof pg.DatabaseError && !endsConnection(error);
      throw answered || !mayHaveBeenSent ? error : this.#commitUnknown(error);
    }
    if (result.command !== 'ROLLBACK') return;
    session.release();
    throw Object.assign(
      new Error('the transaction was rolled back instead of committed: one of its statements had failed'),
      { code: '25P02', [ABORTED_TRANSACTION]: true },
    );
  }

  /** Always ends the transaction: where the statement can't, the end of the connection does. */
  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    const session = own(connection);
    if (session.released) return;
    if (!session.alive) return session.release();
    try {
      await session.run('rollback');
    } catch {
      session.release('transaction');
    }
  }

  async savepoint(
    connection: DatabaseConnection,
    name: string,
    compileQuery: QueryCompiler['compileQuery'],
  ): Promise<void> {
    await connection.executeQuery(savepointCommand('savepoint', name, compileQuery));
  }

  async rollbackToSavepoint(
    connection: DatabaseConnection,
    name: string,
    compileQuery: QueryCompiler['compileQuery'],
  ): Promise<void> {
    await connection.executeQuery(savepointCommand('rollback to', name, compileQuery));
  }

  async releaseSavepoint(
    connection: DatabaseConnection,
    name: string,
    compileQuery: QueryCompiler['compileQuery'],
  ): Promise<void> {
    await connection.executeQuery(savepointCommand('release', name, compileQuery));
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    own(connection).release();
  }

  async destroy(): Promise<void> {
    await this.#pool.end();
  }

  #commitUnknown(cause: unknown): PoolCommitUnknownError {
    const { name } = this.#pool;
    return new PoolCommitUnknownError(
      name,
      `${name}: the connection was lost after COMMIT was sent and before it was answered: ` +
        'the transaction may have been committed or not',
      { cause },
    );
  }
}

function own(connection: DatabaseConnection): KyselyConnection {
  return connection as KyselyConnection;
}

/** No plugin sees these commands. */
const SAVEPOINT_ID: QueryId = { queryId: 'savepoint' };

function savepointCommand(command: string, name: string, compileQuery: QueryCompiler['compileQuery']): CompiledQuery {
  const identifier: IdentifierNode = { kind: 'IdentifierNode', name };
  const node: RawNode = { kind: 'RawNode', sqlFragments: [`${command} `, ''], parameters: [identifier] };
  return compileQuery(node, SAVEPOINT_ID);
}

/** pg-cursor is wanted by those who stream, so that it is loaded when somebody does. */
function requireCursor(): PostgresCursorConstructor {
  const loaded = loadPgCursor();
  if ('module' in loaded) return loaded.module as PostgresCursorConstructor;
  throw new Error('streaming needs the package pg-cursor: npm install pg-cursor', { cause: loaded.error });
}
