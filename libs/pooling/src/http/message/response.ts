import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { HttpStatusError } from '../../core/errors.js';
import { showText } from '../../core/shown-text.js';
import { shownUrl } from './shown-url.js';

/** How much of an answer's body an `HttpStatusError` keeps, in bytes. */
const ERROR_BODY_BYTES = 65_536;
/** How much of a body that isn't JSON a message shows, in bytes. */
const SHOWN_BYTES = 100;

/** Headers of an answer, names in lower case. */
export type HttpResponseHeaders = Readonly<IncomingHttpHeaders>;

/** Where an answer came from. */
export interface ResponseSource {
  readonly method: string;
  /** The URL that was answered: the last one, after redirects. */
  readonly url: string;
}

/**
 * An answer, complete: its body has been read and its connection given back.
 *
 * ```ts
 * const response = await http.request('/shipments/7');
 * if (response.statusCode === 200) console.log(response.headers['etag'], response.json());
 * ```
 */
export class HttpResponse {
  /** The status of the answer, 200 to 599. */
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

  /**
   * The body, parsed as JSON.
   *
   * @throws SyntaxError when it isn't JSON; it says what was asked, and how the answer began
   */
  json<T = unknown>(): T {
    try {
      return JSON.parse(decodeText(this.body)) as T;
    } catch (error) {
      throw error instanceof SyntaxError ? notJson(this.summary, this.body, error) : error;
    }
  }

  /** The request and the status in words, for messages; made when it is needed. */
  protected get summary(): string {
    return `${shownUrl(this.url)} answered ${this.statusCode}`;
  }

  /** The body as text, taken for UTF-8. @throws Error `ERR_STRING_TOO_LONG` when no string can hold it */
  text(): string {
    return decodeText(this.body);
  }

  /** The body's bytes. */
  bytes(): Buffer {
    return this.body;
  }
}

/** An answer that knows its request, for messages. */
export class AskedResponse extends HttpResponse {
  readonly #client: string;
  readonly #method: string;

  // Written out: rest parameters would be an array for each answer.
  // oxlint-disable-next-line max-params
  constructor(
    client: string,
    method: string,
    statusCode: number,
    headers: HttpResponseHeaders,
    url: string,
    body: Buffer,
  ) {
    super(statusCode, headers, url, body);
    this.#client = client;
    this.#method = method;
  }

  protected override get summary(): string {
    return `${this.#client}: ${this.#method} ${super.summary}`;
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
  const path = shownUrl(source.url);
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

/** The error of a body that isn't JSON: what answered, and how it began. */
function notJson(summary: string, body: Buffer, cause: SyntaxError): SyntaxError {
  const start = showText(body.toString('utf8', 0, SHOWN_BYTES));
  const found = body.length === 0 ? 'nothing' : `${body.length} bytes that begin with "${start}"`;
  return new SyntaxError(`${summary} with ${found}, which isn't JSON`, { cause });
}

/** Text of UTF-8 bytes, without a byte order mark. */
function decodeText(body: Buffer): string {
  const marked = body.length >= 3 && body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf;
  return body.toString('utf8', marked ? 3 : 0);
}
