import type { Client } from 'pg';
import type { Clock } from '../../core/clock.js';
import { activeQueryOf, protocolOf, type ProtocolConnection, type TransactionStatus } from '../pg-internals.js';
import { hasTextParsers, restoreTypeParsers, textParserOf, type TypeParsers, typeParsersOf } from '../pg-values.js';
import { ConnectionStatements } from '../query/connection-statements.js';
import type { StatementCache } from '../query/statement-cache.js';
import type { WireSession } from '../wire/wire-session.js';
import { SessionChanges } from './session-changes.js';

/** What a session needs of its pool. */
export interface SessionHost {
  readonly clock: Clock;
  /** Which texts are prepared; `undefined`: none. */
  readonly statements: StatementCache | undefined;
}

/** The server's session behind one connection: its transaction, what is prepared in it, and how its values are read. */
export class Session implements WireSession {
  readonly client: Client;
  /** What is prepared in it. */
  readonly statements: ConnectionStatements;
  /** Whether a pooler stands between the connection and the server, which may change the backend at any time. */
  pooled = false;
  readonly #clock: Clock;
  /** Only where texts are prepared. */
  readonly #changes: SessionChanges | undefined;
  #transactionStatus: TransactionStatus = 'I';
  /** The connection's own type parsers, while a borrower may have set others. */
  #ownTypeParsers: TypeParsers | undefined = undefined;

  constructor(client: Client, host: SessionHost) {
    this.client = client;
    this.#clock = host.clock;
    this.statements = new ConnectionStatements(host.statements, host.clock, () => this.pooled);
    const protocol = protocolOf(client);
    this.#changes = host.statements === undefined ? undefined : this.#watchChanges(protocol);
    // Listens before pg does: pg's listeners run callbacks that read this.
    protocol.on('readyForQuery', (message?: { status?: TransactionStatus }) => {
      this.ready(message?.status ?? 'I');
    });
  }

  /** Watches what pg runs and what the server reports for changes to how prepared texts are read. */
  #watchChanges(protocol: ProtocolConnection): SessionChanges {
    const changes = new SessionChanges(this.statements);
    protocol.on('commandComplete', ({ text: tag }: { readonly text: string }) => {
      const { text, values } = (activeQueryOf(this.client) ?? {}) as { text?: unknown; values?: unknown };
      const given = Array.isArray(values) ? (values as unknown[]) : undefined;
      changes.completed(tag, typeof text === 'string' ? text : '', given, this.now());
    });
    protocol.on('parameterStatus', ({ parameterName }: { readonly parameterName: string }) => {
      changes.reported(parameterName);
    });
    return changes;
  }

  /** As the server last told it. */
  get transactionStatus(): TransactionStatus {
    return this.#transactionStatus;
  }

  now(): number {
    return this.#clock.now();
  }

  ready(status: TransactionStatus): void {
    this.#transactionStatus = status;
    this.#changes?.ready(status, this.#clock);
  }

  completed(tag: string, text: string, values: readonly unknown[]): void {
    this.#changes?.completed(tag, text, values, this.now());
  }

  sent(text: string, values: readonly unknown[]): void {
    this.#changes?.sent(text, values);
  }

  /** The end of its transaction was sent, and what the next borrower sends stands behind that. */
  ends(): void {
    this.#changes?.ends();
  }

  typeParser(dataTypeId: number): (text: string) => unknown {
    return textParserOf(this.client, dataTypeId);
  }

  parsesBy(dataTypeIds: readonly number[], parsers: readonly ((text: string) => unknown)[]): boolean {
    return hasTextParsers(this.client, dataTypeIds, parsers);
  }

  /** Remembers the connection's own type parsers: a borrower may set others. */
  lendTypeParsers(): void {
    this.#ownTypeParsers ??= typeParsersOf(this.client);
  }

  /** Restores the connection's own type parsers when its last borrower is gone. */
  takeBackTypeParsers(): void {
    if (this.#ownTypeParsers === undefined) return;
    restoreTypeParsers(this.client, this.#ownTypeParsers);
    this.#ownTypeParsers = undefined;
  }
}
