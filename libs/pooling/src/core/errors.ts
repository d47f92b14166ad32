import { inspect, type InspectOptions } from 'node:util';
import { showText } from './shown-text.js';

/** Plain data that an error carries for loggers: JSON values only. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** What every error of the library has in common. */
export interface PoolingErrorOptions {
  readonly cause?: unknown;
  readonly details?: ErrorDetails;
}

/**
 * The base class of every error that the library makes: a stable `code`, the `pool` it concerns,
 * the `cause`, and `details` in plain data.
 */
export abstract class PoolingError extends Error {
  /** The error's stable name, `ERR_…`. */
  abstract readonly code: string;
  /** The name of the pool or client. */
  readonly pool: string;
  /** Plain data for loggers; never a password, a parameter value or a row. */
  readonly details: ErrorDetails;

  constructor(pool: string, message: string, options: PoolingErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.pool = pool;
    this.details = Object.freeze({ ...options.details });
  }

  override get name(): string {
    return this.constructor.name;
  }

  /** Plain data: what a structured logger writes. */
  toJSON(): Record<string, unknown> {
    return {
      name: this.name,
      code: this.code,
      pool: this.pool,
      message: this.message,
      details: this.details,
      cause: this.cause === undefined ? undefined : describeCause(this.cause),
    };
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    const own = `${this.stack ?? `${this.name}: ${this.message}`}\n  code: '${this.code}', pool: '${this.pool}'`;
    if (this.cause === undefined) return own;
    return `${own}\n  [cause]: ${showText(inspect(this.cause, { ...options, depth: 0 }).split('\n')[0] ?? '')}`;
  }
}

/** The short form of a cause: its code and message, never its fields; one line, bounded, without control characters. */
export function describeCause(cause: unknown): string {
  return showText(describe(cause));
}

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause === 'string' ? cause : inspect(cause, { depth: 0 });
  const code = (cause as { code?: unknown }).code;
  // Node's AggregateError, made when every address of a name refused, has no message of its own.
  const message =
    cause.message || (cause instanceof AggregateError ? cause.errors.map(describe).join('; ') : cause.name);
  return typeof code === 'string' && !message.includes(code) ? `${code}: ${message}` : message;
}

/** No connection within the acquire's deadline. The message holds the state of the pool, its longest holders and the last failed dial. */
export class PoolAcquireTimeoutError extends PoolingError {
  override readonly code = 'ERR_POOL_ACQUIRE_TIMEOUT';
}

/** As many callers wait already as `maxWaiting` allows. */
export class PoolQueueFullError extends PoolingError {
  override readonly code = 'ERR_POOL_QUEUE_FULL';
}

/** The pool is closing or closed. */
export class PoolClosedError extends PoolingError {
  override readonly code = 'ERR_POOL_CLOSED';
}

/** The pool was suspended and not resumed before the acquire's deadline. */
export class PoolSuspendedError extends PoolingError {
  override readonly code = 'ERR_POOL_SUSPENDED';
}

/** A connection could not be opened; the real error is the `cause`. */
export class PoolConnectError extends PoolingError {
  override readonly code = 'ERR_POOL_CONNECT_FAILED';
}

/** A connection was used or released after it had been given back. */
export class PoolLeaseReleasedError extends PoolingError {
  override readonly code = 'ERR_POOL_LEASE_RELEASED';
}

/** A query ran longer than `queryTimeoutMs`. Its connection was destroyed and its backend was asked to cancel. */
export class PoolQueryTimeoutError extends PoolingError {
  override readonly code = 'ERR_POOL_QUERY_TIMEOUT';
}

/** `COMMIT` was sent and the connection was lost before the answer: the transaction may or may not have happened. */
export class PoolCommitUnknownError extends PoolingError {
  override readonly code = 'ERR_POOL_COMMIT_UNKNOWN';
}

/** A statement was asked for after the end of its transaction had been. It was not sent: a transaction that is over takes nothing in. */
export class PoolTransactionError extends PoolingError {
  override readonly code = 'ERR_POOL_TRANSACTION_OVER';
}

/** Something was injected that was never configured. */
export class PoolNotConfiguredError extends PoolingError {
  override readonly code = 'ERR_POOL_NOT_CONFIGURED';
}

/** One or more options are wrong; the message lists all of them. */
export class PoolOptionsError extends PoolingError {
  override readonly code = 'ERR_POOL_OPTIONS_INVALID';
}

/** The phase of an HTTP exchange that took too long; waiting for the headers is a `read`. */
export type HttpTimeoutPhase = 'total' | 'acquire' | 'connect' | 'read';

/** An HTTP exchange, or one phase of it, took longer than allowed. */
export class HttpTimeoutError extends PoolingError {
  override readonly code = 'ERR_HTTP_TIMEOUT';
  /** What took too long. */
  readonly phase: HttpTimeoutPhase;

  constructor(pool: string, message: string, phase: HttpTimeoutPhase, options: PoolingErrorOptions = {}) {
    super(pool, message, { ...options, details: { phase, ...options.details } });
    this.phase = phase;
  }
}

/** As many requests wait already as `maxWaiting` allows. */
export class HttpQueueFullError extends PoolingError {
  override readonly code = 'ERR_HTTP_QUEUE_FULL';
}

/** The answer's status is not 2xx. */
export class HttpStatusError extends PoolingError {
  override readonly code = 'ERR_HTTP_STATUS';
  /** The status of the answer. */
  readonly statusCode: number;
  /** The headers of the answer, names in lower case. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** The body of the answer, its first 64 KiB. */
  readonly body: string;

  constructor(
    pool: string,
    message: string,
    answer: { statusCode: number; headers: Record<string, string | string[]>; body: string },
    options: PoolingErrorOptions = {},
  ) {
    super(pool, message, { ...options, details: { statusCode: answer.statusCode, ...options.details } });
    this.statusCode = answer.statusCode;
    this.headers = answer.headers;
    this.body = answer.body;
  }
}

/** The body of an answer is larger than `maxResponseBytes`. */
export class HttpResponseTooLargeError extends PoolingError {
  override readonly code = 'ERR_HTTP_RESPONSE_TOO_LARGE';
}

/** The request would leave the client's `baseUrl`: it names another origin, or its `..` lead out of the path. Nothing was sent. */
export class HttpOriginRefusedError extends PoolingError {
  override readonly code = 'ERR_HTTP_ORIGIN_REFUSED';
}
