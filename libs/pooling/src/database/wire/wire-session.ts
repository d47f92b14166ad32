import type { Client } from 'pg';
import type { TransactionStatus } from '../pg-internals.js';
import type { ConnectionStatements } from '../query/connection-statements.js';
import type { TypeParserSource } from './row-shape.js';

/** What a wire needs of the server's session. */
export interface WireSession extends TypeParserSource {
  readonly client: Client;
  readonly statements: ConnectionStatements;
  /** Milliseconds on the pool's clock. */
  now(): number;
  /** Whether a pooler may have prepared a text before, for somebody else. */
  readonly pooled: boolean;
  /** As the server last told it. */
  readonly transactionStatus: TransactionStatus;
  /** The server is ready while further queries of the wire are under way. */
  ready(status: TransactionStatus): void;
  /** A command was answered that may have changed how other texts are read. */
  completed(tag: string, text: string, values: readonly unknown[]): void;
  /** A text was sent that may change how those are read that are sent behind it before its answer. */
  sent(text: string, values: readonly unknown[]): void;
}
