import type { Dispatcher } from 'undici';
import { ACCEPT_ENCODING } from './decompress.js';
import type { ResolvedHttpClientOptions } from './options.js';
import type { Origins } from './origins.js';
import {
  flattenHeaders,
  isPlainPath,
  mergeHeaders,
  parseTarget,
  plainTarget,
  prepareBody,
  withQuery,
  type HttpRequestInit,
  type Target,
  type WireRequest,
} from './request.js';

/** A plain request: its headers and policy are those of the client. */
export const NO_INIT: HttpRequestInit = Object.freeze({});

const SLASH = 47;

/** Makes requests as they are sent from what a caller gives and what the client adds. */
export class RequestBuilder {
  readonly #options: ResolvedHttpClientOptions;
  readonly #origins: Origins;
  readonly #base: Target | undefined;
  /** The client's own headers by lower-case name. */
  readonly headers = new Map<string, string | readonly string[]>();
  /** Those of a request that adds none. */
  readonly #plainHeaders: string[];
  /** The origin of the last absolute URL: often that of the next, and comparing is cheaper than looking it up. */
  #lastOrigin = '';

  constructor(options: ResolvedHttpClientOptions, origins: Origins) {
    this.#options = options;
    this.#origins = origins;
    this.#base = options.baseUrl === undefined ? undefined : parseTarget(options.baseUrl);
    if (this.#base?.authorization !== undefined) this.headers.set('authorization', this.#base.authorization);
    mergeHeaders(this.headers, options.headers);
    this.#plainHeaders = this.#flatHeaders(NO_INIT, undefined, undefined, options.decompress);
  }

  /** @throws TypeError when the URL or the body can't be sent */
  build(method: string, url: string | URL, init: HttpRequestInit): WireRequest {
    const { origin, path, authorization } = this.#target(url);
    const plain = init === NO_INIT;
    const { body, makeBody, replayable, contentType } = prepareBody(init);
    const decompress = init.decompress ?? this.#options.decompress;
    const headers =
      plain && authorization === undefined
        ? this.#plainHeaders
        : this.#flatHeaders(init, contentType, authorization, decompress);
    return {
      origin,
      path: init.query === undefined ? path : withQuery(path, init.query),
      method: method as Dispatcher.HttpMethod,
      headers,
      body,
      // undici closes the socket after HEAD, and after GET and DELETE with a body, unless told not to.
      reset: this.#options.keepAliveMs === 0,
      makeBody,
      replayable,
      hasIdempotencyKey: !plain && headers.includes('idempotency-key'),
    };
  }

  /** A URL with what the base URL adds. */
  absolute(url: string): string {
    const { origin, path } = this.#target(url);
    return `${origin}${path}`;
  }

  #flatHeaders(
    init: HttpRequestInit,
    contentType: string | undefined,
    authorization: string | undefined,
    decompress: boolean,
  ): string[] {
    const headers = new Map(this.headers);
    if (authorization !== undefined) headers.set('authorization', authorization);
    mergeHeaders(headers, init.headers);
    if (contentType !== undefined && !headers.has('content-type')) headers.set('content-type', contentType);
    if (decompress && !headers.has('accept-encoding')) headers.set('accept-encoding', ACCEPT_ENCODING);
    return flattenHeaders(headers);
  }

  #target(url: string | URL): Target {
    if (typeof url !== 'string') return parseTarget(url);
    const last = this.#lastOrigin;
    if (last !== '' && url.charCodeAt(last.length) === SLASH && url.startsWith(last)) {
      const path = url.slice(last.length);
      if (isPlainPath(path)) return { origin: last, path };
    }
    const plain = plainTarget(url);
    const known = plain === undefined ? undefined : this.#origins.known(plain.origin);
    if (plain !== undefined && known !== undefined) {
      this.#lastOrigin = known.key;
      return { origin: known.key, path: plain.path };
    }
    return this.#relative(url) ?? parseTarget(url);
  }

  #relative(url: string): Target | undefined {
    const base = this.#base;
    if (base === undefined || /^[a-z][a-z\d+.-]*:/i.test(url)) return undefined;
    const slashed = url.startsWith('/') || url.startsWith('?') || url === '' ? url : `/${url}`;
    const path = `${base.path === '/' && slashed.startsWith('/') ? '' : base.path.replace(/\/$/, '')}${slashed}`;
    if (isPlainPath(path)) return { origin: base.origin, path };
    return parseTarget(`${base.origin}${path}`);
  }
}
