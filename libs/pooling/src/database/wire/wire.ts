import type { FieldDef } from 'pg';
import { LinkedList } from '../../core/linked-list.js';
import { parseMessage, protocolOf, type ProtocolConnection, type TransactionStatus } from '../pg-internals.js';
import type { Opening } from '../query/opening.js';
import { PreparedText } from '../query/statement-cache.js';
import { endsConnection } from '../server-errors.js';
import { FAILED, nextStep, ROWS } from './exchange-order.js';
import { hideStatementName, passedOverError } from './failed-statement.js';
import { checkForm, checkRowCount } from './message-form.js';
import { malformed, ProtocolError } from './protocol-error.js';
import { RowShape } from './row-shape.js';
import { ranAgain, runsAgain } from './second-run.js';
import {
  BIND_COMPLETE,
  COMMAND_COMPLETE,
  COPY_IN,
  DATA_ROW,
  EMPTY_QUERY,
  ERROR,
  HEADER_BYTES,
  NO_DATA,
  PARSE_COMPLETE,
  READY_FOR_QUERY,
  ROW_DESCRIPTION,
} from './server-message.js';
import type { WireQuery } from './wire-query.js';
import { WireSender } from './wire-sender.js';
import type { WireSession } from './wire-session.js';

/** A query that takes this much longer than usual is late: by a factor, and in milliseconds. */
const PATIENCE = { factor: 4, ms: 5 };

/** What a wire needs of its connection. */
export interface WireHost {
  /** Whether further queries may be sent. */
  readonly alive: boolean;
  /** The server ends the connection, and says why. */
  ending(error: Error): void;
  /** The server begins with a query that nobody waits for any more. */
  unwanted(query: WireQuery): void;
  /** Whether an error is of a cancel request that was meant for another query. */
  wasCancelled(error: Error | undefined): boolean;
}

/**
 * The short way to the server for prepared statements, past `pg.Client`, which has logged in and does everything else. While
 * queries of the wire are under way, `pg` sees one running query. Notices and other messages that answer no query are passed
 * on to `pg`.
 *
 * A known description of rows isn't asked for again, rows are read from the socket's buffer, and all that is sent in one turn
 * of the event loop leaves in one piece.
 */
export class Wire {
  readonly #session: WireSession;
  readonly #host: WireHost;
  readonly #protocol: ProtocolConnection;
  readonly #sender: WireSender;
  /** What was sent and isn't answered, in the order in which it will be. */
  readonly #underway = new LinkedList<WireQuery>();
  /** The last query that was under way: it is done when `pg` is ready again. */
  #last: WireQuery | undefined;
  #readyAt = 0;

  constructor(session: WireSession, host: WireHost) {
    this.#session = session;
    this.#host = host;
    this.#protocol = protocolOf(session.client);
    this.#sender = new WireSender(session);
  }

  /** How many queries are under way. */
  get underway(): number {
    return this.#underway.length;
  }

  /** The query that the server works on. */
  get head(): WireQuery | undefined {
    return this.#underway.first;
  }

  /** Whether others may queue behind the present query: not when it takes much longer than usual. */
  get shareable(): boolean {
    const { first } = this.#underway;
    if (first === undefined) return true;
    const runsMs = this.#session.now() - Math.max(first.sentAt, this.#readyAt);
    return runsMs < PATIENCE.ms + PATIENCE.factor * first.prepared.plans.usualMs;
  }

  /** Sends the first query, when pg has nothing under way. */
  begin(query: WireQuery): void {
    this.#underway.push(query);
    this.#sender.begin(query);
  }

  /** Sends another query behind those that are under way. */
  join(query: WireQuery): void {
    this.#underway.push(query);
    this.#sender.join(query);
  }

  /** A message that answers the first query under way, from `start` to before `end`; throws when it may not come now. */
  take(type: number, bytes: Buffer, start: number, end: number): void {
    const query = this.#underway.first as WireQuery;
    if (type === DATA_ROW && query.step === ROWS) return this.#row(query, bytes, start + HEADER_BYTES, end);
    if (type === ERROR) return this.#failed(query, bytes, start, end);
    if (query.place?.opens === true) return query.place.takeOpening(type, bytes, start, end, this.#session);
    query.step = nextStep(query, type, start, end);
    switch (type) {
      case BIND_COMPLETE:
        query.bound = true;
        if (query.shape) this.#useParsersOfNow(query, query.shape);
        return;
      case COMMAND_COMPLETE:
        this.#complete(query, bytes, start, end);
        return this.#ended(query);
      case EMPTY_QUERY:
        return this.#ended(query);
      case READY_FOR_QUERY:
        checkForm(type, bytes, start, end);
        return this.#ready(query, String.fromCharCode(bytes[start + HEADER_BYTES] as number) as TransactionStatus);
      case PARSE_COMPLETE:
        query.parsed = true;
        if (query.statement !== undefined) query.statement.parsed = true;
        return;
      case ROW_DESCRIPTION:
        return this.#describe(query, bytes, start, end);
      case NO_DATA:
        query.shape = null;
        return;
      case COPY_IN:
        return this.#sender.refuseCopy();
      default:
      // The caller needs nothing of it: the data of a `COPY` that it hasn't asked for.
    }
  }

  /** A query with others of its unit behind it is done at its end, without a `ReadyForQuery`. */
  #ended(query: WireQuery): void {
    if (query.place?.chained !== true) return;
    this.#underway.shift();
    this.#done(query);
  }

  #describe(query: WireQuery, bytes: Buffer, start: number, end: number): void {
    const known = query.statement === undefined ? query.prepared.shape : query.statement.shape;
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
      // The user's own source of parsers may throw.
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
    // The server may close the connection at any time.
    query.step = fatal || query.place?.opens === true ? FAILED : nextStep(query, ERROR, start, end);
    query.error = error;
    if (query.place?.opens === true) query.place.failOpening(error, this.#session);
    hideStatementName(error, query);
    // It isn't known whether the server has prepared it.
    if (!query.parsed && query.statement !== undefined) this.#session.statements.remove(query.statement.prepared);
    if (fatal) {
      this.#host.ending(error);
      // Queries that the server hadn't bound before this error were never begun. An error of a pooler doesn't show that: the
      // server may have run them, and the answer was lost.
      if (this.#session.pooled) this.end(error);
      else this.#loseAll(error, (lost) => !lost.bound);
    }
  }

  #ready(query: WireQuery, status: TransactionStatus): void {
    this.#underway.shift();
    if (query.error !== undefined) {
      if (query.place?.chained === true) this.#passedOver();
      if (runsAgain(query, status, this.#session, this.#host.alive)) this.#again(query);
    }
    if (this.#underway.length === 0) {
      this.#sender.ended();
      this.#last = query;
      this.#protocol.emit('readyForQuery', { name: 'readyForQuery', length: HEADER_BYTES, status });
      return;
    }
    this.#session.ready(status);
    if (!query.listed) this.#done(query);
    const { first } = this.#underway;
    if (first?.settled === true && first.sentAt !== Infinity) this.#host.unwanted(first);
    if (query.place !== undefined) this.#sender.goOn();
  }

  /** The server has skipped the rest of a unit: it is sent again, and answered as statements after an error are. */
  #passedOver(): void {
    const passed: WireQuery[] = [];
    for (
      let query = this.#underway.first, chained = true;
      query !== undefined && chained;
      query = this.#underway.first
    ) {
      chained = query.place?.chained === true;
      this.#underway.shift();
      this.#session.statements.closeAgain(query.place?.closes ?? []);
      if (query.statement !== undefined && !query.reused) this.#session.statements.remove(query.statement.prepared);
      query.forgetSending();
      passed.push(query);
    }
    const again = passed.filter(({ place }) => place?.role !== 'batched');
    for (const query of again.toReversed()) this.#underway.unshift(query);
    this.#sender.sendPassedOver(again);
    for (const query of passed) {
      if (query.place?.role === 'batched') query.settle(passedOverError(), undefined as never, true);
    }
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
    if (query.firstFailure === 'suspect') ranAgain(query, this.#session.statements.cache, now);
    if (query.error !== undefined) {
      return query.settle(query.error, undefined as never, this.#host.wasCancelled(query.error));
    }
    const { statement } = query;
    if (statement !== undefined) {
      statement.shape = query.shape ?? null;
      statement.uses++;
    }
    const { prepared } = query;
    if (query.shape && statement === undefined) prepared.shape = query.shape;
    if (query.firstError === undefined && prepared instanceof PreparedText && query.place?.amidUnit !== true) {
      this.#session.statements.cache.ran(prepared, query, now - startedAt, now);
    }
    query.settle(undefined, query as never);
  }

  /** Sends a query once more, without a name and ahead of what waits in pg: the server parses its text again. */
  #again(query: WireQuery): void {
    query.runAgain();
    query.trace?.event('nestjs_pooling.prepared_again');
    this.#underway.push(query);
    this.#sender.again(query);
  }

  /** Ends all that is under way: what came can't be trusted, or the connection ends. */
  end(error: Error): void {
    this.#loseAll(error);
  }

  /** The connection is lost: ends all that is under way, and `asked`, which may still be in pg's queue. */
  lost(asked: WireQuery, error: Error): void {
    const queued = !asked.listed;
    this.#loseAll(error);
    asked.settle(error, undefined as never, queued);
  }

  /**
   * @param untouched whether the server has done nothing for a query; left out: it is so for those that weren't sent, and for
   * the beginning of a transaction that stands behind the end of another one: what it has done is undone.
   */
  #loseAll(error: Error, untouched?: (query: WireQuery) => boolean): void {
    const unsent = this.#sender.takeUnsent();
    const first = this.#underway.first?.place?.opening;
    let undone: Opening | undefined;
    if (this.#underway.length > 0) this.#sender.ended();
    for (let query = this.#underway.shift(); query !== undefined; query = this.#underway.shift()) {
      const { opening, role } = query.place ?? {};
      if (opening?.state === 'due' || opening?.state === 'sent') {
        opening.failed(error, true);
        if (opening !== first && role === 'statement') undone = opening;
      }
      const isUndone = opening !== undefined && opening === undone;
      query.settle(error, undefined as never, untouched?.(query) ?? (isUndone || unsent.has(query)));
    }
  }
}
