import { hasTransientCode, isBrokenOff } from '../pool/connection-errors.js';

/** The first back-off is up to this, in milliseconds; each further one up to twice as long. */
const FIRST_BACKOFF_MS = 100;
/** No back-off of our own choice is longer, in milliseconds. */
const LONGEST_BACKOFF_MS = 5_000;

/** Methods whose repetition has no further effect (RFC 9110, 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);

/** Whether an error says that the connection failed or broke. */
export function isTransient(error: unknown): boolean {
  return hasTransientCode(error) || isBrokenOff(error);
}

/**
 * Whether sending a request twice does no more than sending it once: by its method, or because it carries a key by
 * which the server tells repetitions (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/).
 * Go's `net/http` judges in the same way.
 */
export function isIdempotent(method: string, hasIdempotencyKey: boolean): boolean {
  return hasIdempotencyKey || IDEMPOTENT.has(method);
}

/**
 * How long to wait before a try, in milliseconds: full jitter
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), and never less than the server asked for.
 */
export function backoffMs(retry: number, retryAfterMs: number, random: number): number {
  const ceiling = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (retry - 1));
  return Math.max(retryAfterMs, random * ceiling);
}

/** An HTTP date begins with the name of a day, in each of its three forms (RFC 9110, 5.6.7). */
const HTTP_DATE = /^(?:mon|tue|wed|thu|fri|sat|sun)/i;

/**
 * What a `Retry-After` header asks for, in milliseconds from `wallNow`: seconds or a date; 0 when it asks for nothing
 * that can be understood. It may be any number, `Infinity` included.
 */
export function retryAfterMs(header: string | undefined, wallNow: number): number {
  const value = header?.trim() ?? '';
  if (/^\d+$/.test(value)) return Number(value) * 1_000;
  const date = HTTP_DATE.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? 0 : Math.max(0, date - wallNow);
}
