import type { Client, Submittable } from 'pg';
import { Deadline, type Deadlines } from '../../core/deadlines.js';
import { enqueueNext, protocolOf, type ProtocolConnection, type TransactionStatus } from '../pg-internals.js';
import { pg } from '../pg.js';
import type { MessageGuard } from '../wire/message-guard.js';
import { COMMAND_COMPLETE, DATA_ROW, ERROR } from '../wire/server-message.js';

/** Queries that set a time-out again. */
const restoringQueries = new WeakSet<object>();

/** Whether a query is of the pool's own, behind a stream in a transaction: no borrower waits for it. */
export function isRestoring(query: unknown): boolean {
  return restoringQueries.has(query as object);
}

/** A silence is looked for this many times within its limit, so that it is noticed soon after it. */
const LOOKS = 4;

/** What a pool lets cursors, streams and `COPY` do. */
export interface SubmissionLimits {
  /** The server's silence that ends them, in milliseconds; 0: none. */
  readonly idleTimeoutMs: number;
  /** Lifts `statement_timeout` for them, and sets it again; `undefined`: it isn't the pool's. */
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

/** What cursors, streams and `COPY` have in common, and what tells them apart. */
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

/** The text, the ends of the messages and their types that lift a time-out or set it again. */
export class StatementTimeout {
  /** `Parse`, `Bind` and `Execute` of what lifts it where it is the pool's: a value of the user's own stays. */
  readonly lifting: Buffer;
  readonly restoring: string;

  constructor(timeoutMs: number) {
    const shown = inServerUnits(timeoutMs);
    const lifts = `select set_config('statement_timeout', '0', true) where current_setting('statement_timeout') = '${shown}'`;
    this.lifting = Buffer.concat([
      message('P', `\0${lifts}\0\0\0`),
      message('B', '\0\0\0\0\0\0\0\0'),
      message('E', '\0\0\0\0\0'),
    ]);
    this.restoring = `select set_config('statement_timeout', '${timeoutMs}', true)`;
  }
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

/**
 * A cursor, a stream or a `COPY` on its way through a connection. PostgreSQL's `statement_timeout` counts the time that
 * their consumer takes, so the pool's own is lifted for them: within their transaction, in the same flight where they
 * speak the extended protocol. What limits them is the server's silence while an answer is due.
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

  /** Looks after what is going to be submitted. One of pg's own queries is a statement like others, and left alone. */
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
    const lifting = limits.statementTimeout?.lifting;
    const isCursor = cursorOf(this.submitted) !== undefined;
    // What is sent within a failed transaction is refused, and the caller is to hear that from his own statement.
    const futile = guard === undefined || this.#host.session.transactionStatus === 'E';
    if (lifting === undefined || futile || !(isCursor || mayCopy(this.submitted))) return submit() as never;
    // What reads from a COPY may read from the socket itself, past the guard.
    const together = isCursor || isWriter(this.submitted);
    connection.stream.write(together ? lifting : Buffer.concat([lifting, FLUSH]));
    guard.aside = (type) => {
      if (type === DATA_ROW) this.#lifted = true;
      if (type !== COMMAND_COMPLETE && type !== ERROR) return true;
      guard.aside = undefined;
      if (type === ERROR) {
        // It goes on to the submission. A COPY asks for no answer of its own, and the server passes over it until it is told to go on.
        if (!isCursor) connection.sync();
        return false;
      }
      if (!together) submit();
      return true;
    };
    return (together ? submit() : undefined) as never;
  }

  /** Before whatever the transaction does next. */
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
    // One look more: the first of them may have come as soon as the answer was asked for.
    if (this.#silentLooks <= LOOKS) return this.#begin();
    const error = this.#host.silent(this);
    this.submitted.handleError?.(error, protocolOf(this.#host.client));
  }
}

/** Puts a method in front of an object's own, where copies of the object don't take it along. */
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

const COPY = /^(?:\s|--.*\n|\/\*[^]*?\*\/)*copy\b/i;

/** Whether it is a `COPY`, as far as it shows its text: others may not run behind something in the same transaction (`VACUUM`). */
function mayCopy({ text }: Submitted): boolean {
  return typeof text !== 'string' || COPY.test(text);
}

/** Whether the server has to answer now, rather than the consumer to ask for more, to take more or to send more. */
function isOwed(submitted: Submitted, socket: ProtocolConnection['stream']): boolean {
  const cursor = cursorOf(submitted);
  if (cursor !== undefined) return cursor.state !== 'idle' || Boolean(cursor._cb);
  const { writableEnded, writableNeedDrain, readableLength, readableHighWaterMark } = submitted;
  // Both ways at once: replication, where silence is usual.
  if (writableEnded !== undefined && readableLength !== undefined) return false;
  if (writableEnded !== undefined) return writableEnded || writableNeedDrain === true || socket.writableLength > 0;
  if (readableLength === undefined || readableHighWaterMark === undefined) return false;
  // A full stream waits for its consumer.
  return readableLength < readableHighWaterMark;
}

function ignore(): void {
  // It fails with its transaction, which has no time-out then either.
}
