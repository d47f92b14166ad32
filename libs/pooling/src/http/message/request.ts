import { AsyncResource } from 'node:async_hooks';
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { showType } from '../../core/validation.js';
import {
  formStreamHeaders,
  isBlob,
  isForm,
  isFormStream,
  kindOf,
  readableOf,
  type FormStream,
} from './foreign-bodies.js';
import type { HttpHeaders } from './headers.js';
import { encodeMultipart } from './multipart.js';
import type { HttpRedirectOptions, HttpRetryOptions, HttpTimeouts } from '../options.js';
import type { OriginPolicy } from '../origin-policy.js';
import { isStream } from './request-body.js';

/** What may be sent as a body. */
export type HttpBody =
  | string
  | Uint8Array
  | URLSearchParams
  | FormData
  | Blob
  | ArrayBuffer
  | ArrayBufferView
  | FormStream
  | Readable
  | AsyncIterable<Uint8Array | string>
  | Iterable<Uint8Array>;

/** What may stand in a query: an array gives its name several times, `null` and `undefined` aren't sent. */
export type HttpQueryValue = string | number | boolean | bigint | null | undefined;

/**
 * One request, beyond its URL and method.
 *
 * ```ts
 * await http.post('/shipments', { query: { express: true }, json: { order: 7 }, timeouts: { totalMs: 1_000 } });
 * ```
 */
export interface HttpRequestInit {
  /** Appended to the URL's own query: an object, `URLSearchParams`, a `Map` or pairs. */
  readonly query?:
    | Readonly<Record<string, HttpQueryValue | readonly HttpQueryValue[]>>
    | Iterable<readonly [string, HttpQueryValue | readonly HttpQueryValue[]]>
    | undefined;
  /** Sent as JSON, with its `content-type`; `undefined` is not sent. */
  readonly json?: unknown;
  /**
   * Sent as it is. A stream can be sent only once: give a function that makes one where the request should
   * survive a retry or a redirect.
   */
  readonly body?: HttpBody | (() => HttpBody) | null | undefined;
  /** Over the client's headers. */
  readonly headers?: HttpHeaders | undefined;
  /** Over the client's time-outs, one by one. */
  readonly timeouts?: HttpTimeouts | undefined;
  /** Over the client's retries, one by one; `false`: none. */
  readonly retry?: HttpRetryOptions | false | undefined;
  /** Ends the request at any moment; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | null | undefined;
  /** Over the client's redirects. */
  readonly redirect?: HttpRedirectOptions | boolean | undefined;
  /** Over the client's decompression. */
  readonly decompress?: boolean | undefined;
  /** Over the client's bound; 0: none. */
  readonly maxResponseBytes?: number | undefined;
  /** The pattern of such URLs, for spans: `/shipments/{id}`, without any id, so that there are few of them. */
  readonly template?: string | undefined;
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
  /** The pattern of its URL, for spans. */
  readonly template: string | undefined;
  /** Whether an `Idempotency-Key` is sent. */
  readonly hasIdempotencyKey: boolean;
  /** Where a redirect may lead it. */
  readonly originPolicy: OriginPolicy;
}

/** A path with a query appended. @throws TypeError when the query has no names */
export function withQuery(path: string, query: unknown): string {
  const text = (query instanceof URLSearchParams ? query : queryParameters(query)).toString();
  if (text === '') return path;
  return `${path}${path.includes('?') ? '&' : '?'}${text}`;
}

function queryParameters(query: unknown): URLSearchParams {
  const parameters = new URLSearchParams();
  if (query === undefined || query === null) return parameters;
  if (typeof query !== 'object') throw new TypeError(`query: a ${typeof query} has no names; an object of values`);
  const isIterable = typeof (query as { [Symbol.iterator]?: unknown })[Symbol.iterator] === 'function';
  const pairs = isIterable ? (query as Iterable<readonly [string, unknown]>) : Object.entries(query);
  for (const pair of pairs as Iterable<unknown>) {
    if (!Array.isArray(pair)) throw new TypeError('query: what is not a pair of a name and a value is not allowed');
    const [name, value] = pair as [string, unknown];
    for (const each of Array.isArray(value) ? (value as readonly HttpQueryValue[]) : [value as HttpQueryValue]) {
      if (each !== undefined && each !== null) parameters.append(name, String(each));
    }
  }
  return parameters;
}

/** A body in the form that is sent, and whether it can be sent again. */
export interface PreparedBody {
  readonly body: Dispatcher.DispatchOptions['body'];
  readonly makeBody: (() => HttpBody) | undefined;
  readonly replayable: boolean;
  /** The `content-type` that goes with it, unless the request has its own. */
  readonly contentType: string | undefined;
  /** Whether that type is part of what is sent, like a form's boundary: the client's own header gives way. */
  readonly typed: boolean;
  /** The length of a stream where it is known. */
  readonly contentLength: number | undefined;
}

const NO_BODY: PreparedBody = {
  body: null,
  makeBody: undefined,
  replayable: true,
  contentType: undefined,
  typed: false,
  contentLength: undefined,
};

/** The body of a request. @throws TypeError when `json` and `body` are both given, or `json` can't be serialised */
export function prepareBody(init: HttpRequestInit): PreparedBody {
  if (init.json !== undefined) {
    if (init.body !== undefined && init.body !== null) throw new TypeError('json and body are given: give one');
    const body = JSON.stringify(init.json) as string | undefined;
    if (body === undefined) throw new TypeError('json: a function or a symbol has no JSON form');
    return { ...NO_BODY, body, contentType: 'application/json' };
  }
  const { body } = init;
  if (body === undefined || body === null) return NO_BODY;
  if (typeof body === 'function') return { ...NO_BODY, makeBody: body };
  if (typeof body === 'string' || body instanceof Uint8Array) return { ...NO_BODY, body };
  if (kindOf(body) === 'URLSearchParams') {
    const contentType = 'application/x-www-form-urlencoded;charset=UTF-8';
    return { ...NO_BODY, body: String(body as URLSearchParams), contentType, typed: true };
  }
  if (isForm(body)) {
    const encoded = encodeMultipart(body);
    const form = encoded.body as unknown as PreparedBody['body'];
    return { ...NO_BODY, body: form, contentType: encoded.contentType, typed: true };
  }
  if (isFormStream(body)) {
    const { type, length } = formStreamHeaders(body);
    const stream = readableOf(body);
    return {
      body: stream,
      makeBody: undefined,
      replayable: false,
      contentType: type,
      typed: true,
      contentLength: length,
    };
  }
  const contentType = isBlob(body) && body.type !== '' ? body.type : undefined;
  const sent = wireBody(body);
  const replayable = isReplayable(sent);
  return { ...NO_BODY, body: sent, replayable, contentType, typed: contentType !== undefined };
}

/**
 * A body as undici takes it: any other iterable becomes a stream, whose progress can be seen.
 *
 * @throws TypeError when it is nothing that can be sent
 */
export function wireBody(body: HttpBody): Dispatcher.DispatchOptions['body'] {
  if (typeof body === 'string' || body instanceof Uint8Array || body instanceof Readable) return body;
  if (body instanceof Blob) return body as unknown as Dispatcher.DispatchOptions['body'];
  if (kindOf(body) === 'URLSearchParams') return String(body as URLSearchParams);
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  if (isForm(body) || isFormStream(body)) {
    throw new TypeError('a form has to be given itself, not a function that makes one');
  }
  if (isBlob(body)) return Readable.from(blobBytes(body), { objectMode: false });
  if (isStream(body)) return readableOf(body as unknown as Readable);
  if (!isIterable(body)) {
    throw new TypeError(`body: ${showType(body)} can't be sent; give text, bytes, a form or a stream, or json`);
  }
  return Readable.from(inContext(body as Iterable<Uint8Array>), { objectMode: false });
}

/** Parts of a body are made in the context of their request, not of the one that writes them. */
function inContext(
  body: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array>,
): AsyncIterable<Uint8Array | string> {
  const context = new AsyncResource('HttpRequestBody');
  return {
    [Symbol.asyncIterator](): AsyncIterator<Uint8Array | string> {
      const parts = Symbol.asyncIterator in body ? body[Symbol.asyncIterator]() : body[Symbol.iterator]();
      return {
        next: async () => context.runInAsyncScope(() => parts.next()),
        return: async () => (await context.runInAsyncScope(() => parts.return?.())) ?? { done: true, value: undefined },
      };
    },
  };
}

function isIterable(body: unknown): boolean {
  return typeof body === 'object' && body !== null && (Symbol.asyncIterator in body || Symbol.iterator in body);
}

async function* blobBytes(blob: Blob): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(await blob.arrayBuffer());
}

function isReplayable(body: Dispatcher.DispatchOptions['body']): boolean {
  return typeof body === 'string' || body instanceof Uint8Array || (body as unknown) instanceof Blob;
}
