import type { Client, ClientConfig, PoolClient, Query, QueryResult, Submittable } from 'pg';
import type { Clock } from '../../core/clock.js';
import type { Deadlines } from '../../core/deadlines.js';
import { PoolQueryTimeoutError } from '../../core/errors.js';
import type { HolderActivity } from '../../core/holders.js';
import type { Lease } from '../../core/lease.js';
import type { CloseReason } from '../../core/statistics.js';
import { AddedProperties } from './added-properties.js';
import { Cancellation } from './cancellation.js';
import { pg } from '../pg.js';
import {
  activeQueryOf,
  answerWaitersWhenEnded,
  clearPgWriter,
  enqueue,
  guardIncoming,
  hasTextParsers,
  isReadyForQuery,
  isTraced,
  processIdOf,
  protocolOf,
  queuedQueries,
  restoreTypeParsers,
  textParserOf,
  type ProtocolConnection,
  type TransactionStatus,
  type TypeParsers,
  typeParsersOf,
} from '../pg-internals.js';
import { ConnectionStatements } from '../query/connection-statements.js';
import { ownConfig, preparableValues, textOf, type QueryOutcome, type QueryText } from '../query/query-forms.js';
import { refuseWithoutPassword } from './login-checks.js';
import { SessionChanges } from './session-changes.js';
import { ConnectionRole, READ_ONLY_TRANSACTION } from './server-role.js';
import { endsConnection } from '../server-errors.js';
import { prepareSubmission, serialiseQuery } from '../query/sent-values.js';
import { shortenStatement } from '../query/shown-statement.js';
import type { SlowQueries } from '../query/slow-queries.js';
import type { PreparedText, StatementCache } from '../query/statement-cache.js';
import { isRestoring, Submission, type SubmissionHost, type SubmissionLimits } from '../query/submission.js';
import { queryTraced, runTraced, submitTraced } from '../query/traced-queries.js';
import { rethrow, Statement, type StatementOwner } from '../query/statement.js';
import { MessageGuard } from '../wire/message-guard.js';
import type { WireValue } from '../wire/message-writer.js';
import { WireQuery } from '../wire/wire-query.js';
import { Wire, type WireHost } from '../wire/wire.js';

const NO_VALUES: readonly unknown[] = [];

/** What borrowers have run. */
export interface DatabaseTraffic {
  queries: number;
}

/** What a connection needs of its pool. */
export interface ConnectionHost {
  readonly name: string;
  readonly clock: Clock;
  /** The pool's one wheel of deadlines. */
  readonly deadlines: Deadlines;
  readonly clientConfig: ClientConfig;
  /** What limits cursors, streams and `COPY`. */
  readonly submissions: SubmissionLimits;
  /** Which texts are prepared; `undefined`: none. */
  readonly statements: StatementCache | undefined;
  /** Counts what borrowers run. */
  readonly traffic: DatabaseTraffic;
  /** Times the statements of borrowers; `undefined`: nobody does. */
  readonly slowQueries: SlowQueries | undefined;
  /** A statement took longer than it may. */
  queryTimedOut(error: Error): void;
  /** A statement under this lease was answered with a result: proof of life. */
  answered(lease: Lease<unknown>): void;
  /** A cancel request failed: the server goes on with what nobody waits for. */
  cancelFailed(): void;
}

/**
 * One physical connection: a `pg.Client` from its dial to the end of its socket. Every statement passes through
 * {@link execute} or {@link submit}, and every event of the socket ends here, so none is ever unhandled.
 */
export class PostgresConnection implements StatementOwner, SubmissionHost, WireHost {
  readonly client: Client;
  /** Resolves when its socket is gone. */
  readonly ended: Promise<void>;
  /** Why it must be closed when it is given back, though its socket may still live. */
  doom: CloseReason | undefined = undefined;
  /** The client through which it is borrowed now, once that has listeners: it hears the events. */
  borrower: PoolClient | undefined = undefined;
  /** What it has told of its server's role. */
  readonly role = new ConnectionRole();
  /** Whether a pooler stands between it and the server, which may change the backend at any time. */
  pooled = false;
  /** What hooks have put on its client. */
  added: AddedProperties | undefined = undefined;
  /** What it has prepared. */
  readonly statements: ConnectionStatements;
  readonly #host: ConnectionHost;
  readonly #lost: (error?: Error) => void;
  /** There unless pg reads in a way that isn't known. */
  #guard: MessageGuard | undefined;
  #wire: Wire | undefined;
  #state: 'open' | 'closing' | 'ended' = 'open';
  #status: TransactionStatus = 'I';
  #failure: Error | undefined;
  #lastText: string | undefined;
  /** What the last borrower ran last, once it is gone. */
  #leftText: string | undefined;
  #unanswered = 0;
  #answeredQuery: unknown;
  #ending: Promise<void> | undefined;
  readonly #cancellation: Cancellation;
  /** Only where texts are prepared. */
  readonly #changes: SessionChanges | undefined;
  /** Its own type parsers, while a borrower may have set others. */
  #ownTypeParsers: TypeParsers | undefined = undefined;

  constructor(host: ConnectionHost, lost: (error?: Error) => void) {
    this.#host = host;
    this.#lost = lost;
    this.client = new pg.Client(host.clientConfig);
    this.statements = new ConnectionStatements(host.statements, host.clock, () => this.pooled);
    this.#cancellation = new Cancellation({
      client: this.client,
      clientConfig: host.clientConfig,
      clock: host.clock,
      cancelFailed: () => {
        this.doom ??= 'broken';
        host.cancelFailed();
      },
    });
    const protocol = protocolOf(this.client);
    this.#changes = host.statements === undefined ? undefined : this.#watchChanges(protocol);
    const guard = new MessageGuard(this);
    if (guardIncoming(protocol, (bytes, pass) => guard.read(bytes, pass))) this.#guard = guard;
    // Before pg's own listeners, which run the callbacks that ask for this.
    protocol.on('readyForQuery', (message?: { status?: TransactionStatus }) => {
      this.ready(message?.status ?? 'I');
    });
    protocol.on('errorMessage', (error: Error) => {
      if (endsConnection(error)) this.#fail(error);
      else this.#refused(error);
    });
    answerWaitersWhenEnded(protocol);
    this.ended = new Promise((resolve) => protocol.once('end', resolve));
    this.client.on('error', (error) => this.#fail(error));
    this.client.on('end', () => this.#end());
    this.client.on('notice', (notice) => this.#tell('notice', notice));
    this.client.on('notification', (message) => this.#tell('notification', message));
    this.client.on('drain', () => this.#tell('drain'));
  }

  /** What pg runs, and what the server tells by itself, may change how prepared texts are read. */
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

  /** Dials and logs in. The signal's abort destroys the socket at once. */
  async connect(signal: AbortSignal): Promise<void> {
    const { client } = this;
    refuseWithoutPassword(client);
    // What pg tells the client alone, a failed hash of the password for one, would leave the dial waiting.
    const end = (error: Error): void => void protocolOf(client).stream.destroy(error);
    client.once('error', end);
    await this.#unlessAborted(signal, () => client.connect());
    client.removeListener('error', end);
    this.added = new AddedProperties(this.client);
    if (this.#host.statements === undefined || this.#guard === undefined) return;
    this.#wire = new Wire(this);
    this.#guard.serve(this.#wire);
  }

  /** Runs one step of setting the connection up; the signal's abort destroys the socket, which ends the step. */
  async #unlessAborted(signal: AbortSignal, step: () => Promise<unknown>): Promise<void> {
    signal.throwIfAborted();
    await step();
    signal.throwIfAborted();
  }

  /** Whether one more query may join those that are under way: what runs now doesn't take much longer than usual. */
  get shareable(): boolean {
    return this.alive && (this.#wire?.shareable ?? false);
  }

  /** Whether its socket can still be written to and nobody has given it up. */
  get alive(): boolean {
    return this.#state === 'open' && this.doom === undefined && protocolOf(this.client).stream.writable;
  }

  /** Whether the next borrower can have it: alive, nothing running, queued or left open. */
  get usable(): boolean {
    return this.alive && this.#status === 'I' && this.#quiet;
  }

  /** As the server last told it. */
  get transactionStatus(): TransactionStatus {
    return this.#status;
  }

  /** Whether a transaction is open, failed or not. */
  get inTransaction(): boolean {
    return this.#status !== 'I';
  }

  get #quiet(): boolean {
    return isReadyForQuery(this.client) && queuedQueries(this.client) === 0;
  }

  /** Why it died by itself. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** The server's process id. */
  get processId(): number | undefined {
    return processIdOf(this.client);
  }

  /** Whether its socket keeps the process alive: an idle one doesn't, as in `undici` and Node's own agents. */
  holdProcess(hold: boolean): void {
    const { stream } = protocolOf(this.client);
    if (hold) stream.ref();
    else stream.unref();
  }

  /** What it does now, for people. */
  activity(): HolderActivity {
    const serverId = this.processId;
    const lost = this.#failure !== undefined || this.#state === 'ended';
    return {
      ...(lost ? { lost } : undefined),
      active: !lost && (this.#unanswered > 0 || !isReadyForQuery(this.client)),
      inTransaction: !lost && this.inTransaction,
      ...(this.#lastText === undefined ? undefined : { statement: shortenStatement(this.#lastText) }),
      ...(serverId === undefined ? undefined : { serverId }),
    };
  }

  /**
   * Runs one statement and calls back once: every query of the pool, of a borrower and of Kysely comes through here.
   * After `timeoutMs` (0: never) the callback gets `ERR_POOL_QUERY_TIMEOUT` and the connection is given up.
   */
  execute(
    lease: Lease<unknown> | undefined,
    config: QueryText,
    values: unknown[] | undefined,
    timeoutMs: number,
    callback: QueryOutcome,
  ): void {
    const { statements } = this.#host;
    const sent = lease === undefined || statements === undefined ? undefined : preparableValues(config, values);
    const prepared = sent === undefined ? undefined : statements?.use(textOf(config));
    if (prepared === undefined) this.executeUnprepared(lease, config, values, timeoutMs, callback);
    else this.executePrepared(lease as Lease<unknown>, prepared, sent as unknown[], timeoutMs, callback);
  }

  /** {@link execute} for a text that isn't to be prepared: `pg` does all of it. */
  executeUnprepared(
    lease: Lease<unknown> | undefined,
    config: QueryText,
    values: unknown[] | undefined,
    timeoutMs: number,
    callback: QueryOutcome,
  ): void {
    if (!this.alive) return this.#refuse(callback);
    const given = values ?? (typeof config === 'object' ? config.values : undefined);
    const text = textOf(config);
    const sent = this.#serialise(text, Array.isArray(given) ? given : NO_VALUES, callback);
    if (sent === undefined) return;
    // Whatever isn't an array pg itself refuses, before it has sent anything.
    const handedOn = Array.isArray(given) ? sent : given;
    const statement = new Statement(this, lease, text, timeoutMs, this.#timed(lease, text, callback));
    const ownBusiness = lease === undefined || text === '';
    if (!ownBusiness && isTraced(this.client)) {
      this.#start(statement);
      return queryTraced(this.client, config, handedOn, statement);
    }
    // The callback belongs into the constructor: assigned later it makes V8 keep the rows in its old space
    // (scavenges ten times as long on results of many rows).
    const settle = (error: Error | undefined, result: QueryResult): void => statement.settle(error, result);
    statement.query = new pg.Query(ownConfig(config) as string, handedOn, settle as never);
    this.#start(statement);
    // The pool's own questions are nobody's: a tracer doesn't hear of them.
    if (ownBusiness) enqueue(this.client, statement.query);
    else this.client.query(statement.query as Query);
  }

  /** {@link execute} for a text that is to be prepared. Under a shared lease it runs between the queries of others. */
  executePrepared(
    lease: Lease<unknown>,
    prepared: PreparedText,
    values: readonly unknown[],
    timeoutMs: number,
    callback: QueryOutcome,
  ): void {
    const wire = this.#wire;
    if (wire === undefined) return this.executeUnprepared(lease, prepared.text, [...values], timeoutMs, callback);
    if (!this.alive) return this.#refuse(callback);
    const sent = this.#serialise(prepared.text, values, callback);
    if (sent === undefined) return;
    const heard = this.#timed(lease, prepared.text, callback);
    const query = new WireQuery(wire, this, lease, prepared, sent, timeoutMs, heard);
    this.#start(query);
    if (isTraced(this.client)) runTraced(this.client, wire, query);
    else if (query.shared && wire.underway > 0) wire.join(query);
    else this.client.query(query as unknown as Query);
  }

  /**
   * Values as pg sends them; `undefined`, and the caller hears it, when one of them can't be. That is found before anything
   * is sent: pg before 8.22 has sent half a query by then, and waits for an answer that never comes.
   */
  #serialise(text: string, values: readonly unknown[], callback: QueryOutcome): WireValue[] | undefined {
    try {
      return serialiseQuery(text, values);
    } catch (error) {
      process.nextTick(() => callback(error as Error, undefined as never));
      return undefined;
    }
  }

  #timed(lease: Lease<unknown> | undefined, text: string, callback: QueryOutcome): QueryOutcome {
    const { slowQueries } = this.#host;
    return slowQueries === undefined || lease === undefined
      ? callback
      : slowQueries.timing(this, lease, text, callback);
  }

  #start(statement: Statement): void {
    if (statement.lease !== undefined) this.#asked(statement.text);
    this.#unanswered++;
    if (statement.timeoutMs > 0) this.#host.deadlines.set(statement, statement.timeoutMs);
  }

  /** A borrower runs something. */
  #asked(text: string): void {
    this.#lastText = text;
    this.#host.traffic.queries++;
  }

  /** The borrower is gone: what he ran says nothing of the next one. */
  forgetBorrower(): void {
    this.borrower = undefined;
    this.#leftText = this.#lastText;
    this.#lastText = undefined;
  }

  /** What the borrower that is gone ran last, shortened: for people. */
  get leftStatement(): string | undefined {
    return this.#leftText === undefined ? undefined : shortenStatement(this.#leftText);
  }

  /** A borrower may set type parsers: they are its own, and gone with it. */
  lendTypeParsers(): void {
    this.#ownTypeParsers ??= typeParsersOf(this.client);
  }

  /** Everybody who has used it is gone. */
  takeBackTypeParsers(): void {
    if (this.#ownTypeParsers === undefined) return;
    restoreTypeParsers(this.client, this.#ownTypeParsers);
    this.#ownTypeParsers = undefined;
  }

  #refuse(callback: QueryOutcome): void {
    const cause = this.#failure;
    const error = Object.assign(
      new Error('the connection is lost: the statement was not sent', cause === undefined ? undefined : { cause }),
      { code: 'ECONNRESET' },
    );
    process.nextTick(() => callback(error, undefined as never, true));
  }

  /** @internal */
  typeParser(dataTypeId: number): (text: string) => unknown {
    return textParserOf(this.client, dataTypeId);
  }

  /** @internal */
  parsesBy(dataTypeIds: readonly number[], parsers: readonly ((text: string) => unknown)[]): boolean {
    return hasTextParsers(this.client, dataTypeIds, parsers);
  }

  /** @internal */
  now(): number {
    return this.#host.clock.now();
  }

  /** @internal */
  ready(status: TransactionStatus): void {
    this.#status = status;
    this.#changes?.ready(status, this.#host.clock);
  }

  /** @internal */
  completed(tag: string, text: string, values: readonly unknown[]): void {
    this.#changes?.completed(tag, text, values, this.now());
  }

  /** @internal */
  ending(error: Error): void {
    this.#fail(error);
  }

  /** Runs a cursor, a stream, a `COPY`: they answer for themselves, and only the server's silence ends them. */
  submit<Kind extends Submittable>(submittable: Kind): Kind {
    this.#asked(textOf(submittable));
    try {
      prepareSubmission(submittable);
    } catch (error) {
      const { handleError } = submittable as { handleError?: (reason: unknown, connection: unknown) => void };
      if (handleError === undefined) throw error;
      process.nextTick(() => handleError.call(submittable, error, protocolOf(this.client)));
      return submittable;
    }
    Submission.over(this, submittable);
    try {
      return isTraced(this.client) ? submitTraced(this.client, submittable) : this.client.query(submittable);
    } catch (error) {
      // It may have sent half of what it wanted to. Its caller hears it here, and not again when the connection ends.
      (submittable as { handleError?: unknown }).handleError = ignore;
      clearPgWriter();
      this.#fail(error as Error);
      this.destroy();
      throw error;
    }
  }

  /** Runs one statement of the pool's own; its time limit is the pool's. */
  async run(text: string, values?: unknown[]): Promise<QueryResult> {
    return new Promise((resolve, reject) => {
      this.execute(undefined, values === undefined ? text : { text, values }, undefined, 0, (error, result) =>
        error === undefined ? resolve(result) : reject(error),
      );
    });
  }

  /**
   * Whether everything that was sent is answered: `undefined` when it is, `'busy'` when something runs or waits, a
   * promise when the last answer was an error whose `ReadyForQuery` is still on its way, or a cancel request is, which
   * would end the next borrower's query.
   */
  settle(): undefined | 'busy' | Promise<void> {
    if (this.#quiet) return this.#cancellation.underway;
    if (queuedQueries(this.client) > 0) return 'busy';
    const active = activeQueryOf(this.client);
    if (active !== null && active !== undefined && active !== this.#answeredQuery && !isRestoring(active)) {
      return 'busy';
    }
    const ready = new Promise<void>((resolve) => this.client.once('drain', resolve));
    return ready.then(() => this.#cancellation.underway);
  }

  /** @internal */
  answered(statement: Statement, error: Error | undefined): void {
    this.#unanswered--;
    // Only then does the client still take it for running; otherwise it would keep a dropped lease alive.
    const query = statement.query ?? statement;
    this.#answeredQuery = activeQueryOf(this.client) === query ? query : undefined;
    this.#host.deadlines.clear(statement);
    if (error !== undefined) this.#refused(error);
    else if (statement.lease !== undefined) this.#host.answered(statement.lease);
  }

  /** Where a write was refused, the server's role is asked for when the connection is given back. */
  #refused(error: Error): void {
    if ((error as { code?: unknown }).code === READ_ONLY_TRANSACTION) this.role.refusedWrite = true;
  }

  /** @internal */
  overdue(statement: Statement): Error {
    this.#unanswered--;
    const { text, timeoutMs } = statement;
    const shown = shortenStatement(text);
    const error = this.#timeoutError(
      `no answer within ${timeoutMs} ms (queryTimeoutMs): ${shown} (Query read timeout)`,
      timeoutMs,
      shown,
    );
    if (statement instanceof WireQuery && statement.shared) this.#giveUpShared(statement);
    else this.abandon('query-timeout');
    this.#host.queryTimedOut(error);
    return error;
  }

  #timeoutError(what: string, timeoutMs: number, statement: string): PoolQueryTimeoutError {
    const { name } = this.#host;
    const details = { timeoutMs, statement, processId: this.processId };
    return new PoolQueryTimeoutError(name, `${name}: ${what}`, { details });
  }

  /** @internal */
  get deadlines(): Deadlines {
    return this.#host.deadlines;
  }

  /** @internal */
  get guard(): MessageGuard | undefined {
    return this.#guard;
  }

  /** @internal */
  get limits(): SubmissionLimits {
    return this.#host.submissions;
  }

  /** @internal */
  silent({ submitted }: Submission): Error {
    const shown = shortenStatement(textOf(submitted.cursor ?? submitted));
    const timeoutMs = this.#host.submissions.idleTimeoutMs;
    const error = this.#timeoutError(
      `the server was silent for ${timeoutMs} ms in the middle of an answer (streamIdleTimeoutMs): ${shown}`,
      timeoutMs,
      shown,
    );
    this.abandon('query-timeout');
    this.#host.queryTimedOut(error);
    return error;
  }

  /**
   * Gives the connection up while something runs on it: asks the server to cancel that, then destroys the socket.
   * In this order, because a server that has lost its client goes on with the query to its end.
   */
  abandon(reason: CloseReason): void {
    this.doom ??= reason;
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#ending = this.cancel().finally(() => protocolOf(this.client).stream.destroy());
  }

  /**
   * Gives up a connection that others use at the same time: nobody joins any more, and those behind get their answers,
   * unless the server doesn't heed the cancel request.
   */
  #giveUpShared(query: WireQuery): void {
    this.doom ??= 'query-timeout';
    if (this.#wire?.head === query) this.unwanted(query);
  }

  /** @internal The server works on a query that nobody waits for any more. */
  unwanted(query: WireQuery): void {
    this.#cancellation.requestAmidOthers(() => {
      if (this.#wire?.head === query) this.destroy();
    });
  }

  /** @internal Whether a cancel request may have met a query that it wasn't meant for: that one has done nothing. */
  wasCancelled(error: Error | undefined): boolean {
    return this.#cancellation.mayHaveMissed(error);
  }

  /**
   * Asks the server to cancel what runs now. Failing at it is counted, and ends the connection when it is given back:
   * the request may arrive yet, and meet whatever runs then.
   */
  cancel(): Promise<void> {
    return this.#cancellation.request();
  }

  /** Closes it, politely with a goodbye to the server or at once; resolves when the socket is gone. */
  async close(politely: boolean): Promise<void> {
    const { stream } = protocolOf(this.client);
    if (this.#ending !== undefined) {
      await this.#ending;
    } else if (this.#state !== 'ended') {
      this.#state = 'closing';
      if (politely && stream.writable && this.#quiet) void this.client.end().catch(ignore);
      else stream.destroy();
    }
    await this.ended;
  }

  /** Destroys the socket now, whatever is under way. */
  destroy(): void {
    if (this.#state === 'open') this.#state = 'closing';
    protocolOf(this.client).stream.destroy();
  }

  #fail(error: Error): void {
    if (this.#state !== 'open' || this.#failure !== undefined) return;
    this.#failure = error;
    this.doom ??= 'broken';
    this.#lost(error);
    const { borrower } = this;
    if (borrower !== undefined && borrower.listenerCount('error') > 0) this.#tell('error', error);
  }

  #end(): void {
    const byItself = this.#state === 'open';
    this.#state = 'ended';
    this.#cancellation.stop();
    if (byItself) {
      this.doom ??= 'broken';
      this.#lost(this.#failure);
    }
    this.#tell('end');
  }

  /** Tells a borrower who listens; what the listener throws must not stop what else has come. */
  #tell(event: string, what?: unknown): void {
    try {
      this.borrower?.emit(event as 'notice', what as never);
    } catch (error) {
      rethrow(error);
    }
  }
}

function ignore(): void {
  // A connection that is closed anyway may fail at it.
}
