import { HttpQueueFullError, HttpResponseTooLargeError, PoolClosedError } from '../../core/errors.js';
import { showText } from '../../core/shown-text.js';
import type { ResolvedHttpClientOptions } from '../options.js';
import type { Borrower, Origin } from './origin.js';
import type { WireRequest } from '../message/request.js';

/** How full a pool is. */
export interface Load {
  readonly inUse: number;
  readonly waiting: number;
}

/** How full a client is, for messages. */
export function describeLoad(options: ResolvedHttpClientOptions, { inUse, waiting }: Load, origin: Origin): string {
  const { limit, limitPerHost } = options;
  const host = `${origin.inUse}${limitPerHost === 0 ? '' : ` of ${limitPerHost}`} in use to ${origin.named}`;
  return `${host}, ${inUse}${limit === 0 ? '' : ` of ${limit}`} in all, ${waiting} waiting`;
}

/** The refusal of a client whose queue is full. */
export function queueFullError(
  name: string,
  options: ResolvedHttpClientOptions,
  load: Load,
  { request, origin }: Borrower,
): HttpQueueFullError {
  const { maxWaiting } = options;
  const state = describeLoad(options, load, origin);
  return new HttpQueueFullError(
    name,
    `${name}: ${showText(request.method)} ${request.origin} refused: ${maxWaiting} requests wait already (${state})`,
    { details: { method: request.method, origin: request.origin, maxWaiting } },
  );
}

/** The refusal of an answer that is larger than it may be. */
export function tooLargeError(
  name: string,
  { method, origin }: WireRequest,
  statusCode: number,
  maxResponseBytes: number,
): HttpResponseTooLargeError {
  return new HttpResponseTooLargeError(
    name,
    `${name}: the answer to ${method} ${origin} is larger than ${maxResponseBytes} bytes`,
    { details: { maxResponseBytes, statusCode } },
  );
}

/** The refusal of a client that is closed. */
export function closedError(name: string): PoolClosedError {
  return new PoolClosedError(name, `${name}: the HTTP client is closed`);
}

/**
 * Warns that the user's handler or hook has thrown when there is no caller left for the error. It must neither be lost nor end
 * the process.
 */
export function warnOfThrow(name: string, error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.emitWarning(`${name}: a handler threw while it handled an error: ${text}`, {
    type: 'PoolingWarning',
    code: 'POOL_HTTP_HANDLER',
  });
}
