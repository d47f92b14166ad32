import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { encodeMultipart } from './multipart.js';
import type { HttpHeaders, HttpRedirectOptions, HttpRetryOptions, HttpTimeouts } from './options.js';

/** What may be sent as a body. */
export type HttpBody =
  | string
  | Uint8Array
  | URLSearchParams
  | FormData
  | Blob
  | Readable
  | AsyncIterable<Uint8Array | string>
  | Iterable<Uint8Array>;

/** What may stand in a query: an array gives its name several times, `null` and `undefined` aren't sent. */
export type HttpQueryValue = string | number | boolean | bigint | null | undefined;

/** One request, beyond its URL and method. */
export interface HttpRequestInit {
  /** Appended to the URL's own query. */
  readonly query?: Readonly<Record<string, HttpQueryValue | readonly HttpQueryValue[]>> | URLSearchParams;
  /** Sent as JSON, with its `content-type`; `undefined` is not sent. */
  readonly json?: unknown;
  /**
   * Sent as it is. A stream can be sent only once: give a function that makes one where the request should
   * survive a retry or a redirect.
   */
  readonly body?: HttpBody | (() => HttpBody) | null;
  /** Over the client's headers. */
  readonly headers?: HttpHeaders;
  /** Over the client's time-outs, one by one. */
  readonly timeouts?: HttpTimeouts;
  /** Over the client's retries, one by one; `false`: none. */
  readonly retry?: HttpRetryOptions | false;
  /** Ends the request at any moment; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | null;
  /** Over the client's redirects. */
  readonly redirect?: HttpRedirectOptions | boolean;
  /** Over the client's decompression. */
  readonly decompress?: boolean;
  /** Over the client's bound; 0: none. */
  readonly maxResponseBytes?: number;
}

/** A request as it is sent, and sent again: what undici's dispatch takes, and what a retry must know. */
export interface WireRequest extends Dispatcher.DispatchOptions {
  readonly origin: string;
  readonly path: string;
  readonly method: Dispatcher.HttpMethod;
  /** Names and values in turn: undici's cheapest form. */
  readonly headers: string[];
  /** Makes the body for each attempt. */
  readonly makeBody: (() => HttpBody) | undefined;
  /** Whether the body can be sent again. */
  readonly replayable: boolean;
  /** Whether an `Idempotency-Key` is sent. */
  readonly hasIdempotencyKey: boolean;
}

/** Where a request goes. */
export interface Target {
  readonly origin: string;
  readonly path: string;
  /** From `user:password@` in the URL. */
  readonly authorization?: string;
}

/** A path that the URL standard leaves as it is: no need to parse it. */
const DOT_SEGMENT = /\/(?:\.|%2e)/i;
const PLAIN_PATH = /^\/[\w\-.~!$&()*+,;=:@%/?]*$/;

/** The origin of an absolute URL as it is written, to be looked up; `undefined` when it needs to be parsed. */
export function plainTarget(url: string): Target | undefined {
  if (!url.startsWith('http')) return undefined;
  const slash = url.indexOf('/', 8);
  if (slash < 0) return { origin: url, path: '/' };
  const path = url.slice(slash);
  if (!isPlainPath(path)) return undefined;
  return { origin: url.slice(0, slash), path };
}

/** Whether a path needs no parsing. */
export function isPlainPath(path: string): boolean {
  return PLAIN_PATH.test(path) && !DOT_SEGMENT.test(path);
}

/**
 * Where a URL leads.
 *
 * @throws TypeError when it isn't an `http:` or `https:` URL
 */
export function parseTarget(url: string | URL): Target {
  const parsed = typeof url === 'string' ? new URL(url) : url;
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') {
    throw new TypeError(`an HTTP client can't request ${parsed.protocol} URLs`);
  }
  const target = { origin: parsed.origin, path: `${parsed.pathname}${parsed.search}` };
  if (parsed.username === '' && parsed.password === '') return target;
  const credentials = `${decodeURIComponent(parsed.username)}:${decodeURIComponent(parsed.password)}`;
  return { ...target, authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
}

/** A path with a query appended. */
export function withQuery(path: string, query: HttpRequestInit['query']): string {
  const parameters = query instanceof URLSearchParams ? query : new URLSearchParams();
  if (!(query instanceof URLSearchParams)) {
    for (const [name, value] of Object.entries(query ?? {})) {
      for (const each of Array.isArray(value) ? (value as readonly HttpQueryValue[]) : [value as HttpQueryValue]) {
        if (each !== undefined && each !== null) parameters.append(name, String(each));
      }
    }
  }
  const text = parameters.toString();
  if (text === '') return path;
  return `${path}${path.includes('?') ? '&' : '?'}${text}`;
}

/** Headers by lower-case name, in their flat form. */
export function flattenHeaders(headers: ReadonlyMap<string, string | readonly string[]>): string[] {
  const flat: string[] = [];
  for (const [name, value] of headers) {
    if (typeof value === 'string') flat.push(name, value);
    else for (const each of value) flat.push(name, each);
  }
  return flat;
}

/** Adds headers to those there; a name given again replaces what was there, `undefined` takes it away. */
export function mergeHeaders(into: Map<string, string | readonly string[]>, headers: HttpHeaders | undefined): void {
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined) into.delete(name.toLowerCase());
    else into.set(name.toLowerCase(), value);
  }
}

/** A body in the form that is sent, and whether it can be sent again. */
export interface PreparedBody {
  readonly body: Dispatcher.DispatchOptions['body'];
  readonly makeBody: (() => HttpBody) | undefined;
  readonly replayable: boolean;
  /** The `content-type` that goes with it, unless the request has its own. */
  readonly contentType: string | undefined;
}

const NO_BODY: PreparedBody = { body: null, makeBody: undefined, replayable: true, contentType: undefined };

/** The body of a request. @throws TypeError when `json` and `body` are both given, or `json` can't be serialised */
export function prepareBody(init: HttpRequestInit): PreparedBody {
  if (init.json !== undefined) {
    if (init.body !== undefined && init.body !== null) throw new TypeError('json and body are given: give one');
    const body = JSON.stringify(init.json) as string | undefined;
    if (body === undefined) throw new TypeError('json: a function or a symbol has no JSON form');
    return { body, makeBody: undefined, replayable: true, contentType: 'application/json' };
  }
  const { body } = init;
  if (body === undefined || body === null) return NO_BODY;
  if (typeof body === 'function') {
    return { body: null, makeBody: body, replayable: true, contentType: undefined };
  }
  if (body instanceof URLSearchParams) {
    const contentType = 'application/x-www-form-urlencoded;charset=UTF-8';
    return { body: body.toString(), makeBody: undefined, replayable: true, contentType };
  }
  if (isForm(body)) {
    const encoded = encodeMultipart(body);
    return { ...NO_BODY, body: encoded.body as unknown as PreparedBody['body'], contentType: encoded.contentType };
  }
  return {
    body: wireBody(body),
    makeBody: undefined,
    replayable: isReplayable(body),
    contentType: body instanceof Blob && body.type !== '' ? body.type : undefined,
  };
}

/** A body as undici takes it: any other iterable becomes a stream, whose progress can be seen. */
export function wireBody(body: HttpBody): Dispatcher.DispatchOptions['body'] {
  if (body instanceof URLSearchParams) return body.toString();
  if (typeof body === 'string' || body instanceof Uint8Array || body instanceof Readable) return body;
  if (body instanceof Blob) return body as unknown as Dispatcher.DispatchOptions['body'];
  if (isForm(body)) throw new TypeError('a form has to be given itself, not a function that makes one');
  return Readable.from(body as Iterable<Uint8Array>, { objectMode: false });
}

function isReplayable(body: HttpBody): boolean {
  return typeof body === 'string' || body instanceof Uint8Array || body instanceof Blob;
}

/** Node's `FormData`, or undici's, which is another class. */
function isForm(body: HttpBody): body is FormData {
  return (body as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === 'FormData';
}
