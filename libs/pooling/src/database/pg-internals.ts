import type { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import type { Client, ClientConfig } from 'pg';
import type { Socket } from 'node:net';

/** One letter of `ReadyForQuery`: idle, in a transaction, in a failed transaction. */
export type TransactionStatus = 'I' | 'T' | 'E';

/** The protocol connection inside a `pg.Client`: an emitter of backend messages over a socket. */
export interface ProtocolConnection extends EventEmitter {
  /** Replaced by the TLS socket once TLS is negotiated. */
  readonly stream: Socket;
  parsedStatements: Record<string, string>;
  submittedNamedStatements: Record<string, string>;
  connect(port: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processId: number, secretKey: number): void;
  end(): void;
  parse(message: { readonly name: string; readonly text: string }): void;
  bind(message: { readonly statement: string; readonly values: readonly unknown[] }): void;
  describe(message: { readonly type: 'P' | 'S'; readonly name: string }): void;
  execute(message: Readonly<Record<string, never>>): void;
  close(message: { readonly type: 'P' | 'S'; readonly name: string }): void;
  sync(): void;
  sendCopyFail(message: string): void;
}

const pgUtilities = createRequire(import.meta.url)('pg/lib/utils.js') as {
  readonly prepareValue: (value: unknown) => string | Buffer | null;
};

/** A parameter as pg sends it; throws what the value's own `toPostgres` throws. */
export function prepareValue(value: unknown): string | Buffer | null {
  return pgUtilities.prepareValue(value);
}

/** How `pg.Connection` is made: `@types/pg` doesn't say. */
export type ProtocolConnectionConstructor = new (options: {
  readonly stream: ClientConfig['stream'];
  readonly ssl: ClientConfig['ssl'];
  readonly sslNegotiation: ClientConfig['sslnegotiation'];
}) => ProtocolConnection;

/**
 * What a `pg.Client` knows about itself and `@types/pg` doesn't tell. Read only: nothing here is written. All of it
 * is looked at in this file alone, so that a change in `pg` has one place to be answered.
 */
interface ClientInternals {
  readonly connection: ProtocolConnection;
  readonly readyForQuery?: boolean;
  readonly secretKey: number | null;
  readonly processID: number | null;
  readonly _queryQueue?: readonly unknown[];
  readonly _activeQuery?: unknown;
  /** Before pg 8.18. */
  readonly queryQueue: readonly unknown[];
  readonly activeQuery: unknown;
}

function internals(client: Client): ClientInternals {
  return client as unknown as ClientInternals;
}

/** The protocol connection of a client. */
export function protocolOf(client: Client): ProtocolConnection {
  return internals(client).connection;
}

/** Whether the server waits for a query of this client. */
export function isReadyForQuery(client: Client): boolean {
  return internals(client).readyForQuery === true;
}

/** How many queries wait in the client itself. */
export function queuedQueries(client: Client): number {
  const inside = internals(client);
  return (inside._queryQueue ?? inside.queryQueue).length;
}

/** The query that the server works on; gone once it has failed, although `ReadyForQuery` is still to come. */
export function activeQueryOf(client: Client): unknown {
  const inside = internals(client);
  return '_activeQuery' in inside ? inside._activeQuery : inside.activeQuery;
}

/** What a cancel request proves itself with. */
export function backendKeyOf(client: Client): { processId: number; secretKey: number } | undefined {
  const { processID, secretKey } = internals(client);
  return processID === null || secretKey === null ? undefined : { processId: processID, secretKey };
}

/** The server's process id of this connection. */
export function processIdOf(client: Client): number | undefined {
  return internals(client).processID ?? undefined;
}

/** Forgets which named statements the server has: after `DISCARD ALL` it has none. */
export function forgetStatements(client: Client): void {
  const protocol = protocolOf(client);
  protocol.parsedStatements = {};
  protocol.submittedNamedStatements = {};
}
