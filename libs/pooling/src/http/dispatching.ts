import type { Dispatcher } from 'undici';
import { DispatchedExchange } from './exchange/dispatched-exchange.js';
import type { Exchange } from './exchange/exchange.js';
import type { BodyWatch } from './exchange/body-watch.js';
import { FetchedExchange } from './exchange/fetched-exchange.js';
import { ABOVE, type ExchangeHost } from './exchange/exchange-host.js';
import { withoutHeaders } from './message/headers.js';
import type { ResolvedHttpClientOptions } from './options.js';
import type { OriginPolicy } from './origin-policy.js';
import { withQuery, type WireRequest } from './message/request.js';
import { parseTarget } from './message/target.js';

/** For what a request is dispatched. */
export interface DispatchScope {
  readonly signal?: AbortSignal | undefined;
  /** The origin of the request, when its headers include those of the client. */
  readonly origin?: string | undefined;
  /** For `fetch()`: how its body is watched. */
  readonly watch?: BodyWatch | undefined;
}

/** Sends requests that come in undici's form within a client's limits and deadlines. */
export class Dispatching {
  readonly #host: ExchangeHost;
  readonly #options: ResolvedHttpClientOptions;
  readonly #originPolicy: OriginPolicy;

  constructor(host: ExchangeHost, options: ResolvedHttpClientOptions, originPolicy: OriginPolicy) {
    this.#host = host;
    this.#options = options;
    this.#originPolicy = originPolicy;
  }

  /**
   * @throws TypeError when there is no such origin
   * @throws HttpOriginRefusedError when the client may not reach it
   */
  dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
    { signal, origin: asked, watch }: DispatchScope,
  ): void {
    const above = (options as { [ABOVE]?: Exchange })[ABOVE];
    const { origins } = this.#host.pool;
    const key = this.#originOf(options.origin);
    const { servername } = options as { servername?: string | null };
    this.#originPolicy.admitsDispatched(key, servername);
    const from = above?.request.origin ?? asked;
    const leaves = from !== undefined && key !== from && servername !== new URL(from).hostname;
    const { body } = options;
    const request: WireRequest = {
      ...options,
      query: undefined,
      origin: key,
      path:
        options.query === undefined || options.query === null ? options.path : withQuery(options.path, options.query),
      headers: (leaves ? withoutHeaders(options.headers, this.#originPolicy.headerNames) : options.headers) as string[],
      reset: options.reset ?? this.#options.keepAliveMs === 0,
      makeBody: undefined,
      template: above?.request.template,
      replayable: body === null || body === undefined || typeof body === 'string' || body instanceof Uint8Array,
      hasIdempotencyKey: false,
      originPolicy: this.#originPolicy,
    };
    const exchange = new (watch === undefined ? DispatchedExchange : FetchedExchange)(
      this.#host,
      origins.named(key, servername),
      request,
      {
        timeouts: above === undefined ? this.#options.timeouts : { ...above.timeouts, totalMs: 0 },
        retry: false,
        redirects: 0,
        maxResponseBytes: 0,
        signal,
        composed: undefined,
      },
      handler,
    );
    if (exchange instanceof FetchedExchange) exchange.watch = watch;
    above?.adopt(exchange);
    exchange.start();
  }

  /** The key of an origin: without user and password, because it is shown. */
  #originOf(origin: string | URL | undefined): string {
    const text = origin === undefined ? this.#originPolicy.home : String(origin);
    if (text === undefined) throw new TypeError('origin: missing; this client has no baseUrl');
    return this.#host.pool.origins.known(text)?.key ?? parseTarget(text).origin;
  }
}
