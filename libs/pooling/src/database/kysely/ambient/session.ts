import type { CompiledQuery, IsolationLevel, QueryResult } from 'kysely';
import type { CloseReason } from '../../../core/statistics.js';
import type { TransactionSettingsMap } from './transactional-options.js';

/** How a transaction begins. */
export interface Beginning {
  readonly isolationLevel?: IsolationLevel | undefined;
  readonly accessMode?: 'read only' | 'read write' | undefined;
  readonly deferrable?: boolean | undefined;
  readonly settings?: TransactionSettingsMap | undefined;
}

/** One transaction on one connection: leased and begun with its first statement, and answered in the order of the calls. */
export interface TransactionSession {
  executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>>;
  streamQuery<Row>(query: CompiledQuery, chunkSize?: number): AsyncIterableIterator<QueryResult<Row>>;
  /** Runs what has no answer but that it was done: `savepoint a`. */
  command(text: string): Promise<void>;
  /** How many statements were asked for and aren't answered. */
  readonly pending: number;
  /** Cancels what runs now. */
  cancelQuery(): Promise<void>;
  /** Cancels what runs now and ends the connection. */
  killSession(): Promise<void>;
  /** Commits; sends nothing when nothing was sent. What it rejects with is that of Kysely's own transactions. */
  commit(): Promise<void>;
  /** Never throws. */
  rollback(): Promise<void>;
  /** Gives the connection back, or has it closed for this reason; a second time does nothing. */
  release(reason?: CloseReason): void;
}
