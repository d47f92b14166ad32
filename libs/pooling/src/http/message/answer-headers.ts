import type { IncomingHttpHeaders } from 'node:http';

/**
 * One header of an answer as one string, whatever form it has: a server may send a header on several lines, and an
 * interceptor may give bytes. Several values become one list, as RFC 9110 (5.3) says.
 */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value: unknown = headers[name];
  if (value === undefined || typeof value === 'string') return value;
  if (value === null) return undefined;
  return Array.isArray(value) ? value.map(textOf).join(', ') : textOf(value);
}

/** Every value of a header of an answer, one for each line of it. */
export function headerLines(headers: IncomingHttpHeaders, name: string): string[] {
  const value: unknown = headers[name];
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value.map(textOf) : [textOf(value)];
}

/** What an answer's `Content-Length` says, in bytes; -1 when it says nothing that can be used. */
export function contentLengthOf(headers: IncomingHttpHeaders): number {
  const value = headerOf(headers, 'content-length');
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : -1;
}

/** Whether an answer has no body, whatever its headers say (RFC 9112, 6.3). */
export function hasNoBody(method: string, statusCode: number): boolean {
  return method === 'HEAD' || statusCode === 204 || statusCode === 304;
}

function textOf(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value);
}
