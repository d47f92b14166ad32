import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Client, ClientConfig, FieldDef, Query as PgQuery, Submittable } from 'pg';
import { parse, serialize } from 'pg-protocol';
import { optionalPackage } from '../core/optional-package.js';
import { pg, pgPackage } from './pg.js';
import { loadPgUtils, loadTextParsers, type TextParser } from './pg-package.cjs';

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

interface PgUtils {
  readonly prepareValue: (value: unknown) => string | Buffer | null;
}

const { prepareValue: preparePgValue } = optionalPackage<PgUtils>('pg', loadPgUtils()).module;

/** A parameter as pg sends it; throws what the value's own `toPostgres` throws. */
export function prepareValue(value: unknown): string | Buffer | null {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  // What isn't a string already was made one or left as bytes; `undefined` is null.
  return preparePgValue(value) ?? null;
}

const builtinParsers = new Map<number, TextParser>();
loadTextParsers().init((dataTypeId, parser) => builtinParsers.set(dataTypeId, parser));
/** No type has this id, so that nobody sets a parser for it. */
const UNKNOWN_TYPE = -1;
const leavesText =
  pgPackage.problem === undefined ? (pg.types.getTypeParser(UNKNOWN_TYPE as never, 'text') as TextParser) : undefined;

/** What pg parses a type's text with unless somebody has set something else. */
export function builtinTextParser(dataTypeId: number): TextParser | undefined {
  return builtinParsers.get(dataTypeId);
}

/** Whether a parser of pg's gives the text itself. */
export function parsesNothing(parser: TextParser): boolean {
  return parser === leavesText;
}

/** A message of the server's, as pg-protocol reads it. */
export interface BackendMessage {
  readonly name: string;
}

/** Takes back what pg has written of a message that it could not finish: the next one, of any connection, would begin with it. */
export function clearPgWriter(): void {
  serialize.query('');
}

/** A parser of pg's: what it reads, and the last message that it has read. */
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

/** Has pg read one whole message, whose form is right: those that are rare and have many fields. */
export function parseMessage(bytes: Buffer): BackendMessage {
  try {
    parser.message = undefined;
    parser.read(bytes);
    if (parser.message !== undefined) return parser.message;
    throw new Error('bug: pg has read no message');
  } catch (error) {
    // It keeps what it could not read, and would go on with that.
    parser = new MessageParser();
    throw error;
  }
}

/**
 * Puts a reader between a connection's socket, once there is one to read from, and pg, which gets what the reader passes on.
 * Returns whether pg lets it; where it listens in another way than is known, nothing is changed.
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

/** How TLS begins: the server is asked first, or not. In words of our own, which an older `@types/pg` lacks. */
export type TlsNegotiation = 'postgres' | 'direct';

/** Whether pg knows `sslnegotiation`, as it does from 8.22 on: before, it would pass over `direct` without a word. */
export function negotiatesDirectTls(): boolean {
  return 'sslnegotiation' in pg.defaults;
}

/** How `pg.Connection` is made: `@types/pg` doesn't say. */
export type ProtocolConnectionConstructor = new (options: {
  readonly stream: ClientConfig['stream'];
  readonly ssl: ClientConfig['ssl'];
  readonly sslNegotiation: TlsNegotiation | undefined;
}) => ProtocolConnection;

/** The type parsers that were set on one client, by the ids of their types. */
export interface TypeParsers {
  text: Readonly<Record<number, unknown>>;
  binary: Readonly<Record<number, unknown>>;
}

/** The type parsers of a client: its own, and those that it has them over. */
interface LayeredTypeParsers extends TypeParsers {
  readonly _types: { getTypeParser(dataTypeId: number, format: 'text'): unknown };
}

/**
 * What a `pg.Client` knows about itself and `@types/pg` doesn't tell. Nothing here is written but the queue. All of it
 * is looked at in this file alone, so that a change in `pg` has one place to be answered.
 */
interface ClientInternals {
  readonly connection: ProtocolConnection;
  readonly readyForQuery?: boolean;
  readonly secretKey: number | null;
  readonly processID: number | null;
  readonly password?: string | (() => unknown) | null;
  readonly _types: LayeredTypeParsers;
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

/** Gives the client a query without passing by its `query`: what somebody has put in front of that doesn't hear of it. */
export function enqueue(client: Client, query: Submittable): void {
  queueOf(client).push(query);
  internals(client)._pulseQueryQueue();
}

/** Gives the client a query that runs before those that wait, from within the end of the one before. */
export function enqueueNext(client: Client, query: Submittable): void {
  queueOf(client).unshift(query);
}

/**
 * Tells those who wait once for a connection to be ready that it never will be: closing a cursor waits for that, and hangs
 * with whoever awaits it.
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

/** Takes the query that waits last in the client out of its queue. */
export function unqueueNewest(client: Client): void {
  queueOf(client).pop();
}

/** How `query` of `pg.Client` begins in its source, as pg itself has written it. */
const OWN_SOURCE = /^query\(config, values, callback\)\s*\{/;
let untracedQuery: unknown;
const tracedQueries = new WeakSet<object>();

/**
 * Whether somebody has put something in front of `query` of a client: a tracer. Recognised by its source, because a tracer
 * may have changed that while the module was loaded, and compared with what was seen last otherwise.
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

/** The query that the server works on; gone once it has failed, although `ReadyForQuery` is still to come. */
export function activeQueryOf(client: Client): unknown {
  const inside = internals(client);
  return '_activeQuery' in inside ? inside._activeQuery : inside.activeQuery;
}

/**
 * How the query that pg runs is answered. `simple` and `extended`: a query of pg's own class, in either protocol;
 * `custom`: a cursor, a stream, a `COPY`, which may ask for what they like; `none`: nothing runs.
 */
export type ClientQueryKind = 'none' | 'simple' | 'extended' | 'custom';

/** How the answer to the query that pg runs has to look. */
export function activeQueryKind(client: Client): ClientQueryKind {
  const active = activeQueryOf(client) as (PgQuery & { requiresPreparation?(): boolean }) | null | undefined;
  if (active === null || active === undefined) return 'none';
  const own = active instanceof pg.Query && active.submit === pg.Query.prototype.submit;
  if (!own || active.requiresPreparation === undefined) return 'custom';
  return active.requiresPreparation() ? 'extended' : 'simple';
}

/** What a cancel request proves itself with. */
export function backendKeyOf(client: Client): { processId: number; secretKey: number } | undefined {
  const { processID, secretKey } = internals(client);
  return processID === null || secretKey === null ? undefined : { processId: processID, secretKey };
}

/** Whether a client has a password to answer with, or what gives one. */
export function hasPassword(client: Client): boolean {
  const { password } = internals(client);
  return password !== null && password !== undefined;
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

/** What a client parses a type's text with now. */
export function textParserOf(client: Client, dataTypeId: number): TextParser {
  const { text, _types } = internals(client)._types;
  return (text[dataTypeId] ?? _types.getTypeParser(dataTypeId, 'text')) as TextParser;
}

/** Whether a client parses the text of each type with its parser now: `getTypeParser` without its four calls. */
export function hasTextParsers(
  client: Client,
  dataTypeIds: readonly number[],
  parsers: readonly TextParser[],
): boolean {
  const { text, _types } = internals(client)._types;
  for (let at = 0; at < dataTypeIds.length; at++) {
    const dataTypeId = dataTypeIds[at] as number;
    if ((text[dataTypeId] ?? _types.getTypeParser(dataTypeId, 'text')) !== parsers[at]) return false;
  }
  return true;
}

/** The type parsers that are set on a client now. */
export function typeParsersOf(client: Client): TypeParsers {
  const { text, binary } = internals(client)._types;
  return { text: { ...text }, binary: { ...binary } };
}

/** Takes a client back to the type parsers that it had. */
export function restoreTypeParsers(client: Client, { text, binary }: TypeParsers): void {
  Object.assign(internals(client)._types, { text, binary });
}

/** How pg makes the description of a column. */
type FieldConstructor = new (
  name: string,
  tableID: number,
  columnID: number,
  dataTypeID: number,
  dataTypeSize: number,
  dataTypeModifier: number,
  format: string,
) => FieldDef;

/** Descriptions of columns that belong to one caller alone. */
export function copyFields(fields: readonly FieldDef[]): FieldDef[] {
  const copies: FieldDef[] = [];
  for (const field of fields) {
    const { name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier, format } = field;
    const Field = field.constructor as FieldConstructor;
    copies.push(new Field(name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier, format));
  }
  return copies;
}
