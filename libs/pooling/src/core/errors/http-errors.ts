import { PoolingError, type PoolingErrorOptions } from './pooling-error.js';

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
