import type { Dispatcher } from 'undici';
import type { DispatchScope } from './dispatching.js';
import { modern } from './dispatcher.js';
import { watchFetch } from './exchange/fetched-exchange.js';
import {
  formStreamHeaders,
  isBlob,
  isForm,
  isFormStream,
  isStreamed,
  kindOf,
  ownBody,
} from './message/foreign-bodies.js';
import type { RequestBuilder } from './message/request-builder.js';
import type { LeakWatching } from './exchange/streamed-exchange.js';

/** The type of the standard's `fetch`. */
export type Fetch = typeof globalThis.fetch;

/** Taken before anybody puts another in its place, such as a client's own. */
const builtInFetch: Fetch = globalThis.fetch;

type FetchInit = Omit<RequestInit, 'dispatcher'> & { dispatcher?: unknown; duplex?: 'half' };

/** URLs that lead nowhere but to themselves. */
const SELF_CONTAINED = /^[\0-\x20]*(?:data|blob):/i;

/** What `fetch` needs of its client. */
export interface FetchHost {
  readonly builder: RequestBuilder;
  readonly leaks: LeakWatching;
  readonly dispatcherFor: (scope: DispatchScope) => Dispatcher;
}

/**
 * The built-in `fetch` over a client's dispatcher, with its base URL and headers. Requests, headers and bodies may be of
 * other classes than Node's own, such as those of npm's undici.
 */
export function fetchOver({ builder, leaks, dispatcherFor }: FetchHost): Fetch {
  return async function fetch(input: unknown, init: unknown = {}): Promise<Response> {
    const watching = watchFetch(leaks, fetch);
    if (typeof init !== 'object' || init === null) throw new TypeError('init: not an object');
    const given: FetchInit = { ...init };
    // Before the form is read: it counts what it has left.
    const form = isFormStream(given.body) ? formStreamHeaders(given.body) : undefined;
    const request = isRequest(input) ? input : undefined;
    const url = request?.url ?? (input instanceof URL ? input : text(input));
    const body = await ownBody(given.body);
    if (body !== undefined) given.body = body as NonNullable<RequestInit['body']>;
    if (isStreamed(body)) given.duplex ??= 'half';
    if (SELF_CONTAINED.test(String(url)))
      return builtInFetch(String(url), { ...fieldsOf(request), ...given } as RequestInit);

    const { origin, path, authorization } = builder.target(url);
    const atHome = builder.originPolicy.admits(origin);
    const headers = new Headers(given.headers ?? request?.headers);
    const typed = isForm(body) || isBlob(body) || kindOf(body) === 'URLSearchParams';
    if (form !== undefined) addFormHeaders(headers, form);
    // The standard writes it itself where it knows it, and some versions of undici refuse to have it twice.
    else if ((body !== undefined && body !== null && !isStreamed(body)) || request !== undefined)
      headers.delete('content-length');
    if (authorization !== undefined && !headers.has('authorization')) headers.set('authorization', authorization);
    for (const [name, value] of atHome ? builder.headers : []) {
      if (headers.has(name) || (typed && name === 'content-type')) continue;
      for (const each of [value].flat()) headers.append(name, each);
    }
    const signal = given.signal ?? request?.signal ?? undefined;
    const dispatcher = asFetchKnows(given.dispatcher) ?? dispatcherFor({ signal, origin, watching });
    const target = request instanceof Request ? request : `${origin}${path}`;
    const response = await builtInFetch(target, { ...fieldsOf(request), ...given, headers, dispatcher } as RequestInit);
    if (signal !== undefined) giveReason(response, signal);
    return response;
  } as Fetch;
}

/**
 * Makes the methods that read an aborted body reject with the signal's reason, as the standard says: up to Node 22 they
 * say `AbortError` whatever it was, while the body itself has the reason.
 */
function giveReason(response: Response, signal: AbortSignal): void {
  const reader = (read: () => Promise<unknown>) => ({
    configurable: true,
    writable: true,
    value: (): Promise<unknown> =>
      read.call(response).catch((error: unknown) => {
        throw signal.aborted && (error as Error).name === 'AbortError' ? signal.reason : error;
      }),
  });
  for (const name of ['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text'] as const) {
    const read = response[name as 'text'] as (() => Promise<unknown>) | undefined;
    if (read !== undefined) Object.defineProperty(response, name, reader(read));
  }
}

/** A dispatcher of npm's undici for the built-in `fetch`, whose handlers may be older than that undici. */
function asFetchKnows(dispatcher: unknown): unknown {
  if (typeof dispatcher !== 'object' || dispatcher === null) return dispatcher;
  const { isMockActive } = dispatcher as { isMockActive?: boolean };
  return {
    isMockActive,
    dispatch: (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) =>
      (dispatcher as Dispatcher).dispatch(options, modern(handler)),
  };
}

/** Whether something is a `Request` of whichever class. */
function isRequest(input: unknown): input is Request {
  if (typeof input !== 'object' || input === null) return false;
  const { url, method, headers } = input as { url?: unknown; method?: unknown; headers?: unknown };
  return typeof url === 'string' && typeof method === 'string' && typeof headers === 'object';
}

/** What a `Request` of another class says, for one of Node's own. */
function fieldsOf(request: Request | undefined): FetchInit {
  if (request === undefined || request instanceof Request) return {};
  const { method, headers, body, signal, redirect, credentials, integrity, keepalive, referrerPolicy } = request;
  const fields: FetchInit = {
    method,
    headers: [...headers],
    signal,
    redirect,
    credentials,
    integrity,
    keepalive,
  };
  if (referrerPolicy !== '') fields.referrerPolicy = referrerPolicy;
  return body === null ? fields : { ...fields, body, duplex: 'half' };
}

function addFormHeaders(headers: Headers, { type, length }: ReturnType<typeof formStreamHeaders>): void {
  if (type !== undefined && !headers.has('content-type')) headers.set('content-type', type);
  if (length !== undefined) headers.set('content-length', String(length));
}

function text(input: unknown): string {
  if (typeof input === 'string') return input;
  if (kindOf(input) === 'URL' || input instanceof String) return String(input);
  throw new TypeError('fetch: neither a URL nor a Request');
}
