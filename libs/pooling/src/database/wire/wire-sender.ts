import { setImmediate } from 'node:timers';
import { protocolOf, type ProtocolConnection } from '../pg-internals.js';
import type { Opening } from '../query/opening.js';
import { PreparedText } from '../query/statement-cache.js';
import { BINDING, COMMANDING, FAILED, PARSING } from './exchange-order.js';
import { MessageWriter } from './message-writer.js';
import type { PlaceInTransaction } from './place-in-transaction.js';
import type { WireQuery } from './wire-query.js';
import type { WireSession } from './wire-session.js';

/**
 * With more wires at work than this, what is sent waits until the event loop has read all that has come: the callers'
 * code then runs in one go, instead of between writes that each wake a process of the server. Measured at 64 callers of
 * ten connections: a tenth to a fifth less time per query; with up to four callers, sending at once is faster by 5 %.
 */
const FEW_AT_WORK = 4;

/** The name of the unnamed statement, which the next one replaces. */
const NO_NAME = Buffer.from('\0');

/** All wires share it: each writes in one go, and takes back what it can't write in full. */
const writer = new MessageWriter();

/** Sends the queries of one wire: whatever is sent within one turn of the event loop leaves in one piece. */
export class WireSender {
  /** How many wires of this process have queries under way. */
  static #atWork = 0;
  /**
   * Those that send when all that was read in this turn of the event loop is handled. A test may replace the global
   * `setImmediate`, and never call back what it was given: no wire of the process would send again.
   */
  static #due: WireSender[] = [];

  readonly #session: WireSession;
  readonly #protocol: ProtocolConnection;
  #unsent: WireQuery[] = [];
  #isDue = false;
  /** The last statement of a transaction that was sent. */
  #ahead: WireQuery | undefined = undefined;

  constructor(session: WireSession) {
    this.#session = session;
    this.#protocol = protocolOf(session.client);
  }

  /** Sends the first query of a wire that has nothing under way. */
  begin(query: WireQuery): void {
    this.#unsent.push(query);
    WireSender.#atWork++;
    if (query.shared || WireSender.#atWork > FEW_AT_WORK) this.#sendSoon();
    // Statements that are asked for together with the first one of a transaction are sent together with it.
    else if (query.place?.opening.state === 'due') process.nextTick(this.#send);
    else this.#send();
  }

  /** Sends another query behind those that are under way. */
  join(query: WireQuery): void {
    this.#unsent.push(query);
    if (this.#unsent.length === 1) this.#sendSoon();
  }

  /** Sends a query once more. */
  again(query: WireQuery): void {
    this.#unsent.push(query);
    if (query.shared) this.#sendSoon();
    else this.#send();
  }

  /** Sends queries that the server has skipped, ahead of those that wait. */
  sendPassedOver(queries: readonly WireQuery[]): void {
    this.#unsent.unshift(...queries);
    this.goOn();
  }

  /** Sends what has waited until its transaction was open. */
  goOn(): void {
    if (this.#unsent.length > 0) this.#sendSoon();
  }

  /** Answers a server that asks for the data of a `COPY`: there are none. */
  refuseCopy(): void {
    writer.copyFailAndSync('No source stream defined');
    this.#transmit();
  }

  /** The wire has nothing under way any more. */
  ended(): void {
    WireSender.#atWork--;
  }

  /** Takes the queries that weren't sent yet: they won't be sent any more. */
  takeUnsent(): ReadonlySet<WireQuery> {
    const unsent = new Set(this.#unsent);
    this.#unsent = [];
    return unsent;
  }

  /** Sends after all that was read in this turn of the event loop is handled, so that what that sets off leaves in one piece. */
  #sendSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    if (WireSender.#due.push(this) === 1) setImmediate(WireSender.#sendDue);
  }

  static readonly #sendDue = (): void => {
    const due = WireSender.#due;
    WireSender.#due = [];
    for (const sender of due) {
      sender.#isDue = false;
      sender.#send();
    }
  };

  readonly #send = (): void => {
    const queries = this.#unsent;
    if (queries.length === 0) return;
    const now = this.#session.now();
    const held = this.#writeAll(queries, now);
    this.#unsent = held === queries.length ? [] : queries.slice(held);
    this.#transmit();
  };

  /** A stream of the user's own may throw: that ends its connection, and neither holds up others nor surprises who sends. */
  #transmit(): void {
    const { stream } = this.#protocol;
    const bytes = writer.take();
    if (!stream.writable) return;
    try {
      stream.write(bytes);
    } catch (error) {
      stream.destroy(error as Error);
    }
  }

  /** Writes the queries that may be sent now; returns how many. */
  #writeAll(queries: readonly WireQuery[], now: number): number {
    let unit: Opening | undefined;
    for (let index = 0; index < queries.length; index++) {
      const query = queries[index] as WireQuery;
      const opening = query.place?.opening;
      // `BEGIN` may fail: statements outside of its unit wait for its answer.
      if (opening?.state === 'sent' && opening !== unit) return index;
      if (opening?.state === 'due') unit = opening;
      const next = queries[index + 1]?.place?.opening;
      const written = this.#writeOrFail(query, now, unit !== undefined && unit === next);
      // That has ended the unit.
      if (!written) unit = undefined;
    }
    return queries.length;
  }

  #writeOrFail(query: WireQuery, now: number, chained: boolean): boolean {
    const { place } = query;
    try {
      if (place === undefined) this.#write(query, now);
      else this.#writeInTransaction(query, place, now, chained);
      return true;
    } catch (error) {
      // Only a `Sync` is sent in its place, so that the answers of the others stay in order.
      writer.cutToMark();
      writer.sync();
      query.sentAt = now;
      query.step = FAILED;
      query.error = error as Error;
      if (place !== undefined) place.chained = false;
      // The others must not be committed without it.
      if (place?.role === 'batched') this.#protocol.stream.destroy(error as Error);
      if (query.statement !== undefined) this.#session.statements.remove(query.statement.prepared);
      return false;
    }
  }

  #writeInTransaction(query: WireQuery, place: PlaceInTransaction, now: number, chained: boolean): void {
    const { opening } = place;
    writer.mark();
    const none = opening.state === 'failed' && this.#session.transactionStatus === 'I';
    if (none || place.refused) throw opening.failure();
    const inUnit = opening.state === 'due' || opening.state === 'sent';
    const ahead = this.#ahead;
    this.#ahead = query;
    // What an end that leaves with nothing unanswered ahead of it undoes, its session knows (`Session.ends`).
    const unsure = ahead?.settled === false && ahead.prepared.changing && ahead.place?.role !== 'end';
    if (unsure) this.#session.sent(ahead.text, ahead.values);
    if (opening.state === 'due') this.#writeOpening(opening, place);
    else if (inUnit) place.amidUnit = true;
    place.chained = chained;
    if (chained) place.amidUnit = true;
    if (!place.bare) this.#write(query, now);
    // In a message of its own it would have an answer of its own.
    else if (inUnit) this.#writeUnnamed(query, now);
    else this.#writeCommand(query, now);
  }

  #writeOpening(opening: Opening, place: PlaceInTransaction): void {
    for (const { text, values } of opening.statements) {
      writer.parse(NO_NAME, text);
      writer.bind(NO_NAME, values);
      writer.execute();
      if (values.length > 0) this.#session.sent(text, values);
    }
    opening.sent();
    place.opens = true;
    writer.mark();
  }

  #write(query: WireQuery, now: number): void {
    const { prepared } = query;
    if (!(prepared instanceof PreparedText) || prepared.customPlanned) return this.#writeUnnamed(query, now);
    // As pg: the server refuses to read a text there, and says nothing else of it.
    if (this.#session.transactionStatus === 'E' || query.firstError !== undefined)
      return this.#writeUnnamed(query, now);
    if (!query.shared) query.turn = prepared.plans.takeTurn();
    if (query.turn === 'custom') return this.#writeUnnamed(query, now);
    this.#writePrepared(query, prepared, now);
  }

  #writePrepared(query: WireQuery, prepared: PreparedText, now: number): void {
    const { statements } = this.#session;
    const known = statements.get(prepared, now);
    // If an error comes first the server doesn't get it, and answers the next one with that error.
    if (query.place !== undefined && known?.parsed === false) return this.#writeUnnamed(query, now);
    statements.cache.found(known !== undefined);
    query.sentAt = now;
    writer.mark();
    if (known === undefined) {
      query.statement = statements.add(prepared, now);
      query.step = PARSING;
      const closed = statements.takeClosed();
      for (const name of closed) writer.close(name);
      if (query.place !== undefined) query.place.closes = closed;
      writer.mark();
      writer.parse(prepared.nameBytes, query.statement.text);
      query.reused = this.#session.pooled;
    } else {
      query.statement = known;
      query.step = BINDING;
      // Behind a pooler the next backend may have prepared the text with other columns.
      if (!this.#session.pooled) query.shape = known.shape;
      query.parsed = true;
      query.reused = true;
    }
    writer.bind(prepared.nameBytes, query.values);
    if (query.shape === undefined) writer.describePortal();
    this.#writeExecute(query);
  }

  /** Without a name the server makes a custom plan. */
  #writeUnnamed(query: WireQuery, now: number): void {
    if (query.prepared.kept) this.#session.statements.cache.found(false);
    query.sentAt = now;
    query.statement = undefined;
    query.step = PARSING;
    writer.mark();
    writer.parse(NO_NAME, query.prepared.sent);
    writer.bind(NO_NAME, query.values);
    writer.describePortal();
    this.#writeExecute(query);
  }

  #writeExecute({ place }: WireQuery): void {
    if (place?.chained === true) writer.execute();
    else writer.executeAndSync();
  }

  #writeCommand(query: WireQuery, now: number): void {
    query.sentAt = now;
    query.step = COMMANDING;
    query.shape = null;
    // A simple query has no separate steps: the server begins with it when it has read it.
    query.parsed = true;
    query.bound = true;
    writer.query(query.prepared.text);
  }
}
