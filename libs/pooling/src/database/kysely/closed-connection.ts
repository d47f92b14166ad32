import type { DatabaseConnection } from 'kysely';
import type { KyselyConnection } from './kysely-connection.js';

/**
 * A connection whose transaction is over: it refuses every statement. It can be rolled back, which Kysely's documentation asks
 * for after a failed commit.
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
