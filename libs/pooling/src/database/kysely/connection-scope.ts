import type { CompiledQuery, ConnectionProvider, DatabaseConnection, QueryResult } from 'kysely';
import { runBatchOn } from './batch-on-connection.js';
import { ClosedConnection } from './closed-connection.js';
import type { BatchRunner } from './collected-queries.js';
import { formOf } from './command-query.js';
import type { KyselyConnection, TransactionScope } from './kysely-connection.js';
import { Turns } from './turns.js';

type Consumer<Result> = (connection: DatabaseConnection) => Promise<Result>;

/**
 * Lets the statements of one `db.transaction()`, or one `db.connection()`, to their connection: statements in order and
 * without waiting for answers, streams and abortable queries one at a time.
 *
 * Statements that were asked for before the end of the transaction are answered before the end is sent. Later ones are
 * refused. (Kysely itself sends a waiting statement behind `COMMIT` or `ROLLBACK`, where it is committed by itself.)
 *
 * On a connection of `db.connection()`, transactions run one after the other.
 */
export class ConnectionScope implements ConnectionProvider, BatchRunner, TransactionScope {
  readonly owner = this;
  readonly #connection: KyselyConnection;
  readonly #turns = new Turns();
  /** The number of its transaction on the connection. */
  readonly #number: number;
  #kind: 'unknown' | 'transaction' | 'connection' = 'unknown';
  #state: 'open' | 'ending' | 'over' = 'open';
  /** Statements that were asked for and aren't answered. */
  #pending = 0;
  /** Whether one is being let in now: the end of a controlled transaction comes from within its own turn. */
  #entering = false;
  #changed: (() => void) | undefined = undefined;
  #alone: ConnectionProvider | undefined = undefined;

  constructor(connection: KyselyConnection) {
    this.#connection = connection;
    connection.scopes++;
    // Kysely makes it before the transaction is begun, or right after that.
    this.#number = connection.transactions + (connection.transaction === 'open' ? 0 : 1);
  }

  /** Runs one statement. */
  run<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    this.#bind();
    const mayShare = this.#state === 'open' && this.#kind === 'transaction' && formOf(query) !== 'text';
    if (!mayShare || !this.#connection.plain || !this.#turns.tryShare()) return this.#runInTurn<Row>(query);
    this.#pending++;
    return this.#connection.run<Row>(query, this.#leave);
  }

  readonly #leave = (): void => {
    this.#turns.leave();
    this.#left();
  };

  async #runInTurn<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    if (this.#state !== 'open') throw this.#connection.transactionOver();
    this.#pending++;
    try {
      // pg runs a text of several statements, and a COPY, one at a time.
      if (this.#kind === 'connection' || formOf(query) === 'text') await this.#enterAlone(query);
      else if (!this.#turns.tryShare()) await this.#behindStreams(this.#turns.share(), query);
      try {
        if (this.#isOver()) throw this.#connection.transactionOver();
        return await this.#connection.executeQuery(query);
      } finally {
        this.#turns.leave();
      }
    } finally {
      this.#left();
    }
  }

  /** Runs `SAVEPOINT` and the like in order with the statements: in the turn that Kysely has taken for it, or in one of its own. */
  command(query: CompiledQuery): Promise<QueryResult<unknown>> {
    return this.#entering ? this.#connection.executeQuery(query) : this.run(query);
  }

  /** Runs queries in one flight, in the transaction. */
  async runBatch(queries: readonly CompiledQuery[]): Promise<QueryResult<unknown>[]> {
    this.#bind();
    if (this.#kind === 'connection')
      throw new TypeError('batch() takes a database or a transaction, and not a connection of db.connection()');
    return await runBatchOn((query) => this.run(query), queries);
  }

  /** Gives the connection: in a transaction to all at once, otherwise to one at a time. After the end, gives one that refuses. */
  async provideConnection<Result>(consumer: Consumer<Result>): Promise<Result> {
    this.#bind();
    if (this.#state !== 'open') return await consumer(new ClosedConnection(this.#connection));
    if (this.#kind === 'connection') return await this.#provideAlone(consumer);
    this.#pending++;
    try {
      if (!this.#turns.tryShare()) await this.#behindStreams(this.#turns.share());
      try {
        // Awaited, so that an error's stack leads back to the caller.
        return await this.#letIn(consumer);
      } finally {
        this.#turns.leave();
      }
    } finally {
      this.#left();
    }
  }

  #letIn<Result>(consumer: Consumer<Result>): Promise<Result> {
    this.#entering = true;
    try {
      return consumer(this.#isOver() ? new ClosedConnection(this.#connection) : this.#connection);
    } finally {
      this.#entering = false;
    }
  }

  /** Gives the connection to one at a time, in order; statements that are asked for later wait. */
  get alone(): ConnectionProvider {
    return (this.#alone ??= {
      provideConnection: async (consumer) => {
        this.#bind();
        if (this.#state !== 'open') return await consumer(new ClosedConnection(this.#connection));
        return await this.#provideAlone(consumer);
      },
    });
  }

  async #provideAlone<Result>(consumer: Consumer<Result>): Promise<Result> {
    this.#pending++;
    try {
      await this.#enterAlone();
      try {
        return await consumer(this.#isOver() ? new ClosedConnection(this.#connection) : this.#connection);
      } finally {
        this.#turns.leave();
      }
    } finally {
      this.#left();
    }
  }

  async #enterAlone(query?: CompiledQuery): Promise<void> {
    await (this.#turns.free ? this.#turns.alone() : this.#behindStreams(this.#turns.alone(), query));
  }

  #behindStreams(entered: Promise<void>, query?: CompiledQuery): Promise<void> {
    return this.#connection.behindStreams(entered, query, () => this.#turns.leave());
  }

  #left(): void {
    this.#pending--;
    this.#changed?.();
  }

  #isOver(): boolean {
    return this.#state === 'over';
  }

  /** Finds out at its first use whether it is a transaction or a plain connection. */
  #bind(): void {
    if (this.#kind !== 'unknown') return;
    const { transactions, transaction } = this.#connection;
    const begun = transactions >= this.#number;
    this.#kind = begun ? 'transaction' : 'connection';
    if (!begun) return;
    if (transactions === this.#number && transaction === 'open') this.#connection.scope ??= this;
    // Its first statement comes after the end.
    else this.#state = 'over';
  }

  /** Accepts nothing more; resolves when what was asked for before is answered. */
  async end(): Promise<void> {
    this.#state = 'ending';
    const own = this.#entering ? 1 : 0;
    // Not for a stream: its consumer may have forgotten it.
    while (this.#pending > own && !this.#connection.streams) {
      await new Promise<void>((resolve) => (this.#changed = resolve));
    }
    this.#state = 'over';
  }

  /** A stream has begun. */
  streams(): void {
    this.#changed?.();
  }
}
