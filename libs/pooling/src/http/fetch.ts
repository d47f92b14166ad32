import type { Dispatcher, RequestInfo, RequestInit, Response } from 'undici';
import type { DispatchScope } from './dispatching.js';
import type { RequestBuilder } from './request-builder.js';
import { undici } from './undici.js';

/** The standard's `fetch` over a client's dispatcher, with its base URL and headers. */
export async function fetchWithin(
  builder: RequestBuilder,
  dispatcherFor: (scope: DispatchScope) => Dispatcher,
  input: RequestInfo,
  init: RequestInit,
): Promise<Response> {
  if (typeof init !== 'object' || init === null) throw new TypeError('init: not an object');
  const request = typeof input === 'object' && 'headers' in input ? input : undefined;
  const { origin, path, authorization } = builder.target(request === undefined ? (input as string | URL) : request.url);
  const atHome = builder.originPolicy.admits(origin);
  const headers = new undici.Headers(
    (init.headers ?? request?.headers) as ConstructorParameters<typeof undici.Headers>[0],
  );
  if (authorization !== undefined && !headers.has('authorization')) headers.set('authorization', authorization);
  for (const [name, value] of atHome ? builder.headers : []) {
    if (!headers.has(name)) for (const each of [value].flat()) headers.append(name, each);
  }
  const scope = { signal: init.signal ?? request?.signal ?? undefined, origin };
  return undici.fetch(request ?? `${origin}${path}`, {
    ...init,
    headers: [...headers],
    dispatcher: dispatcherFor(scope),
  });
}
