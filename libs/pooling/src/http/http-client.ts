import type { Dispatcher } from 'undici';
import { systemClock, type Clock } from '../core/clock.js';
import { Deadlines } from '../core/deadlines.js';
import { packageProblems } from '../core/optional-package.js';
import type { SpanSink } from '../core/span-sink.js';
import { refuseProblems } from '../core/validation.js';
import { Aborts } from './exchange/aborts.js';
import { BufferedExchange } from './exchange/buffered-exchange.js';
import { closePool, type HttpCloseReport } from './pool/close.js';
import { HttpPool } from './pool/http-pool.js';
import { HttpDispatcher, type DispatcherOwner } from './dispatcher.js';
import { Dispatching, type DispatchScope } from './dispatching.js';
import { HttpEvents } from './pool/events.js';
import type { ExchangeHost, ExchangePolicy } from './exchange/exchange-host.js';
import { fetchOver, type Fetch } from './fetch.js';
import type { ResolveAll } from './pool/lookup.js';
import {
  refuseInit,
  resolveHttpClientOptions,
  resolveRedirects,
  resolveRetry,
  resolveTimeouts,
  type HttpClientOptions,
  type ResolvedHttpClientOptions,
} from './options.js';
import { originMetrics, originStatistics, clientStatistics } from './pool/report.js';
import type { HttpRequestInit, WireRequest } from './message/request.js';
import { dropBody } from './message/request-body.js';
import { NO_INIT, RequestBuilder } from './message/request-builder.js';
import { readInit, readMethod, type HttpRequestInitWithMethod } from './message/request-init.js';
import type { HttpResponse, HttpResponsePromise, HttpStreamResponse } from './message/response.js';
import { CountersByOrigin, type HttpClientStatistics, type HttpOriginMetrics } from './pool/statistics.js';
import type { HttpLeakReport, LeakWatching } from './exchange/body-watch.js';
import { StreamedExchange } from './exchange/streamed-exchange.js';
import { undiciPackage } from './undici.js';

/** What an `HttpClient` takes besides its options: for tests, spans and the application's own logger. */
export interface HttpClientDependencies {
  readonly clock?: Clock;
  /** 0 ≤ x < 1; for jitter. */
  readonly random?: () => number;
  /** Resolves names; `dns.lookup` unless given. */
  readonly resolve?: ResolveAll;
  /** Makes spans of requests. */
  readonly spans?: SpanSink | undefined;
  /** Hears of streamed answers that nobody reads. Unless given, Node prints a warning. */
  readonly onLeak?: (report: HttpLeakReport) => void;
}

/** How long `close()` waits for exchanges under way unless told otherwise, in milliseconds. */
const CLOSE_DEADLINE_MS = 10_000;

/**
 * An HTTP client over a pool of its own: limits in aiohttp's meaning, a fair bounded queue, exact deadlines for every
 * phase, retries within a budget, and statistics by origin. It opens nothing before its first request.
 *
 * ```ts
 * const http = new HttpClient('billing', { baseUrl: 'https://billing.example/api' });
 * const invoice = await http.get('/invoices/42').json<Invoice>();
 * await http.close();
 * ```
 */
export class HttpClient {
  /** The name of the client. */
  readonly name: string;
  /**
   * The standard `fetch` within this client's limits, deadlines, base URL and headers, for your own code and for whatever
   * takes a `fetch`; it needs no `this`. Redirects and decoding are the standard's own; retries are left to the caller.
   * Rejects as the standard does; what this client refuses is the error itself or the `cause` of `fetch failed`.
   *
   * ```ts
   * import OpenAI from 'openai';
   *
   * const openai = new OpenAI({ fetch: http.fetch });
   * ```
   */
  readonly fetch: Fetch;
  readonly #options: ResolvedHttpClientOptions;
  readonly #counters: CountersByOrigin;
  readonly #pool: HttpPool;
  readonly #host: ExchangeHost;
  readonly #leaks: LeakWatching;
  readonly #builder: RequestBuilder;
  readonly #policy: ExchangePolicy;
  readonly #dispatching: Dispatching;
  readonly #owner: DispatcherOwner = {
    close: (options) => this.close(options),
    isClosed: () => !this.#pool.serving,
    isDestroyed: () => this.#pool.state === 'closed',
  };
  readonly #dispatcher: HttpDispatcher;
  #closing: Promise<HttpCloseReport> | undefined;

  /** @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`, with every wrong option */
  constructor(name: string, options: HttpClientOptions = {}, dependencies: HttpClientDependencies = {}) {
    this.name = name;
    refuseProblems(name, packageProblems('http', undiciPackage));
    this.#options = resolveHttpClientOptions(name, options);
    const clock = dependencies.clock ?? systemClock;
    const random = dependencies.random ?? Math.random;
    const deadlines = new Deadlines(inBackground(clock));
    const events = new HttpEvents(name);
    this.#counters = new CountersByOrigin(clock);
    const { baseUrl } = this.#options;
    // Its series exist before its first request: otherwise a rate over them would miss the first ones.
    if (baseUrl !== undefined) this.#counters.of(new URL(baseUrl).origin);
    this.#pool = new HttpPool({
      name,
      options: this.#options,
      clock,
      deadlines,
      counters: this.#counters,
      events,
      random,
      resolve: dependencies.resolve,
    });
    this.#host = {
      name,
      clock,
      deadlines,
      pool: this.#pool,
      aborts: new Aborts(),
      acquire: this.#counters.acquire,
      events,
      spans: dependencies.spans,
      pausing: new Set(),
      random,
      keepAliveMs: this.#options.keepAliveMs,
      maxRetryAfterMs: this.#options.maxRetryAfterMs,
    };
    this.#leaks = { afterMs: this.#options.leakDetectionMs, report: dependencies.onLeak ?? warnOfLeak };
    this.#builder = new RequestBuilder(name, this.#options, this.#pool.origins);
    this.#dispatching = new Dispatching(this.#host, this.#options, this.#builder.originPolicy);
    this.#dispatcher = this.#composed({});
    events.sockets = this.#dispatcher.sockets;
    const dispatcherFor = (scope: DispatchScope): Dispatcher => this.#composed(scope);
    this.fetch = fetchOver({
      builder: this.#builder,
      leaks: this.#leaks,
      aborts: this.#host.aborts,
      dispatcherFor,
    });
    this.#policy = {
      timeouts: this.#options.timeouts,
      retry: this.#options.retry,
      redirects: this.#options.redirects,
      maxResponseBytes: this.#options.maxResponseBytes,
      signal: undefined,
      composed: this.#options.interceptors.length === 0 ? undefined : this.#dispatcher,
    };
  }

  /** The options with their defaults, frozen; `headers` and `tls` may hold secrets. */
  get options(): ResolvedHttpClientOptions {
    return this.#options;
  }

  /** An undici `Dispatcher` with this client's limits and deadlines, for anything that takes one. Closing it closes the client. */
  get dispatcher(): Dispatcher {
    return this.#dispatcher;
  }

  /**
   * Sends a request and resolves with its answer, whatever the status. `init.method` is `GET` unless given.
   *
   * Rejects with `ERR_HTTP_TIMEOUT`, `ERR_HTTP_QUEUE_FULL`, `ERR_HTTP_RESPONSE_TOO_LARGE`, `ERR_POOL_CLOSED`, with the
   * signal's reason, or with the real error of the connection (`ECONNREFUSED`, …).
   */
  request(url: string | URL, init: HttpRequestInitWithMethod = NO_INIT): Promise<HttpResponse> {
    return this.#buffered(undefined, url, init);
  }

  /** `GET`; like {@link request}. `get(url).json()` rejects unless the status is 2xx. */
  get(url: string | URL, init: HttpRequestInit = NO_INIT): HttpResponsePromise {
    return this.#buffered('GET', url, init);
  }

  /** `HEAD`; like {@link request}. */
  head(url: string | URL, init: HttpRequestInit = NO_INIT): HttpResponsePromise {
    return this.#buffered('HEAD', url, init);
  }

  /** `POST`; like {@link request}. It is retried only with an `Idempotency-Key`. */
  post(url: string | URL, init: HttpRequestInit = NO_INIT): HttpResponsePromise {
    return this.#buffered('POST', url, init);
  }

  /** `PUT`; like {@link request}. */
  put(url: string | URL, init: HttpRequestInit = NO_INIT): HttpResponsePromise {
    return this.#buffered('PUT', url, init);
  }

  /** `PATCH`; like {@link request}. It is retried only with an `Idempotency-Key`. */
  patch(url: string | URL, init: HttpRequestInit = NO_INIT): HttpResponsePromise {
    return this.#buffered('PATCH', url, init);
  }

  /** `DELETE`; like {@link request}. */
  delete(url: string | URL, init: HttpRequestInit = NO_INIT): HttpResponsePromise {
    return this.#buffered('DELETE', url, init);
  }

  /**
   * Sends a request and resolves at the answer's headers, whatever the status. The connection is held until the body
   * ends or is destroyed; read it, or destroy it. `totalMs` covers the body too.
   */
  async stream(url: string | URL, given: HttpRequestInitWithMethod = NO_INIT): Promise<HttpStreamResponse> {
    let exchange: StreamedExchange;
    try {
      const init = readInit(given);
      const request = this.#builder.build(readMethod(init.method), url, init);
      const origin = this.#pool.origins.of(request.origin);
      const decompress = init.decompress ?? this.#options.decompress;
      exchange = new StreamedExchange(this.#host, origin, request, this.#policyOf(init), decompress, this.#leaks);
    } catch (error) {
      dropBody((given as HttpRequestInit | undefined)?.body);
      throw error;
    }
    return exchange.open();
  }

  /** An immutable snapshot of the client: levels now, and counters since it was made. */
  statistics(): HttpClientStatistics {
    const origins = originStatistics(this.#pool, this.#counters, this.#options);
    return clientStatistics(this.name, this.#publishedState(), origins, this.#counters, this.#options);
  }

  /** What Prometheus needs, by origin: a hundred of them, the rest as `other`. */
  metrics(): HttpOriginMetrics[] {
    return originMetrics(this.#pool, this.#counters, this.#options);
  }

  /** Closes idle sockets, ahead of `close()`. Requests are still served. */
  beginDrain(): void {
    this.#pool.drain();
  }

  /**
   * Refuses those who wait and newcomers with `ERR_POOL_CLOSED`, lets exchanges under way end within `deadlineMs`
   * (10000 unless given), destroys what is left, and resolves when every socket is gone. Never rejects; a second call
   * gets the first one's promise.
   */
  close({ deadlineMs = CLOSE_DEADLINE_MS }: { deadlineMs?: number } = {}): Promise<HttpCloseReport> {
    this.#closing ??= closePool(this.#host, deadlineMs);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // Requests

  /** Without a method, that of `given`. */
  #buffered(method: string | undefined, url: string | URL, given: HttpRequestInitWithMethod): HttpResponsePromise {
    let init: HttpRequestInitWithMethod;
    let request: WireRequest;
    let policy: ExchangePolicy;
    try {
      init = readInit(given);
      request = this.#builder.build(method ?? readMethod(init.method), url, init);
      policy = this.#policyOf(init);
    } catch (error) {
      dropBody((given as HttpRequestInit | null)?.body);
      return BufferedExchange.rejected(error);
    }
    const origin = this.#pool.origins.of(request.origin);
    const exchange = new BufferedExchange(
      this.#host,
      origin,
      request,
      policy,
      init.decompress ?? this.#options.decompress,
    );
    exchange.start();
    return exchange;
  }

  #policyOf(init: HttpRequestInit): ExchangePolicy {
    if (init === NO_INIT) return this.#policy;
    const { timeouts, retry, signal, redirect, maxResponseBytes, decompress } = init;
    if (
      (signal ?? undefined) === undefined &&
      timeouts === undefined &&
      retry === undefined &&
      redirect === undefined
    ) {
      if (maxResponseBytes === undefined && decompress === undefined) return this.#policy;
    }
    refuseInit(this.name, { timeouts, retry, redirect, decompress, maxResponseBytes });
    return {
      timeouts: resolveTimeouts(this.#options.timeouts, timeouts),
      retry: resolveRetry(this.#options.retry, retry),
      redirects: resolveRedirects(this.#options.redirects, redirect),
      maxResponseBytes: maxResponseBytes ?? this.#options.maxResponseBytes,
      signal: signal ?? undefined,
      composed: this.#policy.composed,
    };
  }

  // Dispatching

  #composed(scope: DispatchScope): HttpDispatcher {
    return new HttpDispatcher(this.#dispatching, this.#owner, scope, this.#options.interceptors);
  }

  #publishedState(): HttpClientStatistics['state'] {
    const { state } = this.#pool;
    return state === 'closing' ? 'draining' : state;
  }
}

/** A clock whose timers don't keep the process alive: the sockets under way do that. */
function inBackground(clock: Clock): Clock {
  return {
    now: clock.now.bind(clock),
    wallNow: () => clock.wallNow(),
    setTimeout: (callback, delayMs) => clock.setBackgroundTimeout(callback, delayMs),
    setBackgroundTimeout: (callback, delayMs) => clock.setBackgroundTimeout(callback, delayMs),
    clearTimeout: (timer) => clock.clearTimeout(timer),
  };
}

function warnOfLeak({ client, method, url, unreadMs, stack }: HttpLeakReport): void {
  const what = unreadMs === undefined ? 'was dropped unread' : `was not read for ${Math.round(unreadMs)} ms`;
  process.emitWarning(`${client}: the streamed answer to ${method} ${url} ${what}; it holds a connection\n${stack}`, {
    type: 'PoolingLeakWarning',
    code: 'POOL_HTTP_LEAK',
  });
}
