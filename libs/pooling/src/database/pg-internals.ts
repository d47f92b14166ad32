import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Client, ClientConfig, Query as PgQuery, Submittable } from 'pg';
import { parse, serialize } from 'pg-protocol';
import { pg } from './pg.js';

/** One letter of `ReadyForQuery`: idle, in a transaction, in a failed transaction. */
export type TransactionStatus = 'I' | 'T' | 'E';

/** The protocol connection inside a `pg.Client`: an emitter of backend messages over a socket. */
export interface ProtocolConnection extends EventEmitter {
  /** Replaced by the TLS socket once TLS is negotiated. */
  readonly stream: Socket;
  parsedStatements: Record<string, string>;
  submittedNamedStatements: Record<string, string>;
  connect(port: number | string, host?: string): void;
  /** Begins to read what comes on the socket. */
  attachListeners?(stream: Socket): void;
  requestSsl(): void;
  cancel(processId: number, secretKey: number): void;
  password(password: string): void;
  sync(): void;
  end(): void;
}

/** A message of the server's, as pg-protocol reads it. */
export interface BackendMessage {
  readonly name: string;
}

/** Empties pg's shared writer after an unfinished message: the next message of any connection would begin with it. */
export function clearPgWriter(): void {
  serialize.query('');
}

/** One of pg's parsers, with the last message that it has read. */
class MessageParser {
  message: BackendMessage | undefined = undefined;
  readonly #bytes = new EventEmitter();

  constructor() {
    void parse(this.#bytes as never, (message) => (this.message = message));
  }

  read(bytes: Buffer): void {
    this.#bytes.emit('data', bytes);
  }
}

let parser = new MessageParser();

/** Reads one whole, valid message with pg's parser: for rare types with many fields. */
export function parseMessage(bytes: Buffer): BackendMessage {
  try {
    parser.message = undefined;
    parser.read(bytes);
    if (parser.message !== undefined) return parser.message;
    throw new Error('bug: pg has read no message');
  } catch (error) {
    // It keeps the bytes that it could not read, and would go on with them.
    parser = new MessageParser();
    throw error;
  }
}

/**
 * Puts a reader between a connection's socket and pg, which gets what the reader passes on. Returns whether that is possible:
 * where pg listens in an unknown way, nothing is changed.
 */
export function guardIncoming(
  protocol: ProtocolConnection,
  read: (bytes: Buffer, pass: (bytes: Buffer) => void) => void,
): boolean {
  // pg listens when the connection is made, and with TLS when that is in place.
  const attach = protocol.attachListeners;
  if (typeof attach !== 'function') return false;
  protocol.attachListeners = (stream) => {
    const before = new Set(stream.listeners('data'));
    attach.call(protocol, stream);
    for (const listener of stream.listeners('data') as ((bytes: Buffer) => void)[]) {
      if (before.has(listener)) continue;
      stream.removeListener('data', listener);
      stream.on('data', (bytes: Buffer) => read(bytes, listener));
    }
  };
  return true;
}

/** How TLS begins: the server is asked first, or not. A type of its own, because an older `@types/pg` lacks it. */
export type TlsNegotiation = 'postgres' | 'direct';

/** Whether pg knows `sslnegotiation`: from 8.22 on. Older versions would silently ignore `direct`. */
export function negotiatesDirectTls(): boolean {
  return 'sslnegotiation' in pg.defaults;
}

/** How `pg.Connection` is made: `@types/pg` doesn't say. */
export type ProtocolConnectionConstructor = new (options: {
  readonly stream: ClientConfig['stream'];
  readonly ssl: ClientConfig['ssl'];
  readonly sslNegotiation: TlsNegotiation | undefined;
}) => ProtocolConnection;

/**
 * Fields of a `pg.Client` that `@types/pg` doesn't have. Only the queue is written to. They are used in this file alone, and
 * those of values in `pg-values.ts`, so that a change in `pg` is answered in one place.
 */
interface ClientInternals {
  readonly connection: ProtocolConnection;
  readonly readyForQuery?: boolean;
  readonly secretKey: number | null;
  readonly processID: number | null;
  readonly password?: string | (() => unknown) | null;
  readonly _queryQueue?: unknown[];
  readonly _activeQuery?: unknown;
  /** Before pg 8.17. */
  readonly queryQueue: unknown[];
  readonly activeQuery: unknown;
  _pulseQueryQueue(): void;
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

function queueOf(client: Client): unknown[] {
  const inside = internals(client);
  return inside._queryQueue ?? inside.queryQueue;
}

/** How many queries wait in the client itself. */
export function queuedQueries(client: Client): number {
  return queueOf(client).length;
}

/** The query that the client was given last. */
export function newestQueryOf(client: Client): unknown {
  return queueOf(client).at(-1) ?? activeQueryOf(client);
}

/** Gives the client a query without calling its `query`: a tracer in front of that doesn't see it. */
export function enqueue(client: Client, query: Submittable): void {
  queueOf(client).push(query);
  internals(client)._pulseQueryQueue();
}

/** Gives the client a query that runs before those that wait. Call it from within the end of the query before. */
export function enqueueNext(client: Client, query: Submittable): void {
  queueOf(client).unshift(query);
}

/**
 * Ends the waits for a connection to be ready when it never will be: closing a cursor waits for that, and would hang, with the
 * code that awaits it.
 */
export function answerWaitersWhenEnded(protocol: ProtocolConnection): void {
  const event = 'readyForQuery';
  const answer = (): void => {
    // pg's own listeners stay for the connection's life: those of `once` have what they wrap.
    for (const listener of protocol.rawListeners(event) as (((...of: unknown[]) => void) & { listener?: unknown })[]) {
      if (listener.listener !== undefined) listener();
    }
  };
  protocol.once('end', () => {
    setImmediate(answer);
    protocol.on('newListener', (name: string) => {
      if (name === event) setImmediate(answer);
    });
  });
}

/** Removes the last query from the client's queue. */
export function unqueueNewest(client: Client): void {
  queueOf(client).pop();
}

/** The beginning of the source of pg's own `Client.query`. */
const OWN_SOURCE = /^query\(config, values, callback\)\s*\{/;
let untracedQuery: unknown;
const tracedQueries = new WeakSet<object>();

/**
 * Whether a tracer stands in front of a client's `query`. Recognised by the source of the function, because a tracer may have
 * replaced it while the module was loaded; the function that was seen last isn't looked at again.
 */
export function isTraced(client: Client): boolean {
  const { query } = client;
  if (query === untracedQuery) return false;
  if (tracedQueries.has(query)) return true;
  const source = Function.prototype.toString.call(query);
  if (OWN_SOURCE.test(source) && !/channel/i.test(source)) {
    untracedQuery = query;
    return false;
  }
  tracedQueries.add(query);
  return true;
}

/** The query that the server works on. pg drops it when it has failed, although `ReadyForQuery` is still to come. */
export function activeQueryOf(client: Client): unknown {
  const inside = internals(client);
  return '_activeQuery' in inside ? inside._activeQuery : inside.activeQuery;
}

/**
 * The kind of the query that pg runs. `simple` and `extended`: a query of pg's own class, in either protocol. `custom`: a
 * cursor, a stream, a `COPY`, which may send any message. `none`: nothing runs.
 */
export type ClientQueryKind = 'none' | 'simple' | 'extended' | 'custom';

/** The kind of the query that pg runs: the answer is checked by it. */
export function activeQueryKind(client: Client): ClientQueryKind {
  const active = activeQueryOf(client) as (PgQuery & { requiresPreparation?(): boolean }) | null | undefined;
  if (active === null || active === undefined) return 'none';
  const own = active instanceof pg.Query && active.submit === pg.Query.prototype.submit;
  if (!own || active.requiresPreparation === undefined) return 'custom';
  return active.requiresPreparation() ? 'extended' : 'simple';
}

/** The key of a connection, with which a cancel request identifies it. */
export function backendKeyOf(client: Client): { processId: number; secretKey: number } | undefined {
  const { processID, secretKey } = internals(client);
  return processID === null || secretKey === null ? undefined : { processId: processID, secretKey };
}

/** Whether a client has a password, or a function that gives one. */
export function hasPassword(client: Client): boolean {
  const { password } = internals(client);
  return password !== null && password !== undefined;
}

/** The server's process id of this connection. */
export function processIdOf(client: Client): number | undefined {
  return internals(client).processID ?? undefined;
}

/** Forgets the named statements of a client: after `DISCARD ALL` the server has none. */
export function forgetStatements(client: Client): void {
  const protocol = protocolOf(client);
  protocol.parsedStatements = {};
  protocol.submittedNamedStatements = {};
}
