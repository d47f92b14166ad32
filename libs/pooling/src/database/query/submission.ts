import type { Client, Submittable } from 'pg';
import { Deadline, type Deadlines } from '../../core/deadlines.js';
import { enqueueNext, protocolOf, type ProtocolConnection, type TransactionStatus } from '../pg-internals.js';
import { pg } from '../pg.js';
import type { MessageGuard } from '../wire/message-guard.js';
import { COMMAND_COMPLETE, DATA_ROW, ERROR, READY_FOR_QUERY } from '../wire/server-message.js';
import { beginsWith } from './leading-words.js';

/** The pool's own queries that set a time-out again. */
const restoringQueries = new WeakSet<object>();

/** Whether a query is the pool's own, which sets a time-out again after a stream: no borrower waits for it. */
export function isRestoring(query: unknown): boolean {
  return restoringQueries.has(query as object);
}

/** How many times within the limit silence is checked for, so that it is noticed soon after the limit. */
const LOOKS = 4;

/** Limits on cursors, streams and `COPY`. */
export interface SubmissionLimits {
  /** The server's silence that ends them, in milliseconds; 0: none. */
  readonly idleTimeoutMs: number;
  /** Lifts the pool's `statement_timeout` for them, and sets it again; `undefined`: the pool sets none. */
  readonly statementTimeout: StatementTimeout | undefined;
}

/** What a submission needs of its connection. */
export interface SubmissionHost {
  readonly client: Client;
  readonly deadlines: Deadlines;
  readonly limits: SubmissionLimits;
  readonly session: { readonly transactionStatus: TransactionStatus };
  /** What cuts the server's answers into messages; `undefined` where pg doesn't let it. */
  readonly guard: Pick<MessageGuard, 'aside'> | undefined;
  /** The server has been silent for too long; gives the error that the caller sees. */
  silent(submission: Submission): Error;
}

/** The fields by which cursors, streams and `COPY` are told apart. */
interface Submitted extends Submittable {
  /** pg-query-stream has one. */
  cursor?: Submitted;
  text?: unknown;
  /** pg-cursor's. */
  state?: unknown;
  _cb?: unknown;
  /** A stream's. */
  readableLength?: number;
  readableHighWaterMark?: number;
  writableEnded?: boolean;
  writableNeedDrain?: boolean;
  handleError?(error: Error, connection: unknown): void;
  handleReadyForQuery?(connection: unknown): void;
}

/** The messages that lift a time-out and set it again. */
export class StatementTimeout {
  /** `Parse`, `Bind` and `Execute` that lift the time-out. A value that the user has set stays. */
  readonly lifting: Buffer;
  /** The same behind a `BEGIN`. */
  readonly beginning: Buffer;
  readonly restoring: string;

  constructor(timeoutMs: number) {
    const shown = inServerUnits(timeoutMs);
    const lifts = `select set_config('statement_timeout', '0', true) where current_setting('statement_timeout') = '${shown}'`;
    this.lifting = execution(lifts);
    this.beginning = Buffer.concat([execution('begin'), this.lifting]);
    this.restoring = `select set_config('statement_timeout', '${timeoutMs}', true)`;
  }
}

/** `Parse`, `Bind` and `Execute` of a text without parameters. */
function execution(text: string): Buffer {
  return Buffer.concat([message('P', `\0${text}\0\0\0`), message('B', '\0\0\0\0\0\0\0\0'), message('E', '\0\0\0\0\0')]);
}

function message(type: string, content: string): Buffer {
  const body = Buffer.from(content);
  const header = Buffer.alloc(5, type);
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

/** A duration as PostgreSQL shows it: in the largest unit that divides it. */
function inServerUnits(ms: number): string {
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1_000, 's'],
  ] as const;
  const unit = units.find(([each]) => ms % each === 0);
  return unit === undefined ? `${ms}ms` : `${ms / unit[0]}${unit[1]}`;
}

const FLUSH = message('H', '');
const COMMIT = message('Q', 'commit\0');

/**
 * A cursor, a stream or a `COPY` on a connection. PostgreSQL's `statement_timeout` includes the time that their consumer takes,
 * so the pool lifts its own for them: within their transaction, and in the same flight where they use the extended protocol.
 * They are limited by the server's silence while an answer is due.
 */
export class Submission extends Deadline {
  readonly submitted: Submitted;
  readonly #host: SubmissionHost;
  #over = false;
  #lifted = false;
  #silentLooks = 0;
  #bytesRead = 0;

  private constructor(host: SubmissionHost, submitted: Submitted) {
    super();
    this.#host = host;
    this.submitted = submitted;
  }

  /** Watches a query object that is going to be submitted. One of pg's own class is a plain statement, and left alone. */
  static over(host: SubmissionHost, submittable: Submittable): void {
    if (submittable instanceof pg.Query) return;
    new Submission(host, submittable as Submitted).#attend();
  }

  #attend(): void {
    const { submitted } = this;
    const { submit, handleError, handleReadyForQuery } = submitted;
    override(submitted, 'submit', (connection) => {
      this.#begin();
      try {
        return this.#lift(connection as never, () => submit.call(submitted, connection));
      } catch (error) {
        this.#end();
        throw error;
      }
    });
    override(submitted, 'handleError', (error, connection) => {
      if (this.#over) return;
      this.#end();
      handleError?.call(submitted, error, connection);
    });
    override(submitted, 'handleReadyForQuery', (connection) => {
      this.#end();
      if (this.#lifted && this.#host.session.transactionStatus === 'T') this.#restore();
      handleReadyForQuery?.call(submitted, connection);
    });
  }

  #begin(): void {
    const { idleTimeoutMs } = this.#host.limits;
    if (idleTimeoutMs > 0) this.#host.deadlines.set(this, idleTimeoutMs / LOOKS);
  }

  #end(): void {
    this.#over = true;
    this.#host.deadlines.clear(this);
  }

  /** Sends what lifts the time-out and, in the same flight or when that is answered, the submission itself. */
  #lift(connection: ProtocolConnection, submit: () => unknown): never {
    const { guard, limits } = this.#host;
    const { statementTimeout } = limits;
    const isCursor = cursorOf(this.submitted) !== undefined;
    // In a failed transaction the server refuses everything: the caller gets that error from its own statement.
    const futile = guard === undefined || this.#host.session.transactionStatus === 'E';
    if (statementTimeout === undefined || futile || !(isCursor || mayCopy(this.submitted))) return submit() as never;
    // Outside a transaction a COPY gets one of its own: PostgreSQL 18 doesn't end the transaction of what is sent ahead of it.
    const begins = !isCursor && this.#host.session.transactionStatus === 'I';
    const lifting = begins ? statementTimeout.beginning : statementTimeout.lifting;
    let due = begins ? 2 : 1;
    // A COPY may read from the socket itself, past the guard.
    const together = isCursor || isWriter(this.submitted);
    connection.stream.write(together ? lifting : Buffer.concat([lifting, FLUSH]));
    guard.aside = (type) => {
      if (type === DATA_ROW) this.#lifted = true;
      if (type === COMMAND_COMPLETE) due--;
      if (due > 0 && type !== ERROR) return true;
      guard.aside = begins ? (next) => this.#commit(next, connection, guard) : undefined;
      if (type === ERROR) {
        // The submission gets the error. The server skips everything until a `Sync`, and a COPY sends none.
        if (!isCursor) connection.sync();
        return false;
      }
      if (!together) submit();
      return true;
    };
    return (together ? submit() : undefined) as never;
  }

  /** Commits the transaction of a COPY when the COPY has ended. The submission gets the answer as the end of the COPY. */
  #commit(type: number, connection: ProtocolConnection, guard: Pick<MessageGuard, 'aside'>): boolean {
    if (type !== READY_FOR_QUERY) return false;
    connection.stream.write(COMMIT);
    guard.aside = (next) => {
      if (next === READY_FOR_QUERY) guard.aside = undefined;
      return next === COMMAND_COMPLETE;
    };
    return true;
  }

  /** Sets the time-out again, before the next statement of the transaction. */
  #restore(): void {
    const { client, limits } = this.#host;
    const restoring = limits.statementTimeout?.restoring as string;
    const query = new pg.Query(restoring, ignore as never);
    restoringQueries.add(query);
    enqueueNext(client, query);
  }

  expire(): void {
    if (this.#over) return;
    const { stream } = protocolOf(this.#host.client);
    const { bytesRead } = stream;
    const moved = bytesRead !== this.#bytesRead;
    this.#bytesRead = bytesRead;
    this.#silentLooks = moved || !isOwed(this.submitted, stream) ? 0 : this.#silentLooks + 1;
    // One check more: the first may come right after the answer was asked for.
    if (this.#silentLooks <= LOOKS) return this.#begin();
    const error = this.#host.silent(this);
    this.submitted.handleError?.(error, protocolOf(this.#host.client));
  }
}

/** Puts a method in front of an object's own, not enumerable, so that copies of the object don't have it. */
function override<Name extends 'submit' | 'handleError' | 'handleReadyForQuery'>(
  submitted: Submitted,
  name: Name,
  method: NonNullable<Submitted[Name]>,
): void {
  Object.defineProperty(submitted, name, { configurable: true, writable: true, enumerable: false, value: method });
}

function cursorOf(submitted: Submitted): Submitted | undefined {
  const cursor = submitted.cursor ?? submitted;
  return typeof cursor.state === 'string' ? cursor : undefined;
}

/** Whether it only writes: `COPY … FROM STDIN`. */
function isWriter({ writableEnded, readableLength }: Submitted): boolean {
  return writableEnded !== undefined && readableLength === undefined;
}

/** Whether its text is a `COPY`. Others may be commands that can't run in a transaction (`VACUUM`). */
function mayCopy({ text }: Submitted): boolean {
  return typeof text !== 'string' || beginsWith(text, 'COPY');
}

/** Whether it is the server's turn, and not that of the consumer, who may have to ask for more, take more or send more. */
function isOwed(submitted: Submitted, socket: ProtocolConnection['stream']): boolean {
  const cursor = cursorOf(submitted);
  if (cursor !== undefined) return cursor.state !== 'idle' || Boolean(cursor._cb);
  const { writableEnded, writableNeedDrain, readableLength, readableHighWaterMark } = submitted;
  // A stream of both ways: replication, where silence is usual.
  if (writableEnded !== undefined && readableLength !== undefined) return false;
  if (writableEnded !== undefined) return writableEnded || writableNeedDrain === true || socket.writableLength > 0;
  if (readableLength === undefined || readableHighWaterMark === undefined) return false;
  // A full stream waits for its consumer.
  return readableLength < readableHighWaterMark;
}

function ignore(): void {
  // It fails with its transaction, which has no time-out then either.
}
