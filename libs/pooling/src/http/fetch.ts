import type { Dispatcher } from 'undici';
import type { DispatchScope } from './dispatching.js';
import { modern } from './dispatcher.js';
import { FollowingSignal, type Aborts } from './exchange/aborts.js';
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
import { BodyWatch, type LeakWatching } from './exchange/body-watch.js';

/** The type of the standard's `fetch`. */
export type Fetch = typeof globalThis.fetch;

/** Kept before the application replaces it, such as by the `fetch` of a client. */
const builtInFetch: Fetch = globalThis.fetch;

type FetchInit = Omit<RequestInit, 'dispatcher'> & { dispatcher?: unknown; duplex?: 'half' };

/** URLs that hold their content, or name it within the process. */
const SELF_CONTAINED = /^[\0-\x20]*(?:data|blob):/i;

/** What `fetch` needs of its client. */
export interface FetchHost {
  readonly builder: RequestBuilder;
  readonly leaks: LeakWatching;
  readonly aborts: Aborts;
  readonly dispatcherFor: (scope: DispatchScope) => Dispatcher;
}

/**
 * The built-in `fetch` over a client's dispatcher, with its base URL and headers. Requests, headers and bodies may be of
 * other classes than Node's own, such as those of npm's undici.
 */
export function fetchOver({ builder, leaks, aborts, dispatcherFor }: FetchHost): Fetch {
  return async function fetch(input: unknown, init: unknown = {}): Promise<Response> {
    const watch = BodyWatch.begin(leaks, fetch);
    if (typeof init !== 'object' || init === null) throw new TypeError('init: not an object');
    const given = said(init);
    // Before the form is read: it reports the length that is left.
    const form = isFormStream(given.body) ? formStreamHeaders(given.body) : undefined;
    const request = isRequest(input) ? input : undefined;
    const url = request?.url ?? (input instanceof URL ? input : text(input));
    const body = await ownBody(given.body);
    if (body !== undefined) given.body = body as NonNullable<RequestInit['body']>;
    if (isStreamed(body)) given.duplex ??= 'half';
    const signal = given.signal ?? request?.signal ?? undefined;
    if (SELF_CONTAINED.test(String(url)))
      return followed(aborts, String(url), { ...fieldsOf(request), ...given }, signal);

    const { origin, path, authorization } = builder.target(url);
    const atHome = builder.originPolicy.admits(origin);
    const headers = new Headers(given.headers ?? request?.headers);
    const typed = isForm(body) || isBlob(body) || kindOf(body) === 'URLSearchParams';
    if (form !== undefined) addFormHeaders(headers, form);
    // The built-in `fetch` writes it where it knows the length, and some versions of undici refuse it twice.
    else if ((body !== undefined && body !== null && !isStreamed(body)) || request !== undefined)
      headers.delete('content-length');
    if (authorization !== undefined && !headers.has('authorization')) headers.set('authorization', authorization);
    for (const [name, value] of atHome ? builder.headers : []) {
      if (headers.has(name) || (typed && name === 'content-type')) continue;
      for (const each of [value].flat()) headers.append(name, each);
    }
    const dispatcher = asFetchKnows(given.dispatcher) ?? dispatcherFor({ signal, origin, watch });
    const target = request instanceof Request ? request : `${origin}${path}`;
    return followed(aborts, target, { ...fieldsOf(request), ...given, headers, dispatcher }, signal);
  } as Fetch;
}

/**
 * The built-in `fetch`, which listens to its signal until the request is collected: what it gets is a signal of our
 * own, so that nothing gathers on the caller's.
 */
async function followed(
  aborts: Aborts,
  target: Request | string,
  init: FetchInit,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const following = signal instanceof AbortSignal && !signal.aborted ? new FollowingSignal(aborts, signal) : undefined;
  let response: Response;
  try {
    response = await builtInFetch(target, (following ? { ...init, signal: following.signal } : init) as RequestInit);
  } catch (error) {
    following?.stop();
    throw error;
  }
  if (following === undefined) return response;
  if (response.body === null) following.stop();
  else following.whileAlive(response);
  watchReading(response, following);
  return response;
}

/**
 * Makes the methods that read a body reject with the signal's reason once it is aborted, as the standard says: up to
 * Node 22 they say `AbortError` whatever it was, while the body itself has the reason. Afterwards the signal is no
 * longer followed.
 */
function watchReading(response: Response, following: FollowingSignal): void {
  const { signal } = following;
  const reader = (read: () => Promise<unknown>) => ({
    configurable: true,
    writable: true,
    value: async (): Promise<unknown> => {
      try {
        return await read.call(response);
      } catch (error) {
        throw signal.aborted && (error as Error).name === 'AbortError' ? signal.reason : error;
      } finally {
        following.stop();
      }
    },
  });
  for (const name of ['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text'] as const) {
    const read = response[name as 'text'] as (() => Promise<unknown>) | undefined;
    if (read !== undefined) Object.defineProperty(response, name, reader(read));
  }
}

/** The members that are given: an undefined one isn't, as in every dictionary of the standard. */
function said(init: object): FetchInit {
  return Object.fromEntries(Object.entries(init).filter(([, value]) => value !== undefined));
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

/** The fields of a `Request` of another class, to make one of Node's own. */
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
