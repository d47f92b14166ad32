import type { ConnectionProvider, DatabaseConnection } from 'kysely';
import { KyselyConnection, type ConnectionScope } from './kysely-connection.js';

type Consumer<Result> = (connection: DatabaseConnection) => Promise<Result>;

/** What Kysely calls with options from 0.29 on. */
type Provide = <Result>(consumer: Consumer<Result>, options?: object) => Promise<Result>;

/**
 * Lets the statements of one `db.transaction()` to its connection, one at a time, and knows which of them were asked for
 * before its end was: those are answered first, and nothing that comes later is sent. Kysely lets in whatever waits,
 * also when `COMMIT` or `ROLLBACK` has been sent already: it ran behind it, and was committed by itself.
 *
 * Around a connection of `db.connection()` it lets everything pass: several transactions may follow each other there.
 */
export class TransactionScope implements ConnectionProvider, ConnectionScope {
  readonly #provider: ConnectionProvider;
  #bound = false;
  #connection: KyselyConnection | undefined = undefined;
  #state: 'open' | 'ending' | 'over' = 'open';
  /** Asked for and not answered. */
  #pending = 0;
  /** Whether one of them is being let in: the end of a controlled transaction is asked for in its own turn. */
  #entering = false;
  #drained: (() => void) | undefined = undefined;

  constructor(provider: ConnectionProvider) {
    this.#provider = provider;
  }

  /** Gives the connection to one after the other; from the end on, one on which nothing runs any more. */
  async provideConnection<Result>(consumer: Consumer<Result>, options?: object): Promise<Result> {
    if (this.#state !== 'open') return await this.#refuse(consumer);
    this.#pending++;
    try {
      const provide = this.#provider.provideConnection as Provide;
      // Awaited wherever it passes through, so that an error's stack leads back to the caller.
      const letIn = async (connection: DatabaseConnection): Promise<Result> => await this.#letIn(consumer, connection);
      return (await provide.call(this.#provider, letIn, options)) as Result;
    } finally {
      this.#pending--;
      if (this.#pending === 0) this.#drained?.();
    }
  }

  async #refuse<Result>(consumer: Consumer<Result>): Promise<Result> {
    return await consumer((this.#connection as KyselyConnection).closed);
  }

  #letIn<Result>(consumer: Consumer<Result>, connection: DatabaseConnection): Promise<Result> {
    if (!this.#bound) this.#bind(connection);
    if (this.#state === 'over') return this.#refuse(consumer);
    this.#entering = true;
    try {
      return consumer(connection);
    } finally {
      this.#entering = false;
    }
  }

  #bind(connection: DatabaseConnection): void {
    this.#bound = true;
    if (!(connection instanceof KyselyConnection)) return;
    this.#connection = connection;
    if (connection.transaction === 'open') connection.scope ??= this;
    // Its first statement comes after its end.
    else if (connection.transaction !== 'none') this.#state = 'over';
  }

  /** Lets in nothing more; resolves when what was asked for before is answered. */
  async end(): Promise<void> {
    this.#state = 'ending';
    if (this.#pending > 0 && !this.#entering && !this.#connection?.streams) {
      await new Promise<void>((resolve) => (this.#drained = resolve));
    }
    this.#state = 'over';
  }

  /** A stream has begun: its end is its consumer's business, who may have forgotten it. Nobody waits for that. */
  streams(): void {
    this.#drained?.();
  }
}
