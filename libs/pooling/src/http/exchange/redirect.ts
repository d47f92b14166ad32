import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { headerLines } from '../message/answer-headers.js';
import type { WireRequest } from '../message/request.js';
import { parseTarget } from '../message/target.js';

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** What must not reach another origin (the fetch standard, 4.4; RFC 9110, 15.4). */
const CREDENTIALS: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization', 'host']);
const BODY_HEADERS: ReadonlySet<string> = new Set([
  'content-type',
  'content-length',
  'content-encoding',
  'content-language',
  'content-location',
]);

/**
 * The request that follows a redirect, or `undefined` when it can't or needn't be followed.
 *
 * @throws HttpOriginRefusedError when it leads to an origin that the client may not reach
 */
export function redirected(
  request: WireRequest,
  statusCode: number,
  headers: IncomingHttpHeaders,
): WireRequest | undefined {
  if (!REDIRECTS.has(statusCode)) return undefined;
  const location = locationOf(headers);
  if (location === undefined) return undefined;
  const base = `${request.origin}${request.path}`;
  if (!URL.canParse(location, base)) return undefined;
  const url = new URL(location, base);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  const { origin, path } = parseTarget(url);
  const becomesGet =
    (statusCode === 303 && request.method !== 'HEAD') || (statusCode < 303 && request.method === 'POST');
  if (!becomesGet && !request.replayable) return undefined;
  const { originPolicy } = request;
  originPolicy.admits(origin);
  const leaves = origin !== request.origin;
  const dropped = (name: string): boolean =>
    (becomesGet && BODY_HEADERS.has(name)) || (leaves && (CREDENTIALS.has(name) || originPolicy.headerNames.has(name)));
  const kept: string[] = [];
  for (let at = 0; at < request.headers.length; at += 2) {
    const name = request.headers[at] as string;
    if (!dropped(name)) kept.push(name, request.headers[at + 1] as string);
  }
  const next = { ...request, origin, path, headers: kept, template: undefined };
  if (!becomesGet) return next;
  return { ...next, method: 'GET' as Dispatcher.HttpMethod, body: null, makeBody: undefined, replayable: true };
}

/**
 * Where an answer leads. Two lines that say the same are one; two that don't lead nowhere, as in browsers. Servers send
 * UTF-8 as it is, which Node reads byte by byte.
 */
function locationOf(headers: IncomingHttpHeaders): string | undefined {
  const [location, ...others] = new Set(headerLines(headers, 'location'));
  if (location === undefined || others.length > 0) return undefined;
  const utf8 = Buffer.from(location, 'latin1').toString('utf8');
  return utf8.includes('\ufffd') ? location : utf8;
}
