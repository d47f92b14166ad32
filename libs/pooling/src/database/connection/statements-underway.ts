import type { Client, QueryResult } from 'pg';
import type { Deadlines } from '../../core/deadlines.js';
import { PoolQueryTimeoutError } from '../../core/errors.js';
import type { Lease } from '../../core/lease.js';
import type { CloseReason } from '../../core/statistics.js';
import { activeQueryOf, isReadyForQuery, queuedQueries } from '../pg-internals.js';
import { textHolderOf, textOf } from '../query/query-forms.js';
import { shortenStatement } from '../query/shown-statement.js';
import type { Statement, StatementOwner } from '../query/statement.js';
import type { StatementTally } from '../query/statement-tally.js';
import { isRestoring, type Submission } from '../query/submission.js';
import { WireQuery } from '../wire/wire-query.js';
import type { WireHost } from '../wire/wire.js';
import type { Cancellation } from './cancellation.js';
import type { ConnectionRole } from '../hosts/connection-role.js';
import type { HandingOn } from './handing-on.js';

/** What borrowers have run. */
export interface DatabaseTraffic {
  queries: number;
}

/** What the statements of a connection need of the pool. */
export interface UnderwayHost {
  readonly name: string;
  /** The pool's one wheel of deadlines. */
  readonly deadlines: Deadlines;
  /** The server's silence that ends cursors, streams and `COPY`, in milliseconds; 0: none. */
  readonly submissions: { readonly idleTimeoutMs: number };
  /** Counts what borrowers run. */
  readonly traffic: DatabaseTraffic;
  /** Counts it by statement, where somebody wants that. */
  readonly tally: StatementTally;
  /** Decides which connections are handed on before the answer to `COMMIT`. */
  readonly handingOn: HandingOn;
  /** A statement took longer than it may. */
  queryTimedOut(error: Error): void;
  /** A statement of this lease got a result: proof that the connection lives. */
  answered(lease: Lease<unknown>): void;
}

/** What the statements of a connection need of it. */
export interface UnderwayConnection {
  readonly client: Client;
  readonly role: ConnectionRole;
  /** Why the connection is closed when it is given back. */
  closeReason: CloseReason | undefined;
  readonly alive: boolean;
  readonly processId: number | undefined;
  /** The connection has died by itself. */
  fail(error: Error): void;
  /** Cancels what runs, then destroys the socket. */
  abandon(reason: CloseReason): void;
  /** Destroys the socket now. */
  destroy(): void;
}

/** The statements that run on one connection: each from its sending to its answer, its time-out or its cancel request. */
export class StatementsUnderway implements StatementOwner, WireHost {
  readonly #host: UnderwayHost;
  readonly #connection: UnderwayConnection;
  readonly #client: Client;
  readonly #cancellation: Cancellation;
  #lastText: string | undefined = undefined;
  #asked = 0;
  /** The last statement of the last borrower, after its return. */
  #leftText: string | undefined = undefined;
  #unanswered = 0;
  #answeredQuery: unknown = undefined;
  /** The end of the last borrower's transaction, where the connection was handed on before its answer. */
  #before: Statement | undefined = undefined;
  #over: Promise<void> | undefined = undefined;
  #tellOver: (() => void) | undefined = undefined;

  constructor(host: UnderwayHost, connection: UnderwayConnection, cancellation: Cancellation) {
    this.#host = host;
    this.#connection = connection;
    this.#client = connection.client;
    this.#cancellation = cancellation;
  }

  /** Whether nothing runs and nothing waits. */
  get quiet(): boolean {
    return isReadyForQuery(this.#client) && queuedQueries(this.#client) === 0;
  }

  /** Whether something of its borrower runs, or its caller waits for its answer. */
  get active(): boolean {
    // The end of the last borrower's transaction is none of the next one's statements.
    if (this.#before !== undefined) return this.#unanswered > 1;
    return this.#unanswered > 0 || !isReadyForQuery(this.#client);
  }

  /** How many statements the borrower has run. */
  get count(): number {
    return this.#asked;
  }

  /** What the borrower ran last, shortened: for people. */
  get lastStatement(): string | undefined {
    return this.#lastText === undefined ? undefined : shortenStatement(this.#lastText);
  }

  /** The last statement of the last borrower, after its return. */
  get leftStatement(): string | undefined {
    return this.#leftText === undefined ? undefined : shortenStatement(this.#leftText);
  }

  /** The lease is over: what its borrower ran isn't shown for the next one. */
  forgetBorrower(): void {
    this.#leftText = this.#lastText;
    this.#lastText = undefined;
    this.#asked = 0;
  }

  /** Whether what runs now stands behind the end of the last borrower's transaction. */
  get follows(): boolean {
    return this.#before !== undefined;
  }

  /** Resolves when the last borrower's transaction has ended, where what runs now stands behind that. */
  get before(): Promise<void> | undefined {
    if (this.#before === undefined) return undefined;
    return (this.#over ??= new Promise((resolve) => (this.#tellOver = resolve)));
  }

  /** The connection is handed on: what is sent from now on stands behind this end of a transaction. */
  handOn(end: Statement): void {
    this.#before = end;
  }

  #beforeAnswered({ sentAt }: Statement): void {
    this.#before = undefined;
    this.#host.handingOn.answered(sentAt);
    this.#tellOver?.();
    this.#over = undefined;
    this.#tellOver = undefined;
  }

  /** A statement is sent: its deadline begins. */
  start(statement: Statement): void {
    if (statement.lease !== undefined) {
      this.asked(statement.text);
      if (this.#host.tally.on) this.#host.tally.begins(statement);
    }
    this.#unanswered++;
    if (statement.timeoutMs > 0) this.#host.deadlines.set(statement, statement.timeoutMs);
  }

  /** A borrower runs something. */
  asked(text: string): void {
    this.#lastText = text;
    this.#asked++;
    this.#host.traffic.queries++;
  }

  /**
   * Whether everything that was sent is answered. `undefined`: it is. `'busy'`: something runs or waits. A promise: wait for
   * it, because the `ReadyForQuery` after an error is still on its way, or a cancel request, which could hit the next
   * borrower's query.
   */
  settle(): undefined | 'busy' | Promise<void> {
    if (this.quiet) return this.#cancellation.underway;
    if (queuedQueries(this.#client) > 0) return 'busy';
    const active = activeQueryOf(this.#client);
    if (active !== null && active !== undefined && active !== this.#answeredQuery && !isRestoring(active)) {
      return 'busy';
    }
    const ready = new Promise<void>((resolve) => this.#client.once('drain', resolve));
    return ready.then(() => this.#cancellation.underway);
  }

  answered(statement: Statement, error: Error | undefined, result: QueryResult | undefined, untouched: boolean): void {
    this.#unanswered--;
    if (statement === this.#before) this.#beforeAnswered(statement);
    // A statement that the server has done nothing for is sent again, or was never run.
    if (statement.figures !== undefined && !untouched) this.#host.tally.ended(statement, error, result);
    // Kept only while pg keeps it as well: longer, it would keep a dropped lease alive.
    const query = statement.query ?? statement;
    this.#answeredQuery = activeQueryOf(this.#client) === query ? query : undefined;
    this.#host.deadlines.clear(statement);
    if (error !== undefined) this.#connection.role.failed(error);
    else if (statement.lease !== undefined) this.#host.answered(statement.lease);
  }

  overdue(statement: Statement): Error {
    this.#unanswered--;
    // The connection is given up at once: nothing waits for its answer any more.
    if (statement === this.#before) this.#beforeAnswered(statement);
    const { text, timeoutMs } = statement;
    const shown = shortenStatement(text);
    const error = this.#timeoutError(
      `no answer within ${timeoutMs} ms (queryTimeoutMs): ${shown} (Query read timeout)`,
      timeoutMs,
      shown,
    );
    if (statement.figures !== undefined) this.#host.tally.ended(statement, error, undefined);
    if (statement instanceof WireQuery && statement.shared) this.#giveUpShared(statement);
    else this.#connection.abandon('query-timeout');
    this.#host.queryTimedOut(error);
    return error;
  }

  /** The server was silent in the middle of a submission's answer; gives the error that the caller sees. */
  silent({ submitted }: Submission): Error {
    const shown = shortenStatement(textOf(textHolderOf(submitted)));
    const timeoutMs = this.#host.submissions.idleTimeoutMs;
    const error = this.#timeoutError(
      `the server was silent for ${timeoutMs} ms in the middle of an answer (streamIdleTimeoutMs): ${shown}`,
      timeoutMs,
      shown,
    );
    this.#connection.abandon('query-timeout');
    this.#host.queryTimedOut(error);
    return error;
  }

  #timeoutError(what: string, timeoutMs: number, statement: string): PoolQueryTimeoutError {
    const { name } = this.#host;
    const details = { timeoutMs, statement, processId: this.#connection.processId };
    return new PoolQueryTimeoutError(name, `${name}: ${what}`, { details });
  }

  /**
   * Gives up a connection that others use at the same time: nobody joins any more, and those behind get their answers,
   * unless the server doesn't act on the cancel request.
   */
  #giveUpShared(query: WireQuery): void {
    this.#connection.closeReason ??= 'query-timeout';
    if (query.isFirst) this.unwanted(query);
  }

  get alive(): boolean {
    return this.#connection.alive;
  }

  ending(error: Error): void {
    this.#connection.fail(error);
  }

  unwanted(query: WireQuery): void {
    this.#cancellation.requestAmidOthers(() => {
      if (query.isFirst) this.#connection.destroy();
    });
  }

  wasCancelled(error: Error | undefined): boolean {
    return this.#cancellation.mayHaveMissed(error);
  }
}
