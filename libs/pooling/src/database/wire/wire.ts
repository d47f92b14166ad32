import type { Client, FieldDef } from 'pg';
import { LinkedList } from '../../core/linked-list.js';
import type { ConnectionStatements } from '../connection-statements.js';
import {
  intercept,
  parseMessage,
  protocolOf,
  type ProtocolConnection,
  type TransactionStatus,
} from '../pg-internals.js';
import { endsConnection } from '../server-errors.js';
import { failureOf, hideStatementName, isSameError } from './failed-statement.js';
import { MessageWriter } from './message-writer.js';
import { RowShape } from './row-shape.js';
import type { WireQuery } from './wire-query.js';

/** A message's type and its length. */
const HEADER_BYTES = 5;
/** A longer message is no message: the two sides have lost each other. */
const LONGEST_MESSAGE = 0x3fff_ffff;

/** A query that takes this much longer than usual is late: by a factor, and in milliseconds. */
const PATIENCE = { factor: 4, ms: 5 };

/**
 * With more wires at work than this, what is sent waits until the event loop has read all that has come: the callers'
 * code then runs in one go, instead of between writes that each wake a process of the server. Measured at 64 callers of
 * ten connections: a tenth to a fifth less time per query; with up to four callers, sending at once is faster by 5 %.
 */
const FEW_AT_WORK = 4;

/** The types of the server's messages, by their letters. */
const enum Message {
  parseComplete = 0x31,
  bindComplete = 0x32,
  notification = 0x41,
  commandComplete = 0x43,
  dataRow = 0x44,
  error = 0x45,
  copyIn = 0x47,
  notice = 0x4e,
  parameterStatus = 0x53,
  rowDescription = 0x54,
  readyForQuery = 0x5a,
  noData = 0x6e,
}

/** What a wire needs of its connection. */
export interface WireHost {
  readonly client: Client;
  readonly statements: ConnectionStatements;
  /** Milliseconds on the pool's clock. */
  now(): number;
  typeParser(dataTypeId: number): (text: string) => unknown;
  /** The server is ready while further queries of the wire are under way. */
  ready(status: TransactionStatus): void;
  /** The server ends the connection, and says why. */
  ending(error: Error): void;
  /** Whether further queries may be sent. */
  readonly alive: boolean;
  /** A command was answered that may have changed how other texts are read. */
  completed(tag: string, text: string, values: readonly unknown[]): void;
  /** The server begins to work on a query that nobody waits for any more. */
  unwanted(query: WireQuery): void;
  /** Whether an error is of a cancel request that was meant for another query. */
  wasCancelled(error: Error | undefined): boolean;
}

/** The name of the statement that is forgotten with the next one. */
const NO_NAME = Buffer.from('\0');

/** All wires write one after another, each in one go. */
const writer = new MessageWriter();

/**
 * The short way to the server for prepared statements: between the socket of a connected `pg.Client`, which has logged in
 * and goes on to do everything else, and the caller. While queries of the wire are under way, `pg` sees one query of its
 * own running; what belongs to nobody, notices and the like, is passed on to it as it comes.
 *
 * No description of the rows is asked for when it is known, rows are read where they lie, and whatever is sent within
 * one turn of the event loop leaves in one piece.
 */
export class Wire {
  /** How many wires of this process have queries under way. */
  static #atWork = 0;

  readonly #host: WireHost;
  readonly #protocol: ProtocolConnection;
  readonly #pass: (bytes: Buffer) => void;
  /** What was sent and isn't answered, in the order in which it will be. */
  readonly #underway = new LinkedList<WireQuery>();
  #unsent: WireQuery[] = [];
  /** The last one of those under way: it is done when `pg` has taken over again. */
  #last: WireQuery | undefined;
  /** The beginning of a message whose rest is still to come. */
  #held: Buffer | undefined;
  #heldLength = 0;
  /** How much of a message of pg's is still to come, in bytes. */
  #foreign = 0;
  #readyAt = 0;

  private constructor(host: WireHost, protocol: ProtocolConnection, pass: (bytes: Buffer) => void) {
    this.#host = host;
    this.#protocol = protocol;
    this.#pass = pass;
  }

  /** The wire of a connected client; `undefined` where `pg` isn't as it is known. */
  static over(host: WireHost): Wire | undefined {
    let wire: Wire | undefined;
    const pass = intercept(host.client, (bytes) => wire?.read(bytes));
    if (pass !== undefined) wire = new Wire(host, protocolOf(host.client), pass);
    return wire;
  }

  /** How many queries are under way. */
  get underway(): number {
    return this.#underway.length;
  }

  /** The query that the server works on. */
  get head(): WireQuery | undefined {
    return this.#underway.first;
  }

  /** Whether the query that the server works on isn't late, by what such a query usually takes: others may stand behind it. */
  get sociable(): boolean {
    const { first } = this.#underway;
    if (first === undefined) return true;
    const runsMs = this.#host.now() - Math.max(first.sentAt, this.#readyAt);
    return runsMs < PATIENCE.ms + PATIENCE.factor * first.prepared.plans.usualMs;
  }

  /** Sends the first query, when pg has nothing under way. */
  begin(query: WireQuery): void {
    this.#underway.push(query);
    this.#unsent.push(query);
    Wire.#atWork++;
    if (query.shared || Wire.#atWork > FEW_AT_WORK) this.#sendSoon();
    else this.#send();
  }

  /** Sends another query behind those that are under way. */
  join(query: WireQuery): void {
    this.#underway.push(query);
    this.#unsent.push(query);
    if (this.#unsent.length === 1) this.#sendSoon();
  }

  /** When all that the event loop has read in this turn is answered: what that sets off leaves in one piece. */
  #sendSoon(): void {
    setImmediate(this.#send);
  }

  readonly #send = (): void => {
    const queries = this.#unsent;
    if (queries.length === 0) return;
    this.#unsent = [];
    const now = this.#host.now();
    for (const query of queries) this.#write(query, now);
    const { stream } = this.#protocol;
    if (stream.writable) stream.write(writer.take());
    else writer.take();
  };

  #write(query: WireQuery, now: number): void {
    const { prepared } = query;
    const { statements } = this.#host;
    if (prepared.plannedAnew || query.firstError !== undefined) return this.#writeAnew(query, now);
    if (!query.shared) query.turn = prepared.plans.takeTurn();
    if (query.turn === 'anew') return this.#writeAnew(query, now);
    const known = statements.get(prepared, now);
    statements.cache.found(known !== undefined);
    query.sentAt = now;
    if (known === undefined) {
      query.statement = statements.add(prepared, now);
      for (const closed of statements.takeClosed()) writer.close(closed);
      writer.parse(prepared.nameBytes, prepared.text);
    } else {
      query.statement = known;
      query.shape = known.shape;
      query.parsed = true;
      query.reused = true;
    }
    writer.bind(prepared.nameBytes, query.values);
    if (query.shape === undefined) writer.describePortal();
    writer.executeAndSync();
  }

  /** Without a name the server plans it for its own values. */
  #writeAnew(query: WireQuery, now: number): void {
    this.#host.statements.cache.found(false);
    query.sentAt = now;
    query.statement = undefined;
    writer.parse(NO_NAME, query.prepared.text);
    writer.bind(NO_NAME, query.values);
    writer.describePortal();
    writer.executeAndSync();
  }

  /** What has come from the server. */
  read(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#held !== undefined) at = this.#complete(bytes, at);
      else if (this.#foreign > 0) at = this.#passOn(bytes, at, this.#foreign);
      else if (bytes.length - at < HEADER_BYTES) at = this.#hold(bytes, at, HEADER_BYTES);
      else {
        const type = bytes[at] as number;
        const length = 1 + bytes.readUInt32BE(at + 1);
        if (length < HEADER_BYTES || length > LONGEST_MESSAGE) return this.#giveUp();
        if (!this.#isOwn(type)) at = this.#passOn(bytes, at, this.#foreignRun(bytes, at, length));
        else if (bytes.length - at < length) at = this.#hold(bytes, at, length);
        else {
          this.#take(type, bytes, at, at + length);
          at += length;
        }
      }
    }
  }

  #giveUp(): void {
    const error = new Error('the server has sent something that is no message of its protocol');
    this.#host.ending(error);
    this.#loseAll(error, () => false);
    this.#protocol.stream.destroy();
  }

  #isOwn(type: number): boolean {
    if (this.#underway.length === 0) return false;
    return type !== Message.notice && type !== Message.notification && type !== Message.parameterStatus;
  }

  /** How far messages for pg go: with nothing of the wire's under way, up to where that may change. */
  #foreignRun(bytes: Buffer, at: number, length: number): number {
    if (this.#underway.length > 0) return length;
    let end = at + length;
    let type = bytes[at];
    while (type !== Message.readyForQuery && bytes.length - end >= HEADER_BYTES) {
      type = bytes[end];
      end += 1 + bytes.readUInt32BE(end + 1);
    }
    return end - at;
  }

  #passOn(bytes: Buffer, at: number, length: number): number {
    const end = Math.min(bytes.length, at + length);
    this.#foreign = length - (end - at);
    this.#pass(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    return end;
  }

  /** Keeps the beginning of a message of which `needed` bytes are wanted next. */
  #hold(bytes: Buffer, at: number, needed: number): number {
    this.#held = Buffer.allocUnsafeSlow(needed);
    this.#heldLength = bytes.copy(this.#held, 0, at);
    return bytes.length;
  }

  #complete(bytes: Buffer, at: number): number {
    const held = this.#held as Buffer;
    const end = at + bytes.copy(held, this.#heldLength, at, at + held.length - this.#heldLength);
    this.#heldLength += end - at;
    if (this.#heldLength < held.length) return end;
    this.#held = undefined;
    const length = 1 + held.readUInt32BE(1);
    if (held.length === length) this.read(held);
    else if (this.#isOwn(held[0] as number)) this.#hold(held, 0, Math.max(length, HEADER_BYTES));
    else this.#passOn(held, 0, length);
    return end;
  }

  #take(type: number, bytes: Buffer, start: number, end: number): void {
    const query = this.#underway.first as WireQuery;
    switch (type) {
      case Message.dataRow:
        return this.#row(query, bytes, start + HEADER_BYTES);
      case Message.bindComplete:
        query.bound = true;
        if (query.shape !== undefined && query.shape !== null) this.#useParsersOfNow(query, query.shape);
        return;
      case Message.commandComplete:
        // Ends with a zero byte.
        query.tag = bytes.toString('latin1', start + HEADER_BYTES, end - 1);
        if (query.prepared.changing) this.#host.completed(query.tag, query.text, query.values);
        return;
      case Message.readyForQuery:
        return this.#ready(query, String.fromCharCode(bytes[start + HEADER_BYTES] as number) as TransactionStatus);
      case Message.parseComplete:
        query.parsed = true;
        return;
      case Message.rowDescription:
        return this.#describe(query, bytes.subarray(start, end));
      case Message.noData:
        query.shape = null;
        return;
      case Message.error:
        return this.#failed(query, parseMessage(bytes.subarray(start, end)) as unknown as Error);
      case Message.copyIn:
        writer.copyFailAndSync('No source stream defined');
        this.#protocol.stream.write(writer.take());
        return;
      default:
      // Nothing that a query's caller has to know: an empty query, the data of a `COPY` that nobody asked for.
    }
  }

  #describe(query: WireQuery, bytes: Buffer): void {
    const { fields } = parseMessage(bytes) as unknown as { fields: FieldDef[] };
    query.shape = new RowShape(fields, this.#host);
  }

  #useParsersOfNow(query: WireQuery, shape: RowShape): void {
    try {
      query.shape = shape.current(this.#host);
    } catch (error) {
      // Of a source of parsers that is the user's own.
      query.error = error as Error;
    }
  }

  #row(query: WireQuery, bytes: Buffer, at: number): void {
    if (query.error !== undefined || query.settled) return;
    try {
      query.rows.push((query.shape as RowShape).read(bytes, at));
    } catch (error) {
      query.error = error as Error;
    }
  }

  #failed(query: WireQuery, error: Error): void {
    query.error = error;
    hideStatementName(error, query);
    // Whether the server got as far as preparing it isn't known.
    if (!query.parsed && query.statement !== undefined) this.#host.statements.remove(query.prepared);
    if (endsConnection(error)) {
      this.#host.ending(error);
      // What wasn't bound was never begun: the server hangs up after such an error.
      this.#loseAll(error, (lost) => !lost.bound);
    }
  }

  #ready(query: WireQuery, status: TransactionStatus): void {
    this.#underway.shift();
    if (query.error !== undefined && this.#runsAgain(query, status)) this.#again(query);
    if (this.#underway.length === 0) {
      Wire.#atWork--;
      this.#last = query;
      this.#protocol.emit('readyForQuery', { name: 'readyForQuery', length: HEADER_BYTES, status });
      return;
    }
    this.#host.ready(status);
    if (!query.listed) this.#done(query);
    const { first } = this.#underway;
    if (first?.settled === true && first.sentAt !== Infinity) this.#host.unwanted(first);
  }

  /** pg is ready again. */
  handedBack(): void {
    const query = this.#last;
    this.#last = undefined;
    if (query !== undefined) this.#done(query);
  }

  #done(query: WireQuery): void {
    const now = this.#host.now();
    const startedAt = Math.max(query.sentAt, this.#readyAt);
    this.#readyAt = now;
    if (query.firstFailure === 'suspect') this.#ranAgain(query, now);
    if (query.error !== undefined) {
      return query.settle(query.error, undefined as never, this.#host.wasCancelled(query.error));
    }
    const { statement } = query;
    if (statement !== undefined) {
      statement.shape = query.shape ?? null;
      statement.uses++;
    }
    if (query.firstError === undefined) this.#host.statements.cache.ran(query, now - startedAt, now);
    try {
      query.settle(undefined, query as never);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  /** Whether a query that has failed runs once more: by an error that may be of its statement's age, and has lost nothing. */
  #runsAgain(query: WireQuery, status: TransactionStatus): boolean {
    const failure = failureOf(query);
    if (failure === 'genuine') return false;
    const { statements } = this.#host;
    const { prepared } = query;
    if (failure === 'forgotten') statements.clear();
    else if (failure === 'taken') statements.remove(prepared);
    else if (failure === 'outdated') {
      statements.cache.invalidate(prepared);
      statements.cache.schemaMayHaveChanged(this.#host.now());
    }
    query.firstFailure = failure;
    if (status === 'I' && this.#host.alive && !query.settled) return true;
    if (failure === 'suspect') {
      // It can't be tried without the name here: the transaction is lost.
      statements.remove(prepared);
      statements.cache.suspect(prepared, this.#host.now());
    }
    return false;
  }

  /** Sends a query once more, without a name and ahead of whatever waits in pg: the server reads its text anew. */
  #again(query: WireQuery): void {
    query.runAgain();
    this.#underway.push(query);
    this.#unsent.push(query);
    if (query.shared) this.#sendSoon();
    else this.#send();
  }

  /** By how the second run went it is known whether the statement of the first was of use. */
  #ranAgain({ error, firstError, prepared }: WireQuery, now: number): void {
    if (firstError === undefined || (error !== undefined && isSameError(error, firstError))) return;
    const { cache } = this.#host.statements;
    cache.invalidate(prepared);
    cache.schemaMayHaveChanged(now);
  }

  /** The connection is lost: nothing that is under way will be answered, and nothing of `asked`, which may be queued in pg. */
  lost(asked: WireQuery, error: Error): void {
    const queued = !asked.listed;
    const unsent = new Set(this.#unsent);
    this.#loseAll(error, (query) => unsent.has(query));
    asked.settle(error, undefined as never, queued);
  }

  #loseAll(error: Error, untouched: (query: WireQuery) => boolean): void {
    this.#unsent = [];
    if (this.#underway.length > 0) Wire.#atWork--;
    for (let query = this.#underway.shift(); query !== undefined; query = this.#underway.shift()) {
      query.settle(error, undefined as never, untouched(query));
    }
  }
}
