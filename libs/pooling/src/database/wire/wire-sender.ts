import { protocolOf, type ProtocolConnection } from '../pg-internals.js';
import { BINDING, FAILED, PARSING } from './exchange-order.js';
import { MessageWriter } from './message-writer.js';
import type { WireQuery } from './wire-query.js';
import type { WireSession } from './wire-session.js';

/**
 * With more wires at work than this, what is sent waits until the event loop has read all that has come: the callers'
 * code then runs in one go, instead of between writes that each wake a process of the server. Measured at 64 callers of
 * ten connections: a tenth to a fifth less time per query; with up to four callers, sending at once is faster by 5 %.
 */
const FEW_AT_WORK = 4;

/** The name of the statement that is forgotten with the next one. */
const NO_NAME = Buffer.from('\0');

/** All wires write one after another, each in one go: what can't be written in full is taken back. */
const writer = new MessageWriter();

/** Sends the queries of one wire: whatever is sent within one turn of the event loop leaves in one piece. */
export class WireSender {
  /** How many wires of this process have queries under way. */
  static #atWork = 0;

  readonly #session: WireSession;
  readonly #protocol: ProtocolConnection;
  #unsent: WireQuery[] = [];

  constructor(session: WireSession) {
    this.#session = session;
    this.#protocol = protocolOf(session.client);
  }

  /** Sends the first query of a wire that has nothing under way. */
  begin(query: WireQuery): void {
    this.#unsent.push(query);
    WireSender.#atWork++;
    if (query.shared || WireSender.#atWork > FEW_AT_WORK) this.#sendSoon();
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

  /** Answers a server that asks for the data of a `COPY`: there are none. */
  refuseCopy(): void {
    writer.copyFailAndSync('No source stream defined');
    this.#protocol.stream.write(writer.take());
  }

  /** The wire has nothing under way any more. */
  ended(): void {
    WireSender.#atWork--;
  }

  /** The queries that haven't left yet: they won't any more. */
  takeUnsent(): ReadonlySet<WireQuery> {
    const unsent = new Set(this.#unsent);
    this.#unsent = [];
    return unsent;
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
}
