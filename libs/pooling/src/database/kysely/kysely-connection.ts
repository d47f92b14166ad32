import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely';
import type { QueryResult as PgQueryResult, Submittable } from 'pg';
import { PoolTransactionError } from '../../core/errors.js';
import type { AcquireOptions } from '../../core/pool-options.js';
import type { CloseReason } from '../../core/statistics.js';
import type { DatabaseLease } from '../database-lease.js';
import { Opening, type Beginning } from '../query/opening.js';
import { promiseOf, type QueryOutcome, type StatementForm } from '../query/query-forms.js';
import { noting, type WriteNote } from '../query/write-notes.js';
import { commandQuery, formOf } from './command-query.js';
import { ConnectionNotes } from './connection-notes.js';
import type { ConnectionWay } from './connection-way.js';
import { kyselyResult } from './kysely-result.js';
import { isLogging, logged, loggedBeginning, loggedStream } from './logged-queries.js';
import { behindStreams, OpenStreams } from './open-streams.js';
import { OrderedStatements } from './ordered-statements.js';
import { installedCursor } from './pg-cursor.js';
import { querySummary } from './query-summary.js';
import { RetriedTransaction, type TransactionTrace } from './retried-transaction.js';
import { commitUnknownError, isAnswer, rolledBackError } from './transaction-errors.js';
import { textOfCompiled } from './unprepared-plugin.js';

/** The scope of a transaction: it lets statements to the connection. */
export interface TransactionScope {
  /** Accepts nothing more; resolves when what was asked for before is answered. */
  end(): Promise<void>;
  /** Runs `SAVEPOINT` and the like in order with the statements. */
  command(query: CompiledQuery): Promise<QueryResult<unknown>>;
  /** A stream has begun. */
  streams(): void;
}

export type { ConnectionWay } from './connection-way.js';

type TransactionOutcome = Parameters<TransactionTrace['end']>[0];

/** How a statement has ended. */
export interface StatementOutcome {
  readonly error: Error | undefined;
  readonly result: PgQueryResult;
  /** Whether the server has done nothing for it. */
  readonly untouched: boolean;
  readonly durationMs: number;
}

/**
 * Kysely's view of one lease, and of the transaction on it. `BEGIN` leaves with the first statement of a transaction; its
 * statements are sent as they are asked for, and answered in order.
 *
 * It can be given back early: when a commit or rollback fails, Kysely itself doesn't always release
 * (kysely-org/kysely#1990), and a slot must not be lost for that.
 */
export class KyselyConnection implements DatabaseConnection {
  /** The state of the last transaction that was begun here. It is over as soon as its end is asked for. */
  transaction: 'none' | 'open' | 'over' = 'none';
  /** How many transactions were begun here. */
  transactions = 0;
  /** How many statements were asked for in the last transaction. */
  statements = 0;
  /** How many scopes were made on it: a transaction within `db.connection()` has the second one. */
  scopes = 0;
  /** The scope of the last transaction. */
  scope: TransactionScope | undefined = undefined;
  readonly #way: ConnectionWay;
  readonly #statements: OrderedStatements;
  readonly #notes: ConnectionNotes;
  /** What tracers hear of the transaction. */
  #trace: TransactionTrace | undefined = undefined;
  #beginLogged = true;
  /** The streams that are open on it. */
  readonly open = new OpenStreams();

  /** @param lease left out: it is leased with its first statement, by `acquire`. */
  constructor(way: ConnectionWay, lease?: DatabaseLease, acquire?: AcquireOptions) {
    this.#way = way;
    this.#statements = new OrderedStatements(way, lease, acquire);
    this.#notes = new ConnectionNotes(way.writes);
  }

  /** Whether the lease is over. */
  get released(): boolean {
    return this.#statements.over;
  }

  /** Whether a statement can still be sent. */
  get alive(): boolean {
    const { connection, over } = this.#statements;
    return !over && (connection === undefined || connection.alive);
  }

  /** Whether a stream is open. */
  get streams(): boolean {
    return this.open.count > 0;
  }

  /** Statements without an answer, and open streams. */
  get pending(): number {
    return this.#statements.running + this.open.count;
  }

  /** Whether anything of the transaction was sent, or is about to be. */
  get sent(): boolean {
    const { opening, running } = this.#statements;
    return opening !== undefined && (opening.state !== 'due' || running > 0);
  }

  /**
   * Begins a transaction; one that was begun here before is over. Nothing is sent before the first statement.
   *
   * @param batchSize how many statements it has, where it is a batch.
   */
  begin(beginning: Beginning, batchSize?: number): void {
    this.tell('rolled back');
    this.transaction = 'open';
    this.transactions++;
    this.statements = 0;
    this.scope = undefined;
    this.#notes.begin(beginning);
    this.#statements.opening = new Opening(beginning);
    this.#statements.role = batchSize === undefined ? 'statement' : 'batched';
    this.#beginLogged = false;
    this.#trace = RetriedTransaction.begin(this.#way.queries.traces, beginning, batchSize);
    this.#statements.trace = this.#trace?.trace;
  }

  /** Whether {@link run} does all that {@link executeQuery} does. */
  get plain(): boolean {
    return !isLogging(this.#way.log);
  }

  /** Runs one statement, after those that were asked for before. */
  executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    return this.plain ? this.run(query) : this.#executeLogged(query);
  }

  /** Runs one statement past Kysely's log, and calls back before its promise settles. */
  run<Row>(query: CompiledQuery, answered?: () => void): Promise<QueryResult<Row>> {
    return promiseOf((outcome) => this.#start(query, outcome), kyselyResult<Row>, answered);
  }

  async #executeLogged<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    const opening = this.#beginLogged ? undefined : this.#statements.opening;
    this.#beginLogged = true;
    return kyselyResult(await loggedBeginning(this.#way.log, opening, query, () => this.#run(query)));
  }

  #run(query: CompiledQuery): Promise<PgQueryResult> {
    return promiseOf((outcome) => this.#start(query, outcome));
  }

  #start(query: CompiledQuery, outcome: QueryOutcome): void {
    const note = this.#asked(query);
    const heard = note === undefined ? outcome : noting(note, outcome);
    this.#statements.run(textOfCompiled(query), query.parameters as unknown[], formOf(query), heard);
  }

  /** Gives the note that is to be taken of a statement; that of a transaction is taken with its end. */
  #asked(query: CompiledQuery): WriteNote | undefined {
    this.statements++;
    const { traces } = this.#way.queries;
    if (traces.heard) traces.learn(query.sql, query.parameters.length > 0, () => querySummary(query.query));
    if (this.transaction !== 'open') return this.#notes.ofStatement(query);
    this.#notes.asked(query);
    return undefined;
  }

  /** Runs a statement and gives its outcome; never rejects. The caller tells Kysely's log. */
  outcomeOf(query: CompiledQuery, values: unknown[], form: StatementForm): Promise<StatementOutcome> {
    this.#asked(query);
    const startedAt = performance.now();
    return new Promise((resolve) => {
      const outcome: QueryOutcome = (error, result, untouched = false) =>
        resolve({
          error,
          result,
          untouched: error !== undefined && untouched,
          durationMs: performance.now() - startedAt,
        });
      if (form === 'end') this.#statements.commit(this.#notes.ofTransaction, outcome);
      else this.#statements.run(textOfCompiled(query), values, form, outcome);
    });
  }

  /** Runs a command of the transaction itself, such as `SAVEPOINT a`, in order with the statements. */
  async command(text: string): Promise<void> {
    await this.executeQuery(commandQuery(text));
  }

  /**
   * Commits. A commit that fails gives the lease back. When it was sent and not answered, nobody knows whether it happened:
   * `ERR_POOL_COMMIT_UNKNOWN`. A transaction without a statement sends nothing.
   */
  async commit(): Promise<void> {
    if (!(await this.#end())) return this.tell('committed');
    const statements = this.#statements;
    const { opening } = statements;
    if (opening?.state === 'failed' && statements.connection?.inTransaction !== true) {
      throw this.#failed('rolled back', rolledBackError(opening.error));
    }
    let answer: PgQueryResult | undefined;
    let untouched = false;
    const run = async (): Promise<void> => {
      answer = await promiseOf((outcome) => {
        statements.commit(this.#notes.ofTransaction, (error, result, unsent) => {
          untouched = unsent === true;
          outcome(error, result);
        });
        // Where Kysely has this connection for the transaction alone, it gives it back after that.
        if (this.scope !== undefined && this.scopes === 1) statements.handOn();
      });
    };
    try {
      await this.#told('commit', run);
    } catch (error) {
      // With an answer, it was Kysely's log that threw.
      if (answer !== undefined) throw this.#failed('committed', error);
      if (untouched || isAnswer(error)) throw this.#failed('rolled back', error);
      throw this.#failed('unknown', commitUnknownError(this.#way.pool.name, error));
    }
    if (answer?.command === 'ROLLBACK') throw this.#failed('rolled back', rolledBackError(undefined));
    this.tell('committed');
  }

  /** The commit has failed: its lease ends. */
  #failed(outcome: TransactionOutcome, error: unknown): unknown {
    this.tell(outcome, error);
    this.release();
    return error;
  }

  /** Rolls back; when `ROLLBACK` fails, the connection is closed. Never throws. */
  async rollback(): Promise<void> {
    if (this.released || !(await this.#end())) return this.tell('rolled back');
    const { connection, opening } = this.#statements;
    if (opening?.state === 'failed' && connection?.inTransaction === false) return;
    if (!this.alive) return this.release();
    const run = async (): Promise<void> => {
      await promiseOf((outcome) => this.#statements.run('rollback', [], 'end', outcome));
    };
    try {
      await this.#told('rollback', run);
      this.tell('rolled back');
    } catch {
      this.release('transaction');
    }
  }

  /** Waits for what was asked for before, and accepts nothing more. Returns whether there is a transaction to end. */
  async #end(): Promise<boolean> {
    this.transaction = 'over';
    await this.scope?.end();
    if (!this.streams) await this.#statements.settled();
    const { opening } = this.#statements;
    return opening !== undefined && opening.state !== 'due';
  }

  /** Tells tracers how the transaction has ended; a second time does nothing. */
  tell(outcome: TransactionOutcome, error?: unknown): void {
    const trace = this.#trace;
    if (trace === undefined) return;
    this.#trace = undefined;
    this.#statements.trace = undefined;
    trace.end(outcome, error);
  }

  async #told(text: string, run: () => Promise<void>): Promise<void> {
    await (isLogging(this.#way.log) ? logged(this.#way.log, commandQuery(text), run) : run());
  }

  /** The error of a statement after the end. */
  transactionOver(): PoolTransactionError {
    const { name } = this.#way.pool;
    return new PoolTransactionError(
      name,
      `${name}: the statement was not sent: COMMIT or ROLLBACK of its transaction had been asked for before. ` +
        'Await what belongs to a transaction before it ends',
    );
  }

  /** Reads rows as they are wanted, after the statements that were asked for before. */
  streamQuery<Row>(query: CompiledQuery, chunkSize = 100): AsyncIterableIterator<QueryResult<Row>> {
    const stream = this.#stream<Row>(query, chunkSize);
    return isLogging(this.#way.log) ? loggedStream(this.#way.log, query, stream) : stream;
  }

  async *#stream<Row>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<Row>> {
    if (!Number.isInteger(chunkSize) || chunkSize <= 0) throw new Error('chunkSize must be a positive integer');
    const Cursor = this.#way.cursor ?? installedCursor();
    const connection = await this.#statements.ready();
    const cursor = new Cursor<Row>(query.sql, query.parameters.slice());
    const note = this.#asked(query);
    this.#statements.submit(cursor as unknown as Submittable);
    this.open.count++;
    this.scope?.streams();
    try {
      for (;;) {
        const rows = await cursor.read(chunkSize);
        if (rows.length === 0) break;
        this.open.offeredAt = this.#way.clock.now();
        yield { rows };
        this.open.offeredAt = undefined;
      }
    } finally {
      // On a connection that died, the answer to the close never comes.
      await Promise.race([cursor.close(), connection.ended]);
      this.open.count--;
      this.open.offeredAt = undefined;
      note?.somewhere();
    }
  }

  /** For Kysely 0.29: cancels on the server what runs here now. */
  async cancelQuery(): Promise<void> {
    if (this.#busy && this.alive) await this.#statements.connection?.cancel();
  }

  /** For Kysely 0.29: cancels what runs and destroys the connection. */
  async killSession(): Promise<void> {
    const { connection } = this.#statements;
    if (connection === undefined || !this.#busy || !this.alive) return;
    connection.abandon('broken');
    await connection.ended;
  }

  get #busy(): boolean {
    return this.pending > 0;
  }

  /** Waits for a turn that may be behind a stream: not for longer than `streamIdleTimeoutMs` once that has no reader any more. */
  async behindStreams(entered: Promise<void>, query: CompiledQuery | undefined, left: () => void): Promise<void> {
    const { clock, pool } = this.#way;
    await behindStreams(this.open, entered, { clock, pool, statement: query?.sql, left });
  }

  /** Gives the lease back; a second time does nothing. */
  release(reason?: CloseReason): void {
    this.tell('rolled back');
    this.#statements.release(reason);
  }
}
