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
 *
 * ```ts
 * try {
 *   await pool.query('select 1');
 * } catch (error) {
 *   if (error instanceof PoolingError) console.error(error.code, error.pool, error.details);
 *   throw error;
 * }
 * ```
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

/**
 * No connection within the acquire's deadline. The message holds the state of the pool, its longest holders and the last failed dial.
 *
 * ```ts
 * try {
 *   await db.selectFrom('orders').selectAll().execute();
 * } catch (error) {
 *   if (error instanceof PoolAcquireTimeoutError) throw new ServiceUnavailableException();
 *   throw error;
 * }
 * ```
 */
export class PoolAcquireTimeoutError extends PoolingError {
  override readonly code = 'ERR_POOL_ACQUIRE_TIMEOUT';
}

/**
 * As many callers wait already as `maxWaiting` allows.
 *
 * ```ts
 * const isOverload = (error: unknown): boolean =>
 *   error instanceof PoolQueueFullError || error instanceof PoolAcquireTimeoutError;
 * ```
 */
export class PoolQueueFullError extends PoolingError {
  override readonly code = 'ERR_POOL_QUEUE_FULL';
}

/**
 * The pool is closing or closed.
 *
 * ```ts
 * await pool.close();
 * await pool.query('select 1').catch((error: unknown) => {
 *   if (!(error instanceof PoolClosedError)) throw error; // the application is shutting down
 * });
 * ```
 */
export class PoolClosedError extends PoolingError {
  override readonly code = 'ERR_POOL_CLOSED';
}

/**
 * The pool was suspended and not resumed before the acquire's deadline.
 *
 * ```ts
 * pool.suspend();
 * try {
 *   await pool.connect({ timeoutMs: 100 });
 * } catch (error) {
 *   if (!(error instanceof PoolSuspendedError)) throw error;
 * }
 * pool.resume();
 * ```
 */
export class PoolSuspendedError extends PoolingError {
  override readonly code = 'ERR_POOL_SUSPENDED';
}

/**
 * A connection could not be opened; the real error is the `cause`.
 *
 * ```ts
 * try {
 *   await pool.query('select 1');
 * } catch (error) {
 *   if (error instanceof PoolConnectError) console.error('the database cannot be reached', error.cause);
 *   throw error;
 * }
 * ```
 */
export class PoolConnectError extends PoolingError {
  override readonly code = 'ERR_POOL_CONNECT_FAILED';
}

/**
 * A connection was used or released after it had been given back.
 *
 * ```ts
 * const client = await pool.connect();
 * client.release();
 * await client.query('select 1').catch((error: unknown) => {
 *   console.error(error instanceof PoolLeaseReleasedError); // true: somebody else may have the connection now
 * });
 * ```
 */
export class PoolLeaseReleasedError extends PoolingError {
  override readonly code = 'ERR_POOL_LEASE_RELEASED';
}

/**
 * A query ran longer than `queryTimeoutMs`. Its connection was destroyed and its backend was asked to cancel.
 *
 * ```ts
 * const reports = new DatabasePool('reports', { queryTimeoutMs: 5_000 });
 * try {
 *   await reports.query('select pg_sleep(10)');
 * } catch (error) {
 *   if (error instanceof PoolQueryTimeoutError) console.error('the report takes too long');
 *   else throw error;
 * }
 * ```
 */
export class PoolQueryTimeoutError extends PoolingError {
  override readonly code = 'ERR_POOL_QUERY_TIMEOUT';
}

/**
 * `COMMIT` was sent and the connection was lost before the answer: the transaction may or may not have happened.
 *
 * ```ts
 * try {
 *   await retryTransaction(db, (transaction) => transaction.insertInto('accounts').values({ id: 1, balance: 0 }).execute());
 * } catch (error) {
 *   if (!(error instanceof PoolCommitUnknownError)) throw error;
 *   const account = await db.selectFrom('accounts').select('id').where('id', '=', 1).executeTakeFirst();
 *   if (account === undefined) throw error; // it did not happen
 * }
 * ```
 */
export class PoolCommitUnknownError extends PoolingError {
  override readonly code = 'ERR_POOL_COMMIT_UNKNOWN';
}

/**
 * A statement was asked for after the end of its transaction had been. It was not sent: a transaction that is over takes nothing in.
 *
 * ```ts
 * import type { Transaction } from 'kysely';
 *
 * let escaped!: Transaction<Database>;
 * await db.transaction().execute(async (transaction) => {
 *   escaped = transaction;
 * });
 * await escaped.deleteFrom('orders').execute(); // rejects: the transaction is over
 * ```
 */
export class PoolTransactionError extends PoolingError {
  override readonly code = 'ERR_POOL_TRANSACTION_OVER';
}

/**
 * Something was injected that was never configured.
 *
 * ```ts
 * function archiveOf(registry: PoolRegistry): DatabasePool | undefined {
 *   try {
 *     return registry.database('archive');
 *   } catch (error) {
 *     if (error instanceof PoolNotConfiguredError) return undefined;
 *     throw error;
 *   }
 * }
 * ```
 */
export class PoolNotConfiguredError extends PoolingError {
  override readonly code = 'ERR_POOL_NOT_CONFIGURED';
}

/**
 * One or more options are wrong; the message lists all of them.
 *
 * ```ts
 * try {
 *   new DatabasePool('orders', { size: 0 });
 * } catch (error) {
 *   if (error instanceof PoolOptionsError) console.error(error.message); // every wrong option, and what is allowed
 * }
 * ```
 */
export class PoolOptionsError extends PoolingError {
  override readonly code = 'ERR_POOL_OPTIONS_INVALID';
}

/** The phase of an HTTP exchange that took too long; waiting for the headers is a `read`. */
export type HttpTimeoutPhase = 'total' | 'acquire' | 'connect' | 'read';

/**
 * An HTTP exchange, or one phase of it, took longer than allowed.
 *
 * ```ts
 * try {
 *   await http.get('/shipments/7').json<Shipment>();
 * } catch (error) {
 *   if (error instanceof HttpTimeoutError) console.error(`too slow: ${error.phase}`);
 *   throw error;
 * }
 * ```
 */
export class HttpTimeoutError extends PoolingError {
  override readonly code = 'ERR_HTTP_TIMEOUT';
  /** What took too long. */
  readonly phase: HttpTimeoutPhase;

  constructor(pool: string, message: string, phase: HttpTimeoutPhase, options: PoolingErrorOptions = {}) {
    super(pool, message, { ...options, details: { phase, ...options.details } });
    this.phase = phase;
  }
}

/**
 * As many requests wait already as `maxWaiting` allows.
 *
 * ```ts
 * try {
 *   await http.get('/shipments/7').json<Shipment>();
 * } catch (error) {
 *   if (error instanceof HttpQueueFullError) throw new ServiceUnavailableException();
 *   throw error;
 * }
 * ```
 */
export class HttpQueueFullError extends PoolingError {
  override readonly code = 'ERR_HTTP_QUEUE_FULL';
}

/**
 * The answer's status is not 2xx.
 *
 * ```ts
 * try {
 *   await http.get('/shipments/7').json<Shipment>();
 * } catch (error) {
 *   if (error instanceof HttpStatusError && error.statusCode === 404) throw new NotFoundException();
 *   throw error;
 * }
 * ```
 */
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

/**
 * The body of an answer is larger than `maxResponseBytes`.
 *
 * ```ts
 * const small = new HttpClient('small', { maxResponseBytes: 1_000_000 });
 * try {
 *   await small.get('https://carrier.example/labels').bytes();
 * } catch (error) {
 *   if (error instanceof HttpResponseTooLargeError) console.error('more than a megabyte');
 *   else throw error;
 * }
 * ```
 */
export class HttpResponseTooLargeError extends PoolingError {
  override readonly code = 'ERR_HTTP_RESPONSE_TOO_LARGE';
}

/**
 * The request would leave the client's `baseUrl`: it names another origin, or its `..` lead out of the path. Nothing was sent.
 *
 * ```ts
 * const carrier = new HttpClient('carrier', { baseUrl: 'https://carrier.example/v2' });
 * try {
 *   await carrier.get('https://elsewhere.example/');
 * } catch (error) {
 *   if (!(error instanceof HttpOriginRefusedError)) throw error; // with allowOtherOrigins: true it would be sent
 * }
 * ```
 */
export class HttpOriginRefusedError extends PoolingError {
  override readonly code = 'ERR_HTTP_ORIGIN_REFUSED';
}
