import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { HttpStatusError } from '../core/errors.js';

/** How much of an answer's body an `HttpStatusError` keeps, in bytes. */
const ERROR_BODY_BYTES = 65_536;

/** Headers of an answer, names in lower case. */
export type HttpResponseHeaders = Readonly<IncomingHttpHeaders>;

/** Where an answer came from. */
export interface ResponseSource {
  readonly method: string;
  /** The URL that was answered: the last one, after redirects. */
  readonly url: string;
}

/** An answer, complete: its body has been read and its connection given back. */
export class HttpResponse {
  readonly statusCode: number;
  /** Names in lower case. */
  readonly headers: HttpResponseHeaders;
  /** The URL that was answered: the last one, after redirects. */
  readonly url: string;
  /** The body as it came, decompressed. */
  readonly body: Buffer;

  constructor(statusCode: number, headers: HttpResponseHeaders, url: string, body: Buffer) {
    this.statusCode = statusCode;
    this.headers = headers;
    this.url = url;
    this.body = body;
  }

  /** Whether the status is 2xx. */
  get ok(): boolean {
    return isOk(this.statusCode);
  }

  /** The body, parsed as JSON. @throws SyntaxError when it isn't JSON */
  json<T = unknown>(): T {
    return parseJson<T>(this.body);
  }

  /** The body as text, taken for UTF-8. */
  text(): string {
    return decodeText(this.body);
  }

  /** The body's bytes. */
  bytes(): Buffer {
    return this.body;
  }
}

/** An answer whose body is still under way. The connection is held until the body ends or is destroyed. */
export interface HttpStreamResponse {
  readonly statusCode: number;
  /** Names in lower case. */
  readonly headers: HttpResponseHeaders;
  /** The URL that was answered: the last one, after redirects. */
  readonly url: string;
  /** Read it to its end, or destroy it: until then it holds a connection. */
  readonly body: Readable;
}

/** What `get()` and its like return: a promise of the answer, with short cuts to what is in it. */
export interface HttpResponsePromise extends Promise<HttpResponse> {
  /** The body parsed as JSON. Rejects with `HttpStatusError` (`ERR_HTTP_STATUS`) unless the status is 2xx. */
  json<T = unknown>(): Promise<T>;
  /** The body as text. Rejects with `HttpStatusError` unless the status is 2xx. */
  text(): Promise<string>;
  /** The body's bytes. Rejects with `HttpStatusError` unless the status is 2xx. */
  bytes(): Promise<Buffer>;
}

/** The error that an answer is when its status isn't 2xx. */
export function statusError(pool: string, source: ResponseSource, response: HttpResponse): HttpStatusError {
  const path = source.url.split('?', 1)[0] as string;
  return new HttpStatusError(
    pool,
    `${pool}: ${source.method} ${path} answered ${response.statusCode}`,
    {
      statusCode: response.statusCode,
      headers: response.headers as Record<string, string | string[]>,
      body: response.body.subarray(0, ERROR_BODY_BYTES).toString('utf8'),
    },
    { details: { method: source.method, url: path } },
  );
}

/** Whether a status is 2xx. */
export function isOk(statusCode: number): boolean {
  return statusCode >= 200 && statusCode < 300;
}

/** JSON of UTF-8 bytes. */
export function parseJson<T>(body: Buffer): T {
  return JSON.parse(decodeText(body)) as T;
}

/** Text of UTF-8 bytes, without a byte order mark. */
export function decodeText(body: Buffer): string {
  const marked = body.length >= 3 && body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf;
  return body.toString('utf8', marked ? 3 : 0);
}
