import type { Dispatcher } from 'undici';
import { ACCEPT_ENCODING } from './decompress.js';
import { flattenHeaders, hasHeader, mergeHeaders, type HeaderMap } from './headers.js';
import type { ResolvedHttpClientOptions } from '../options.js';
import { OriginPolicy } from '../origin-policy.js';
import { prepareBody, withQuery, type HttpRequestInit, type PreparedBody, type WireRequest } from './request.js';
import { BaseUrl, isPlainPath, parseTarget, plainTarget, type Target } from './target.js';

/** A plain request: its headers and policy are those of the client. */
export const NO_INIT: HttpRequestInit = Object.freeze({
  // All fields are its own: inherited ones don't count, and access is cheap.
  query: undefined,
  json: undefined,
  body: undefined,
  headers: undefined,
  timeouts: undefined,
  retry: undefined,
  signal: undefined,
  redirect: undefined,
  decompress: undefined,
  maxResponseBytes: undefined,
  template: undefined,
} as HttpRequestInit);

/** The origins that are known already, by their exact text. */
export interface KnownOrigins {
  known(key: string): { readonly key: string } | undefined;
}

const SLASH = 47;
const NO_HEADERS: ReadonlyMap<string, string | readonly string[]> = new Map();

/** Makes requests as they are sent from what a caller gives and what the client adds. */
export class RequestBuilder {
  readonly #options: ResolvedHttpClientOptions;
  readonly #origins: KnownOrigins;
  readonly #base: BaseUrl | undefined;
  /** The client's own headers by lower-case name. */
  readonly headers: HeaderMap = new Map();
  /** Where requests may go, and with what. */
  readonly originPolicy: OriginPolicy;
  /** The headers of a request that adds none. */
  readonly #plainHeaders: string[];
  /** The origin of the last absolute URL: often that of the next, and comparing is cheaper than looking it up. */
  #lastOrigin = '';

  constructor(name: string, options: ResolvedHttpClientOptions, origins: KnownOrigins) {
    this.#options = options;
    this.#origins = origins;
    this.#base = options.baseUrl === undefined ? undefined : new BaseUrl(options.baseUrl);
    const home = this.#base?.target;
    if (home?.authorization !== undefined) this.headers.set('authorization', home.authorization);
    mergeHeaders(this.headers, options.headers);
    const names = new Set(this.headers.keys());
    this.originPolicy = new OriginPolicy(name, home, options.allowOtherOrigins, names);
    this.#plainHeaders = this.#flatHeaders(this.headers, NO_INIT, prepareBody(NO_INIT), undefined, options.decompress);
  }

  /**
   * @throws TypeError when the URL or the body can't be sent
   * @throws HttpOriginRefusedError when the URL leads out of the base URL
   */
  build(method: string, url: string | URL, init: HttpRequestInit): WireRequest {
    const { origin, path, authorization } = this.target(url);
    const atHome = this.originPolicy.admits(origin);
    const plain = init === NO_INIT;
    const prepared = prepareBody(init);
    const decompress = init.decompress ?? this.#options.decompress;
    const headers =
      plain && atHome && authorization === undefined
        ? this.#plainHeaders
        : this.#flatHeaders(atHome ? this.headers : NO_HEADERS, init, prepared, authorization, decompress);
    return {
      origin,
      path: init.query === undefined ? path : withQuery(path, init.query),
      method: method as Dispatcher.HttpMethod,
      headers,
      body: prepared.body,
      // undici closes the socket after HEAD, and after GET and DELETE with a body, unless told not to.
      reset: this.#options.keepAliveMs === 0,
      makeBody: prepared.makeBody,
      template: init.template,
      replayable: prepared.replayable,
      hasIdempotencyKey: !plain && hasHeader(headers, 'idempotency-key'),
      originPolicy: this.originPolicy,
    };
  }

  /**
   * Resolves a URL, allowed or not; without a scheme it is appended to the base URL.
   *
   * @throws TypeError when it can't be parsed
   * @throws HttpOriginRefusedError when its `..` lead out of the base URL's path
   */
  target(url: string | URL): Target {
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
    if (this.#base === undefined) return parseTarget(url);
    const target = this.#base.resolve(url);
    if (target === undefined) throw this.originPolicy.outsidePath();
    return target;
  }

  #flatHeaders(
    own: ReadonlyMap<string, string | readonly string[]>,
    init: HttpRequestInit,
    { contentType, typed, contentLength }: PreparedBody,
    authorization: string | undefined,
    decompress: boolean,
  ): string[] {
    const headers: HeaderMap = new Map(own);
    if (authorization !== undefined) headers.set('authorization', authorization);
    if (typed) headers.delete('content-type');
    mergeHeaders(headers, init.headers);
    if (contentLength !== undefined) headers.set('content-length', String(contentLength));
    if (contentType !== undefined && !headers.has('content-type')) headers.set('content-type', contentType);
    if (decompress && !headers.has('accept-encoding')) headers.set('accept-encoding', ACCEPT_ENCODING);
    return flattenHeaders(headers);
  }
}
