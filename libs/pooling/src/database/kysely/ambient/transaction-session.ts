import type { CompiledQuery, QueryResult } from 'kysely';
import type { CloseReason } from '../../../core/statistics.js';

/** One transaction on one connection. Its first statement leases and begins; answers come in the order of the calls. */
export interface TransactionSession {
  executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>>;
  streamQuery<Row>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<Row>>;
  /** Runs a command without parameters and rows: `savepoint a`. */
  command(text: string): Promise<void>;
  /** Statements without an answer yet. */
  readonly pending: number;
  /** Cancels what runs now. */
  cancelQuery(): Promise<void>;
  /** Cancels what runs now and ends the connection. */
  killSession(): Promise<void>;
  /** Commits; sends nothing when nothing was sent. Rejects as Kysely's own transactions do. */
  commit(): Promise<void>;
  /** Never throws. */
  rollback(): Promise<void>;
  /** Gives the connection back, or has it closed for this reason; a second time does nothing. */
  release(reason?: CloseReason): void;
}
