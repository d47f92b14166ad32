import type { ConnectionOptions } from 'node:tls';
import type { Dispatcher } from 'undici';
import { ownFields } from '../core/own-fields.js';
import {
  arrayOf,
  boolean,
  durationMs,
  either,
  func,
  integer,
  isPlainObject,
  number,
  object,
  oneOf,
  optionProblems,
  refusal,
  refuseProblems,
  rule,
  secret,
  showValue,
  string,
  type Rule,
  type Rules,
} from '../core/validation.js';
import { mergeHeaders, headersRule, type HeaderMap, type HttpHeaders } from './message/headers.js';

/**
 * How long the phases of an exchange may take, in milliseconds; 0: no limit. A deadline is late by at most 25 ms.
 *
 * ```ts
 * new HttpClient('carrier', { timeouts: { totalMs: 3_000, acquireMs: 500, headersMs: 1_000 } });
 * ```
 */
export interface HttpTimeouts {
  /** The whole exchange: queue, dial, retries, redirects and the body. aiohttp's `total`. Default: 30000. */
  readonly totalMs?: number | undefined;
  /** Waiting for a place within the limits. Default: 0. */
  readonly acquireMs?: number | undefined;
  /** Waiting for a place and opening the socket (DNS, TCP, TLS). aiohttp's `connect`. Default: 10000. */
  readonly connectMs?: number | undefined;
  /** From sending the request to the answer's headers. Default: 0. */
  readonly headersMs?: number | undefined;
  /** Between two reads, from the moment that the request was sent. aiohttp's `sock_read`. Default: 20000. */
  readonly readMs?: number | undefined;
}

/**
 * When a request is tried again.
 *
 * ```ts
 * new HttpClient('carrier', { retry: { attempts: 3, statusCodes: [503], budget: 0.2 } });
 * ```
 */
export interface HttpRetryOptions {
  /** Tries after the first, 0–20. Default: 2. */
  readonly attempts?: number | undefined;
  /**
   * Methods that may be tried again. Default: the idempotent ones, GET, HEAD, OPTIONS, PUT, DELETE and TRACE.
   * A request with an `Idempotency-Key` header may be, whatever its method.
   */
  readonly methods?: readonly string[] | undefined;
  /** Statuses that are tried again. Default: 429, 502, 503, 504. */
  readonly statusCodes?: readonly number[] | undefined;
  /**
   * Retries to an origin are at most this share of the requests to it, 0–1, counted over the last 10 to 20 s; ten
   * are always allowed, unless it is 0. Finagle's retry budget. Default: 0.1.
   */
  readonly budget?: number | undefined;
}

/** When a redirect is followed. */
export interface HttpRedirectOptions {
  /** Redirects followed for one request, 1–100. Default: 10. */
  readonly max?: number | undefined;
}

/**
 * How an HTTP client behaves. Times are milliseconds.
 *
 * ```ts
 * PoolingModule.forHttpClient({
 *   name: 'carrier',
 *   baseUrl: 'https://carrier.example/v2',
 *   headers: { authorization: `Bearer ${process.env.CARRIER_TOKEN}` },
 *   limitPerHost: 10,
 *   timeouts: { totalMs: 3_000 },
 * });
 * ```
 */
export interface HttpClientOptions {
  /** `http://` or `https://`; a request's URL without a scheme is appended to it, its path included, as axios does. */
  readonly baseUrl?: string | undefined;
  /**
   * What happens to a request, or a redirect, to another origin than that of `baseUrl`. Default: `false`: it is refused
   * with `ERR_HTTP_ORIGIN_REFUSED`. `true`: it goes, without the client's own headers, credentials and TLS certificate.
   */
  readonly allowOtherOrigins?: boolean | undefined;
  /** Sent with every request that doesn't set them itself. */
  readonly headers?: HttpHeaders | undefined;
  /** Connections in use or being opened, over all hosts; an idle one doesn't count. 0: no limit. Default: 100. */
  readonly limit?: number | undefined;
  /** The same, for one origin. 0: no limit. Default: 20. */
  readonly limitPerHost?: number | undefined;
  /** Sockets alive, idle ones included, ≥ 1; over it the longest idle of another host is closed. Default: 256. */
  readonly maxSockets?: number | undefined;
  /** Requests that may wait; more are refused at once with `ERR_HTTP_QUEUE_FULL`. Default: 10000. */
  readonly maxWaiting?: number | undefined;
  /**
   * Idle sockets are closed after this. A server's `Keep-Alive` hint replaces it, less a second, and is never
   * followed past 25000. 0: sockets aren't kept at all (aiohttp's `force_close`). Default: 15000.
   */
  readonly keepAliveMs?: number | undefined;
  /** A socket is recycled after this age, ±10 %, when its exchange has ended; 0: never. Default: 300000. */
  readonly maxSocketAgeMs?: number | undefined;
  /** How long a DNS answer is kept; 0: none is. A stale answer serves when a lookup fails. Default: 300000. */
  readonly dnsCacheTtlMs?: number | undefined;
  /** Handed to `tls.connect`: `ca`, `cert`, `key`, `servername`, `rejectUnauthorized`, … Never shown. */
  readonly tls?: ConnectionOptions | undefined;
  /** How long the phases of an exchange may take. */
  readonly timeouts?: HttpTimeouts | undefined;
  /** When a request is tried again; `false`: never. */
  readonly retry?: HttpRetryOptions | false | undefined;
  /**
   * A longer `Retry-After` isn't waited for: the answer that asks for it is the answer. Default: 60000.
   */
  readonly maxRetryAfterMs?: number | undefined;
  /**
   * A larger body is refused with `ERR_HTTP_RESPONSE_TOO_LARGE`, counted after decompression; 0: no limit. Default: 256
   * MiB (268435456) for what is kept in memory, none for streams.
   */
  readonly maxResponseBytes?: number | undefined;
  /** A streamed answer that holds a connection and isn't read for this long is reported; 0: off. Default: 30000. */
  readonly leakDetectionMs?: number | undefined;
  /** Whether redirects are followed. Default: `false`: a 3xx is an answer like any other. */
  readonly redirect?: HttpRedirectOptions | boolean | undefined;
  /** Whether compressed answers are asked for and decoded (gzip, deflate, br). Default: `true`. */
  readonly decompress?: boolean | undefined;
  /** Whether HTTP/2 is used where the server offers it over TLS: up to 100 exchanges, or as many as it allows, share one connection. Default: `false`. */
  readonly http2?: boolean | undefined;
  /** undici's interceptors, composed above the limits: what they send again is limited again. */
  readonly interceptors?: readonly Dispatcher.DispatcherComposeInterceptor[] | undefined;
}

/** Every time-out, filled in. */
export type ResolvedHttpTimeouts = { readonly [Name in keyof HttpTimeouts]-?: NonNullable<HttpTimeouts[Name]> };

/** A retry policy, filled in. */
export interface ResolvedHttpRetry {
  readonly attempts: number;
  readonly methods: readonly string[];
  readonly statusCodes: readonly number[];
  readonly budget: number;
}

/** The options with their defaults, copied and frozen. */
export interface ResolvedHttpClientOptions {
  readonly baseUrl: string | undefined;
  readonly allowOtherOrigins: boolean;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly limit: number;
  readonly limitPerHost: number;
  readonly maxSockets: number;
  readonly maxWaiting: number;
  readonly keepAliveMs: number;
  readonly maxSocketAgeMs: number;
  readonly dnsCacheTtlMs: number;
  readonly tls: ConnectionOptions;
  readonly timeouts: ResolvedHttpTimeouts;
  readonly retry: ResolvedHttpRetry | false;
  readonly maxRetryAfterMs: number;
  /** `undefined`: 256 MiB for what is kept in memory, none for streams. */
  readonly maxResponseBytes: number | undefined;
  readonly leakDetectionMs: number;
  /** The most redirects to follow; 0: none. */
  readonly redirects: number;
  readonly decompress: boolean;
  readonly http2: boolean;
  readonly interceptors: readonly Dispatcher.DispatcherComposeInterceptor[];
}

const TIMEOUT_DEFAULTS: ResolvedHttpTimeouts = Object.freeze({
  totalMs: 30_000,
  acquireMs: 0,
  connectMs: 10_000,
  headersMs: 0,
  readMs: 20_000,
});

const RETRY_DEFAULTS: ResolvedHttpRetry = Object.freeze({
  attempts: 2,
  methods: Object.freeze(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']),
  statusCodes: Object.freeze([429, 502, 503, 504]),
  budget: 0.1,
});

const DEFAULT_REDIRECTS = 10;

const timeoutRules: Rules<HttpTimeouts> = {
  totalMs: durationMs({ zero: 'no limit' }),
  acquireMs: durationMs({ zero: 'no limit' }),
  connectMs: durationMs({ zero: 'no limit' }),
  headersMs: durationMs({ zero: 'no limit' }),
  readMs: durationMs({ zero: 'no limit' }),
};

const retryRules: Rules<HttpRetryOptions> = {
  attempts: integer({ max: 20 }),
  methods: arrayOf(string()),
  statusCodes: arrayOf(integer({ min: 400, max: 599 })),
  budget: number({ min: 0, max: 1 }),
};

const HOST_ALONE = /^(?:[a-z]+:\/\/)?[\w.-]{1,60}(?::\d+)?\/?$/i;

const baseUrlRule: Rule = {
  allowed: 'an http:// or https:// URL without query and fragment',
  problems: (path, value) => {
    if (value === undefined || (typeof value === 'string' && isBaseUrl(value))) return [];
    // Before an @ stands a password, in a path or a query a key: a host is all that is shown.
    const isHost = typeof value === 'string' && HOST_ALONE.test(value);
    const shown = isHost || typeof value !== 'string' ? showValue(value) : 'a text that is not shown';
    return [refusal(path, shown, baseUrlRule.allowed)];
  },
};

const rules: Rules<HttpClientOptions> = {
  baseUrl: baseUrlRule,
  allowOtherOrigins: boolean(),
  headers: headersRule,
  limit: integer(),
  limitPerHost: integer(),
  maxSockets: integer({ min: 1 }),
  maxWaiting: integer(),
  keepAliveMs: durationMs({ zero: 'sockets are not kept' }),
  maxSocketAgeMs: durationMs({ zero: 'never' }),
  dnsCacheTtlMs: durationMs({ zero: 'none is kept' }),
  tls: secret(rule("an object with tls.connect's options", isPlainObject)),
  timeouts: object(timeoutRules),
  retry: either(oneOf(false), object(retryRules)),
  maxRetryAfterMs: durationMs({ zero: 'none is waited for' }),
  maxResponseBytes: integer(),
  leakDetectionMs: durationMs({ zero: 'off' }),
  redirect: either(boolean(), object({ max: integer({ min: 1, max: 100 }) })),
  decompress: boolean(),
  http2: boolean(),
  interceptors: arrayOf(func()),
};

/** Everything that is wrong with the options of an HTTP client, one sentence each; empty when they are fine. */
export function httpOptionProblems(options: unknown): string[] {
  return optionProblems(rules, isPlainObject(options) ? ownFields(options) : options);
}

/**
 * The options with their defaults, copied and frozen.
 *
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`, once, with every wrong option.
 */
export function resolveHttpClientOptions(name: string, given: HttpClientOptions = {}): ResolvedHttpClientOptions {
  refuseProblems(name, httpOptionProblems(given));
  const options = ownFields(given);
  const headers: HeaderMap = new Map();
  mergeHeaders(headers, options.headers);
  return Object.freeze({
    baseUrl: options.baseUrl,
    allowOtherOrigins: options.allowOtherOrigins ?? false,
    headers: Object.freeze(Object.fromEntries(headers)),
    limit: options.limit ?? 100,
    limitPerHost: options.limitPerHost ?? 20,
    maxSockets: options.maxSockets ?? 256,
    maxWaiting: options.maxWaiting ?? 10_000,
    keepAliveMs: options.keepAliveMs ?? 15_000,
    maxSocketAgeMs: options.maxSocketAgeMs ?? 300_000,
    dnsCacheTtlMs: options.dnsCacheTtlMs ?? 300_000,
    tls: Object.freeze({ ...options.tls }),
    timeouts: resolveTimeouts(TIMEOUT_DEFAULTS, options.timeouts),
    retry: resolveRetry(RETRY_DEFAULTS, options.retry),
    maxRetryAfterMs: options.maxRetryAfterMs ?? 60_000,
    maxResponseBytes: options.maxResponseBytes,
    leakDetectionMs: options.leakDetectionMs ?? 30_000,
    redirects: resolveRedirects(0, options.redirect),
    decompress: options.decompress ?? true,
    http2: options.http2 ?? false,
    interceptors: Object.freeze([...(options.interceptors ?? [])]),
  });
}

/** Time-outs of one request over those of its client. */
export function resolveTimeouts(defaults: ResolvedHttpTimeouts, given: HttpTimeouts | undefined): ResolvedHttpTimeouts {
  if (given === undefined) return defaults;
  const own = ownFields(given);
  return Object.freeze({
    totalMs: own.totalMs ?? defaults.totalMs,
    acquireMs: own.acquireMs ?? defaults.acquireMs,
    connectMs: own.connectMs ?? defaults.connectMs,
    headersMs: own.headersMs ?? defaults.headersMs,
    readMs: own.readMs ?? defaults.readMs,
  });
}

/** The retry policy of one request over that of its client; a policy given where there was none starts from the defaults. */
export function resolveRetry(
  defaults: ResolvedHttpRetry | false,
  given: HttpRetryOptions | false | undefined,
): ResolvedHttpRetry | false {
  if (given === undefined || given === false) return given ?? defaults;
  const own = ownFields(given);
  const base = defaults === false ? RETRY_DEFAULTS : defaults;
  return Object.freeze({
    attempts: own.attempts ?? base.attempts,
    methods: Object.freeze(own.methods?.map((method) => method.toUpperCase()) ?? base.methods),
    statusCodes: Object.freeze([...(own.statusCodes ?? base.statusCodes)]),
    budget: own.budget ?? base.budget,
  });
}

/** How many redirects one request follows. */
export function resolveRedirects(defaults: number, own: HttpRedirectOptions | boolean | undefined): number {
  if (own === undefined) return defaults;
  if (typeof own === 'boolean') return own ? defaults || DEFAULT_REDIRECTS : 0;
  return ownFields(own).max ?? DEFAULT_REDIRECTS;
}

const initRules = {
  timeouts: rules.timeouts,
  retry: rules.retry,
  redirect: rules.redirect,
  decompress: rules.decompress,
  maxResponseBytes: rules.maxResponseBytes,
};

/**
 * Refuses wrong per-request options before anything is sent.
 *
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`
 */
export function refuseInit(name: string, init: Readonly<Record<keyof typeof initRules, unknown>>): void {
  const { timeouts, retry, redirect, decompress, maxResponseBytes } = init;
  refuseProblems(name, optionProblems(initRules, { timeouts, retry, redirect, decompress, maxResponseBytes }));
}

function isBaseUrl(value: string): boolean {
  if (!/^https?:\/\//i.test(value) || !URL.canParse(value)) return false;
  const url = new URL(value);
  return url.search === '' && url.hash === '';
}
