import type { Client, Query, QueryResult, Submittable } from 'pg';
import type { Lease } from '../../core/lease.js';
import { pg } from '../pg.js';
import { clearPgWriter, enqueue, isTraced, protocolOf, queuedQueries } from '../pg-internals.js';
import type { Opening } from '../query/opening.js';
import {
  isPlain,
  ownConfig,
  parametersOf,
  textHolderOf,
  textOf,
  type QueryOutcome,
  type QueryText,
  type StatementForm,
} from '../query/query-forms.js';
import { prepareSubmission, serialiseQuery } from '../query/sent-values.js';
import { commented, commentSubmission } from '../query/query-comment.js';
import { Statement } from '../query/statement.js';
import { Submission, type SubmissionHost } from '../query/submission.js';
import type { TracedQuery } from '../query/traced-query.js';
import type { TracedTransaction } from '../query/traced-transaction.js';
import { queryTraced, runTraced, submitTraced } from '../query/traced-queries.js';
import type { WireText } from '../query/unnamed-text.js';
import { connectionLostError } from '../wire/failed-statement.js';
import type { MessageGuard } from '../wire/message-guard.js';
import type { WireValue } from '../wire/message-writer.js';
import type { PlaceInTransaction } from '../wire/place-in-transaction.js';
import { WireQuery } from '../wire/wire-query.js';
import { Wire } from '../wire/wire.js';
import type { RunnerConnection, RunnerHost } from './runner-host.js';
import type { StatementsUnderway } from './statements-underway.js';

/** What sends the statements of a connection. */
export type StatementSender = Omit<Pick<StatementRunner, keyof StatementRunner>, 'useWire' | 'head'>;

const NO_VALUES: readonly unknown[] = [];

/**
 * Sends the statements of one connection. Every query of the pool, of a borrower and of Kysely passes through
 * {@link execute}, its two halves, or {@link submit}.
 */
export class StatementRunner {
  readonly #host: RunnerHost;
  readonly #connection: RunnerConnection;
  readonly #client: Client;
  readonly #underway: StatementsUnderway;
  readonly #guard: MessageGuard | undefined;
  readonly #submissions: SubmissionHost;
  #wire: Wire | undefined = undefined;
  /** The transaction that its borrower has begun, where tracers hear of it. */
  transaction: TracedTransaction | undefined = undefined;

  /** @param guard cuts what the server sends into messages; `undefined` where pg doesn't let it. */
  constructor(host: RunnerHost, connection: RunnerConnection, guard: MessageGuard | undefined) {
    const { client, session, underway } = connection;
    this.#host = host;
    this.#connection = connection;
    this.#client = client;
    this.#underway = underway;
    this.#guard = guard;
    this.#submissions = {
      client,
      session,
      deadlines: host.deadlines,
      limits: host.submissions,
      guard,
      silent: (submission) => underway.silent(submission),
    };
  }

  /** From now on, sends statements past pg by the wire, where pg allows its socket to be read. */
  useWire(): void {
    if (this.#guard === undefined) return;
    this.#wire = new Wire(this.#connection.session, this.#underway);
    this.#guard.serve(this.#wire);
  }

  /** Whether one more query may join those that are under way: not where the present one takes much longer than usual. */
  get shareable(): boolean {
    return this.#wire?.shareable ?? false;
  }

  /** What the server works on, where that was sent by the wire. */
  get head(): WireQuery | undefined {
    return this.#wire?.head;
  }

  /**
   * Runs one statement and calls back once. After `timeoutMs` (0: never) the callback gets `ERR_POOL_QUERY_TIMEOUT` and
   * the connection is given up.
   */
  execute(
    lease: Lease<unknown> | undefined,
    config: QueryText,
    values: unknown[] | undefined,
    timeoutMs: number,
    callback: QueryOutcome,
  ): void {
    const trace = lease === undefined ? undefined : this.trace(lease, config, values);
    if (trace === undefined) return this.#execute(lease, config, values, timeoutMs, callback, undefined);
    const heard = trace.hearing(callback);
    trace.begin(() => this.#execute(lease, config, values, timeoutMs, heard, trace));
  }

  /** What tracers hear of a statement that is about to be run under a lease; `undefined`: nothing. Its caller begins and ends it. */
  trace(
    lease: Lease<unknown>,
    config: QueryText,
    values: unknown[] | undefined,
    traced = this.#host.traces.traced,
  ): TracedQuery | undefined {
    const { traces } = this.#host;
    if (!traced && !traces.subscribed) return undefined;
    const place = { client: this.#client, connection: lease.connectionId, host: this.#connection.hostTarget };
    return traces.query(place, config, values, traced, this.transaction);
  }

  #execute(
    lease: Lease<unknown> | undefined,
    config: QueryText,
    values: unknown[] | undefined,
    timeoutMs: number,
    callback: QueryOutcome,
    trace: TracedQuery | undefined,
  ): void {
    const { statements, unnamed } = this.#host;
    const prepared = lease === undefined ? undefined : (statements ?? unnamed).prepare(config, values);
    if (lease === undefined || prepared === undefined) {
      return this.executeUnprepared(lease, config, values, timeoutMs, callback);
    }
    this.executePrepared(lease, prepared, parametersOf(config, values) as unknown[], timeoutMs, callback, trace);
  }

  /** {@link execute} for a text that isn't to be prepared: `pg` does all of it. */
  executeUnprepared(
    lease: Lease<unknown> | undefined,
    config: QueryText,
    values: unknown[] | undefined,
    timeoutMs: number,
    callback: QueryOutcome,
  ): void {
    if (!this.#connection.alive) return this.#refuse(callback);
    const given = parametersOf(config, values);
    const text = textOf(config);
    const sent = this.#serialise(text, Array.isArray(given) ? given : NO_VALUES, callback);
    if (sent === undefined) return;
    // pg itself refuses values that aren't an array, before it sends anything.
    const handedOn = Array.isArray(given) ? sent : given;
    const statement = new Statement(
      this.#underway,
      lease,
      text,
      timeoutMs,
      this.#timed(lease, text, sent.length > 0, callback),
    );
    const ownBusiness = lease === undefined || text === '';
    if (!ownBusiness && isTraced(this.#client)) {
      this.#underway.start(statement);
      return queryTraced(this.#client, commented(config, this.#host.comment), handedOn, statement);
    }
    // The callback belongs into the constructor: assigned later it makes V8 keep the rows in its old space
    // (scavenges ten times as long on results of many rows).
    const settle = (error: Error | undefined, result: QueryResult): void => statement.settle(error, result);
    const own = ownConfig(lease === undefined ? config : commented(config, this.#host.comment));
    statement.query = new pg.Query(own as string, handedOn, settle as never);
    this.#underway.start(statement);
    // A query of the pool itself passes by the tracer.
    if (ownBusiness) enqueue(this.#client, statement.query);
    else this.#client.query(statement.query as Query);
  }

  /** {@link execute} for a text that is to be prepared. Under a shared lease it runs between the queries of others. */
  executePrepared(
    lease: Lease<unknown>,
    prepared: WireText,
    values: readonly unknown[],
    timeoutMs: number,
    callback: QueryOutcome,
    trace: TracedQuery | undefined,
  ): void {
    const wire = this.#wire;
    if (wire === undefined) return this.executeUnprepared(lease, prepared.text, [...values], timeoutMs, callback);
    if (!this.#connection.alive) return this.#refuse(callback);
    const sent = this.#serialise(prepared.text, values, callback);
    if (sent === undefined) return;
    const heard = this.#timed(lease, prepared.text, true, callback);
    const query = new WireQuery(wire, this.#underway, lease, prepared, sent, timeoutMs, heard);
    query.trace = trace;
    this.#underway.start(query);
    if (isTraced(this.#client)) runTraced(this.#client, wire, query);
    // A question of the pool's own that was asked ahead of it belongs to it.
    else if (wire.underway > 0 && (query.shared || wire.head?.lease === undefined)) wire.join(query);
    else this.#client.query(query as unknown as Query);
  }

  /**
   * Whether {@link executeInOrder} can run a text: it must be one statement, and need no data from the client. Never where a
   * tracer stands in front of pg: it may have pg run another query object, without what is sent ahead of this one.
   */
  runsInOrder(config: QueryText, form: StatementForm): boolean {
    if (this.#wire === undefined || form === 'text' || isTraced(this.#client)) return false;
    return typeof config === 'string' || isPlain(config);
  }

  /**
   * {@link execute} for a statement of a transaction that is begun together with its first one: it is sent without waiting for
   * the answers of those before.
   */
  executeInOrder(
    lease: Lease<unknown>,
    config: QueryText,
    values: readonly unknown[],
    place: PlaceInTransaction,
    timeoutMs: number,
    callback: QueryOutcome,
  ): void {
    const trace = place.bare ? undefined : this.trace(lease, config, values as unknown[]);
    if (trace === undefined) return this.#executeInOrder(lease, config, values, place, timeoutMs, callback, undefined);
    const heard = trace.hearing(callback);
    trace.begin(() => this.#executeInOrder(lease, config, values, place, timeoutMs, heard, trace));
  }

  #executeInOrder(
    lease: Lease<unknown>,
    config: QueryText,
    values: readonly unknown[],
    place: PlaceInTransaction,
    timeoutMs: number,
    callback: QueryOutcome,
    trace: TracedQuery | undefined,
  ): void {
    const wire = this.#wire as Wire;
    if (!this.#connection.alive) return this.#refuse(callback);
    const text = textOf(config);
    const sent = this.#serialise(text, values, callback);
    if (sent === undefined) return;
    const keeps = !place.bare && typeof config === 'string' && text !== '';
    const prepared = (keeps ? this.#host.statements?.use(text) : undefined) ?? this.#host.unnamed.of(text);
    const heard = this.#timed(lease, text, true, callback);
    const query = new WireQuery(wire, this.#underway, lease, prepared, sent, timeoutMs, heard, place);
    query.trace = trace;
    place.opening.claimed = true;
    this.#underway.start(query);
    if (isTraced(this.#client)) runTraced(this.#client, wire, query);
    else if (wire.underway > 0 && queuedQueries(this.#client) === 0) wire.join(query);
    else enqueue(this.#client, query);
  }

  /** Sends `BEGIN` by itself, where it can't leave together with the first statement. */
  open(lease: Lease<unknown>, opening: Opening, timeoutMs: number): void {
    const { next } = opening;
    if (next === undefined) return;
    opening.claimed = true;
    opening.sent();
    this.executeUnprepared(lease, next.text, [...next.values], timeoutMs, (error) => {
      if (error !== undefined) opening.failed(error, false);
      else if (!opening.answeredOne()) this.open(lease, opening, timeoutMs);
    });
  }

  /** Whether {@link ask} sends a question without waiting for the answer to what was sent before. */
  get asksAlong(): boolean {
    return this.#wire !== undefined && !isTraced(this.#client);
  }

  /** Asks a question of the pool's own, for the sake of the statement that was sent before, or is sent next. */
  ask(text: string, timeoutMs: number, callback: QueryOutcome): void {
    const wire = this.#wire;
    if (wire === undefined || !this.asksAlong) {
      return this.executeUnprepared(undefined, text, undefined, timeoutMs, callback);
    }
    if (!this.#connection.alive) return this.#refuse(callback);
    const query = new WireQuery(wire, this.#underway, undefined, this.#host.unnamed.of(text), [], timeoutMs, callback);
    this.#underway.start(query);
    if (wire.underway > 0 && queuedQueries(this.#client) === 0) wire.join(query);
    else enqueue(this.#client, query);
  }

  /** Runs one statement of the pool's own; its time limit is the pool's. */
  async run(text: string, values?: unknown[]): Promise<QueryResult> {
    return new Promise((resolve, reject) => {
      this.execute(undefined, values === undefined ? text : { text, values }, undefined, 0, (error, result) =>
        error === undefined ? resolve(result) : reject(error),
      );
    });
  }

  /** Runs a cursor, a stream or a `COPY`. It reports its own end, and no time limit holds but that on the server's silence. */
  submit<Kind extends Submittable>(lease: Lease<unknown>, submittable: Kind): Kind {
    const holder = textHolderOf(submittable) as Submittable & { values?: unknown[] };
    const text = textOf(holder);
    this.#underway.asked(text);
    const { comment, tally } = this.#host;
    if (tally.on) tally.streams(text);
    try {
      prepareSubmission(submittable);
    } catch (error) {
      const { handleError } = submittable as { handleError?: (reason: unknown, connection: unknown) => void };
      if (handleError === undefined) throw error;
      process.nextTick(() => handleError.call(submittable, error, protocolOf(this.#client)));
      return submittable;
    }
    commentSubmission(submittable, comment);
    Submission.over(this.#submissions, submittable);
    const trace = this.trace(lease, text, holder.values);
    trace?.attend(submittable);
    try {
      return trace === undefined ? this.#submit(submittable) : trace.begin(() => this.#submit(submittable));
    } catch (error) {
      trace?.end(error, undefined);
      // It may have sent half a message. The caller gets the error here, and not once more when the connection ends.
      (submittable as { handleError?: unknown }).handleError = () => undefined;
      clearPgWriter();
      this.#connection.fail(error as Error);
      this.#connection.destroy();
      throw error;
    }
  }

  #submit<Kind extends Submittable>(submittable: Kind): Kind {
    return isTraced(this.#client) ? submitTraced(this.#client, submittable) : this.#client.query(submittable);
  }

  /**
   * The values as pg sends them. `undefined` when one of them can't be sent: the callback gets the error, and nothing was sent.
   * pg before 8.22 finds that after half of the query, and waits for an answer that never comes.
   */
  #serialise(text: string, values: readonly unknown[], callback: QueryOutcome): WireValue[] | undefined {
    try {
      return serialiseQuery(text, values);
    } catch (error) {
      process.nextTick(() => callback(error as Error, undefined as never));
      return undefined;
    }
  }

  /** `parsed`: whether the server takes the text for one statement, or refuses it. */
  #timed(lease: Lease<unknown> | undefined, text: string, parsed: boolean, callback: QueryOutcome): QueryOutcome {
    const { slowQueries } = this.#host;
    return slowQueries === undefined || lease === undefined
      ? callback
      : slowQueries.timing(this.#connection, lease, text, parsed, callback);
  }

  #refuse(callback: QueryOutcome): void {
    const error = connectionLostError(this.#connection.failure);
    process.nextTick(() => callback(error, undefined as never, true));
  }
}
