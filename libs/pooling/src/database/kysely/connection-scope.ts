import type { CompiledQuery, ConnectionProvider, DatabaseConnection, QueryResult } from 'kysely';
import { runBatchOn } from './batch-on-connection.js';
import type { BatchRunner } from './collected-queries.js';
import { formOf } from './command-query.js';
import type { KyselyConnection, TransactionScope } from './kysely-connection.js';
import { Turns } from './turns.js';

type Consumer<Result> = (connection: DatabaseConnection) => Promise<Result>;

/**
 * What one `db.transaction()`, or one `db.connection()`, lets to its connection: statements in order, without waiting for
 * each other's answers, and streams and whoever can cancel what runs one at a time.
 *
 * It knows which of them were asked for before the end of the transaction was: those are answered first, and nothing that
 * comes later is sent. Kysely lets in whatever waits, also when `COMMIT` or `ROLLBACK` has been sent already: it ran behind
 * it, and was committed by itself.
 *
 * Around a connection of `db.connection()` it lets one transaction in after the other.
 */
export class ConnectionScope implements ConnectionProvider, BatchRunner, TransactionScope {
  readonly owner = this;
  readonly #connection: KyselyConnection;
  readonly #turns = new Turns();
  /** Which of the connection's transactions is this one's, if any. */
  readonly #number: number;
  #kind: 'unknown' | 'transaction' | 'connection' = 'unknown';
  #state: 'open' | 'ending' | 'over' = 'open';
  /** Asked for and not answered. */
  #pending = 0;
  /** Whether one of them is being let in: the end of a controlled transaction is asked for in its own turn. */
  #entering = false;
  #changed: (() => void) | undefined = undefined;
  #alone: ConnectionProvider | undefined = undefined;

  constructor(connection: KyselyConnection) {
    this.#connection = connection;
    // Kysely makes it before the transaction is begun, or right after that.
    this.#number = connection.transactions + (connection.transaction === 'open' ? 0 : 1);
  }

  /** Runs one statement. */
  async run<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    this.#bind();
    if (this.#state !== 'open') throw this.#connection.transactionOver();
    this.#pending++;
    try {
      // Several statements in one text, and a COPY, are left to pg, which runs one after the other.
      if (this.#kind === 'connection' || formOf(query) === 'text') await this.#turns.alone();
      else if (!this.#turns.tryShare()) await this.#turns.share();
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

  /** Runs queries in one flight, in the transaction. */
  async runBatch(queries: readonly CompiledQuery[]): Promise<QueryResult<unknown>[]> {
    this.#bind();
    if (this.#kind === 'connection')
      throw new TypeError('a batch takes a database or a transaction, and no connection');
    return await runBatchOn((query) => this.run(query), queries);
  }

  /** Gives the connection: to whoever asks in a transaction, to one after the other outside; from the end on, one on which nothing runs any more. */
  async provideConnection<Result>(consumer: Consumer<Result>): Promise<Result> {
    this.#bind();
    if (this.#state !== 'open') return await consumer(this.#connection.closed);
    if (this.#kind === 'connection') return await this.#provideAlone(consumer);
    this.#pending++;
    try {
      if (!this.#turns.tryShare()) await this.#turns.share();
      try {
        // Awaited wherever it passes through, so that an error's stack leads back to the caller.
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
      return consumer(this.#isOver() ? this.#connection.closed : this.#connection);
    } finally {
      this.#entering = false;
    }
  }

  /** Gives the connection to one who is alone on it, in order: what is asked for later waits. */
  get alone(): ConnectionProvider {
    return (this.#alone ??= {
      provideConnection: async (consumer) => {
        this.#bind();
        if (this.#state !== 'open') return await consumer(this.#connection.closed);
        return await this.#provideAlone(consumer);
      },
    });
  }

  async #provideAlone<Result>(consumer: Consumer<Result>): Promise<Result> {
    this.#pending++;
    try {
      await this.#turns.alone();
      try {
        return await consumer(this.#isOver() ? this.#connection.closed : this.#connection);
      } finally {
        this.#turns.leave();
      }
    } finally {
      this.#left();
    }
  }

  #left(): void {
    this.#pending--;
    this.#changed?.();
  }

  #isOver(): boolean {
    return this.#state === 'over';
  }

  /** With its first use it is known what it is for. */
  #bind(): void {
    if (this.#kind !== 'unknown') return;
    const { transactions, transaction } = this.#connection;
    const begun = transactions >= this.#number;
    this.#kind = begun ? 'transaction' : 'connection';
    if (!begun) return;
    if (transactions === this.#number && transaction === 'open') this.#connection.scope ??= this;
    // Its first statement comes after its end.
    else this.#state = 'over';
  }

  /** Lets in nothing more; resolves when what was asked for before is answered. */
  async end(): Promise<void> {
    this.#state = 'ending';
    const own = this.#entering ? 1 : 0;
    // The end of a stream is its consumer's business, who may have forgotten it. Nobody waits for that.
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
