import type { Client, FieldDef } from 'pg';
import { LinkedList } from '../../core/linked-list.js';
import type { ConnectionStatements } from '../query/connection-statements.js';
import { parseMessage, protocolOf, type ProtocolConnection, type TransactionStatus } from '../pg-internals.js';
import { endsConnection } from '../server-errors.js';
import { BINDING, FAILED, nextStep, PARSING, ROWS } from './exchange-order.js';
import { failureOf, hideStatementName, isSameError } from './failed-statement.js';
import { checkForm, checkRowCount } from './message-form.js';
import { MessageWriter } from './message-writer.js';
import { malformed, ProtocolError } from './protocol-error.js';
import { RowShape, type TypeParserSource } from './row-shape.js';
import {
  BIND_COMPLETE,
  COMMAND_COMPLETE,
  COPY_IN,
  DATA_ROW,
  ERROR,
  HEADER_BYTES,
  NO_DATA,
  PARSE_COMPLETE,
  READY_FOR_QUERY,
  ROW_DESCRIPTION,
} from './server-message.js';
import type { WireQuery } from './wire-query.js';

/** A query that takes this much longer than usual is late: by a factor, and in milliseconds. */
const PATIENCE = { factor: 4, ms: 5 };

/**
 * With more wires at work than this, what is sent waits until the event loop has read all that has come: the callers'
 * code then runs in one go, instead of between writes that each wake a process of the server. Measured at 64 callers of
 * ten connections: a tenth to a fifth less time per query; with up to four callers, sending at once is faster by 5 %.
 */
const FEW_AT_WORK = 4;

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
}

/** What a wire needs of its connection. */
export interface WireHost {
  /** Whether further queries may be sent. */
  readonly alive: boolean;
  /** The server ends the connection, and says why. */
  ending(error: Error): void;
  /** The server begins to work on a query that nobody waits for any more. */
  unwanted(query: WireQuery): void;
  /** Whether an error is of a cancel request that was meant for another query. */
  wasCancelled(error: Error | undefined): boolean;
}

/** The name of the statement that is forgotten with the next one. */
const NO_NAME = Buffer.from('\0');

/** All wires write one after another, each in one go: what can't be written in full is taken back. */
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

  readonly #session: WireSession;
  readonly #host: WireHost;
  readonly #protocol: ProtocolConnection;
  /** What was sent and isn't answered, in the order in which it will be. */
  readonly #underway = new LinkedList<WireQuery>();
  #unsent: WireQuery[] = [];
  /** The last one of those under way: it is done when `pg` has taken over again. */
  #last: WireQuery | undefined;
  #readyAt = 0;

  constructor(session: WireSession, host: WireHost) {
    this.#session = session;
    this.#host = host;
    this.#protocol = protocolOf(session.client);
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
  get shareable(): boolean {
    const { first } = this.#underway;
    if (first === undefined) return true;
    const runsMs = this.#session.now() - Math.max(first.sentAt, this.#readyAt);
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
    const now = this.#session.now();
    for (const query of queries) this.#writeOrFail(query, now);
    const { stream } = this.#protocol;
    if (stream.writable) stream.write(writer.take());
    else writer.take();
  };

  #writeOrFail(query: WireQuery, now: number): void {
    try {
      this.#write(query, now);
    } catch (error) {
      // The server is only asked to be ready, so that the answers of the others stay in their places.
      writer.cutToMark();
      writer.sync();
      query.sentAt = now;
      query.step = FAILED;
      query.error = error as Error;
      if (query.statement !== undefined) this.#session.statements.remove(query.prepared);
    }
  }

  #write(query: WireQuery, now: number): void {
    const { prepared } = query;
    const { statements } = this.#session;
    if (prepared.plannedAnew || query.firstError !== undefined) return this.#writeAnew(query, now);
    // As pg: the server refuses to read a text there, and says nothing else of it.
    if (this.#session.transactionStatus === 'E') return this.#writeAnew(query, now);
    if (!query.shared) query.turn = prepared.plans.takeTurn();
    if (query.turn === 'anew') return this.#writeAnew(query, now);
    const known = statements.get(prepared, now);
    statements.cache.found(known !== undefined);
    query.sentAt = now;
    writer.mark();
    if (known === undefined) {
      query.statement = statements.add(prepared, now);
      query.step = PARSING;
      for (const closed of statements.takeClosed()) writer.close(closed);
      writer.mark();
      writer.parse(prepared.nameBytes, query.statement.text);
      query.reused = this.#session.pooled;
    } else {
      query.statement = known;
      query.step = BINDING;
      // Behind a pooler the next backend may have prepared the text for other rows.
      if (!this.#session.pooled) query.shape = known.shape;
      query.parsed = true;
      query.reused = true;
    }
    writer.bind(prepared.nameBytes, query.values);
    if (query.shape === undefined) writer.describePortal();
    writer.executeAndSync();
  }

  /** Without a name the server plans it for its own values. */
  #writeAnew(query: WireQuery, now: number): void {
    this.#session.statements.cache.found(false);
    query.sentAt = now;
    query.statement = undefined;
    query.step = PARSING;
    writer.mark();
    writer.parse(NO_NAME, query.prepared.text);
    writer.bind(NO_NAME, query.values);
    writer.describePortal();
    writer.executeAndSync();
  }

  /** A message that answers the first query under way, from `start` to before `end`; throws when it may not come now. */
  take(type: number, bytes: Buffer, start: number, end: number): void {
    const query = this.#underway.first as WireQuery;
    if (type === DATA_ROW && query.step === ROWS) return this.#row(query, bytes, start + HEADER_BYTES, end);
    if (type === ERROR) return this.#failed(query, bytes, start, end);
    query.step = nextStep(query, type, start, end);
    switch (type) {
      case BIND_COMPLETE:
        query.bound = true;
        if (query.shape) this.#useParsersOfNow(query, query.shape);
        return;
      case COMMAND_COMPLETE:
        return this.#complete(query, bytes, start, end);
      case READY_FOR_QUERY:
        checkForm(type, bytes, start, end);
        return this.#ready(query, String.fromCharCode(bytes[start + HEADER_BYTES] as number) as TransactionStatus);
      case PARSE_COMPLETE:
        query.parsed = true;
        return;
      case ROW_DESCRIPTION:
        return this.#describe(query, bytes, start, end);
      case NO_DATA:
        query.shape = null;
        return;
      case COPY_IN:
        writer.copyFailAndSync('No source stream defined');
        this.#protocol.stream.write(writer.take());
        return;
      default:
      // Nothing that a query's caller has to know: an empty query, the data of a `COPY` that nobody asked for.
    }
  }

  #describe(query: WireQuery, bytes: Buffer, start: number, end: number): void {
    const known = query.statement?.shape;
    if (known && known.description.compare(bytes, start, end) === 0) {
      query.shape = known;
      return this.#useParsersOfNow(query, known);
    }
    checkForm(ROW_DESCRIPTION, bytes, start, end);
    const description = Buffer.from(bytes.subarray(start, end));
    const { fields } = parseMessage(description) as unknown as { fields: FieldDef[] };
    try {
      query.shape = new RowShape(fields, description, this.#session);
    } catch (error) {
      query.error = error as Error;
    }
  }

  #useParsersOfNow(query: WireQuery, shape: RowShape): void {
    try {
      query.shape = shape.current(this.#session);
    } catch (error) {
      // Of a source of parsers that is the user's own.
      query.error = error as Error;
    }
  }

  #row(query: WireQuery, bytes: Buffer, at: number, end: number): void {
    if (query.error !== undefined || query.settled) return;
    try {
      query.rows.push((query.shape as RowShape).read(bytes, at, end));
    } catch (error) {
      if (error instanceof ProtocolError) throw error;
      query.error = error as Error;
    }
  }

  #complete(query: WireQuery, bytes: Buffer, start: number, end: number): void {
    const at = start + HEADER_BYTES;
    if (at >= end || bytes[end - 1] !== 0) throw malformed(COMMAND_COMPLETE);
    if (query.shape && query.error === undefined && !query.settled) {
      checkRowCount(bytes, at, end - 1, query.rows.length);
    }
    query.tag = bytes.toString('latin1', at, end - 1);
    if (query.prepared.changing) this.#session.completed(query.tag, query.text, query.values);
  }

  #failed(query: WireQuery, bytes: Buffer, start: number, end: number): void {
    checkForm(ERROR, bytes, start, end);
    const error = parseMessage(bytes.subarray(start, end)) as unknown as Error;
    const fatal = endsConnection(error);
    // The server may hang up at any time.
    query.step = fatal ? FAILED : nextStep(query, ERROR, start, end);
    query.error = error;
    hideStatementName(error, query);
    // Whether the server got as far as preparing it isn't known.
    if (!query.parsed && query.statement !== undefined) this.#session.statements.remove(query.prepared);
    if (fatal) {
      this.#host.ending(error);
      // What the server hasn't bound by its last words it has never begun. A pooler's own last words say nothing of that: the
      // server may have run what was sent, and its answer is lost.
      const unsent = this.#session.pooled ? new Set(this.#unsent) : undefined;
      this.#loseAll(error, (lost) => (unsent === undefined ? !lost.bound : unsent.has(lost)));
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
    this.#session.ready(status);
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
    const now = this.#session.now();
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
    if (query.firstError === undefined) this.#session.statements.cache.ran(query, now - startedAt, now);
    query.settle(undefined, query as never);
  }

  /** Whether a query that has failed runs once more: by an error that may be of its statement's age, and has lost nothing. */
  #runsAgain(query: WireQuery, status: TransactionStatus): boolean {
    const failure = failureOf(query);
    if (failure === 'genuine') return false;
    const { statements } = this.#session;
    const { prepared } = query;
    if (failure === 'forgotten') statements.clear();
    else if (failure === 'taken') statements.remove(prepared);
    else if (failure === 'outdated') {
      statements.cache.invalidate(prepared, this.#session.now());
      statements.cache.schemaMayHaveChanged(this.#session.now());
    }
    query.firstFailure = failure;
    if (status === 'I' && this.#host.alive && !query.settled) return true;
    if (failure === 'suspect') {
      // It can't be tried without the name here: the transaction is lost.
      statements.remove(prepared);
      statements.cache.suspect(prepared, this.#session.now());
    }
    return false;
  }

  /** Sends a query once more, without a name and ahead of whatever waits in pg: the server reads its text anew. */
  #again(query: WireQuery): void {
    query.runAgain();
    query.trace?.event('nestjs_pooling.prepared_again');
    this.#underway.push(query);
    this.#unsent.push(query);
    if (query.shared) this.#sendSoon();
    else this.#send();
  }

  /** By how the second run went it is known whether the statement of the first was of use. */
  #ranAgain({ error, firstError, prepared }: WireQuery, now: number): void {
    if (firstError === undefined || (error !== undefined && isSameError(error, firstError))) return;
    const { cache } = this.#session.statements;
    cache.invalidate(prepared, now);
    cache.schemaMayHaveChanged(now);
  }

  /** What came can't be trusted: nothing that is under way will be answered. */
  end(error: Error): void {
    const unsent = new Set(this.#unsent);
    this.#loseAll(error, (query) => unsent.has(query));
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
