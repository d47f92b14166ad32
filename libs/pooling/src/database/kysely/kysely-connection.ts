import type {
  CompiledQuery,
  DatabaseConnection,
  PostgresCursorConstructor,
  QueryResult,
  TransactionSettings,
} from 'kysely';
import type { QueryResult as PgQueryResult, Submittable } from 'pg';
import { PoolLeaseReleasedError, PoolTransactionError } from '../../core/errors.js';
import type { CloseReason } from '../../core/statistics.js';
import type { PostgresConnection } from '../connection/connection.js';
import type { DatabaseAccess } from '../database-access.js';
import type { DatabaseLease } from '../database-lease.js';
import type { DatabasePool } from '../database-pool.js';
import { kyselyResult } from './kysely-result.js';
import { querySummary } from './query-summary.js';
import { loadPgCursor } from '../pg-package.cjs';
import { RetriedTransaction, type TransactionTrace } from './retried-transaction.js';
import { promiseOf, type QueryText } from '../query/query-forms.js';
import { textOfCompiled } from './unprepared-plugin.js';

/** The transaction whose statements a connection runs. */
export interface ConnectionScope {
  /** Lets in nothing more; resolves when what was asked for before is answered. */
  end(): Promise<void>;
  /** A stream has begun. */
  streams(): void;
}

/**
 * Kysely's view of one lease. It can be given back early: when a commit or rollback fails, Kysely itself doesn't
 * always release (kysely-org/kysely#1990), and a slot must not be lost for that.
 */
export class KyselyConnection implements DatabaseConnection {
  readonly #pool: Pick<DatabasePool, 'name' | 'configuration'>;
  readonly #access: DatabaseAccess;
  readonly #lease: DatabaseLease;
  readonly #cursor: PostgresCursorConstructor | undefined;
  /** Where the last transaction that was begun here stands; its end counts from when it is asked for. */
  transaction: 'none' | 'open' | 'over' = 'none';
  /** What lets the statements of that transaction in. */
  scope: ConnectionScope | undefined = undefined;
  /** The command that was answered last. */
  command = '';
  /** What tracers hear of the transaction. */
  #trace: TransactionTrace | undefined = undefined;
  #running = 0;
  #streams = 0;

  constructor(
    pool: Pick<DatabasePool, 'name' | 'configuration'>,
    access: DatabaseAccess,
    lease: DatabaseLease,
    cursor: PostgresCursorConstructor | undefined,
  ) {
    this.#pool = pool;
    this.#access = access;
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
    this.#learn(compiledQuery);
    const answer = await this.run(textOfCompiled(compiledQuery), compiledQuery.parameters as unknown[]);
    this.command = answer.command;
    return kyselyResult(answer);
  }

  #learn({ sql, query, parameters }: CompiledQuery): void {
    this.#access.queries.traces.learn(sql, parameters.length > 0, () => querySummary(query));
  }

  /** Whether a stream is open. */
  get streams(): boolean {
    return this.#streams > 0;
  }

  /** Begins a transaction: what was begun here before is over for good. */
  begun(settings: TransactionSettings): void {
    this.tell('rolled back');
    this.transaction = 'open';
    this.scope = undefined;
    this.#trace = RetriedTransaction.begin(this.#access.queries.traces, settings);
    if (this.#trace !== undefined) this.#connection().runner.transaction = this.#trace.trace;
  }

  /** Ends it: nothing more is let in, and what was asked for before is answered when this resolves. */
  async ended(): Promise<void> {
    this.transaction = 'over';
    await this.scope?.end();
  }

  /** Tells tracers how the transaction has ended; a second time does nothing. */
  tell(outcome: 'committed' | 'rolled back' | 'unknown', error?: unknown): void {
    const trace = this.#trace;
    if (trace === undefined) return;
    this.#trace = undefined;
    if (!this.#lease.released) this.#lease.connection.runner.transaction = undefined;
    trace.end(outcome, error);
  }

  /** The same, for those who come after the end. */
  get closed(): ClosedConnection {
    return new ClosedConnection(this);
  }

  /** The error of what comes after the end. */
  transactionOver(): PoolTransactionError {
    const { name } = this.#pool;
    return new PoolTransactionError(
      name,
      `${name}: the statement was not sent: COMMIT or ROLLBACK of its transaction had been asked for before. ` +
        'Await what belongs to a transaction before it ends',
    );
  }

  /** Runs one statement on this connection. */
  async run(text: QueryText, values?: unknown[]): Promise<PgQueryResult> {
    const connection = this.#connection();
    this.#running++;
    try {
      return await promiseOf((outcome) =>
        connection.runner.execute(this.#lease, text, values, this.#pool.configuration.queryTimeoutMs, outcome),
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
    this.#learn(compiledQuery);
    connection.runner.submit(this.#lease, cursor as unknown as Submittable);
    this.#running++;
    this.#streams++;
    this.scope?.streams();
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
      this.#streams--;
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
    this.tell('rolled back');
    this.#access.leases.giveBack(this.#lease, undefined, reason);
  }

  #connection(): PostgresConnection {
    if (!this.#lease.released) return this.#lease.connection;
    if (this.transaction === 'over') throw this.transactionOver();
    const { name } = this.#pool;
    throw new PoolLeaseReleasedError(name, `${name}: the connection was used after it had been given back to the pool`);
  }
}

/**
 * What is left of a connection for those whose transaction is over: nothing runs on it. It may be rolled back, as
 * Kysely's documentation has it after a failed commit.
 */
export class ClosedConnection implements DatabaseConnection {
  /** The connection itself, for the driver. */
  readonly session: KyselyConnection;

  constructor(session: KyselyConnection) {
    this.session = session;
  }

  async executeQuery(): Promise<never> {
    throw this.session.transactionOver();
  }

  // eslint-disable-next-line require-yield
  async *streamQuery(): AsyncIterableIterator<never> {
    throw this.session.transactionOver();
  }
}

/** pg-cursor is wanted by those who stream, so that it is loaded when somebody does. */
function requireCursor(): PostgresCursorConstructor {
  const loaded = loadPgCursor();
  if ('module' in loaded) return loaded.module as PostgresCursorConstructor;
  throw new Error('streaming needs the package pg-cursor: npm install pg-cursor', { cause: loaded.error });
}
