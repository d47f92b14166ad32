import type { SpanRef } from '../../core/span-sink.js';
import type { Clock } from '../../core/clock.js';
import type { HttpTimeoutPhase } from '../../core/errors.js';
import { Histogram, type HistogramSnapshot, type Percentiles } from '../../core/histogram.js';
import { RetryBudget } from './retry-budget.js';

/**
 * Why a socket was closed: `idle` longer than `keepAliveMs`; of full `age`; `evicted` to stay within `maxSockets`;
 * `stale` because one that idled as long was found dead; `not-kept` because one side asked for it; by the `peer` or
 * the network; `aborted` in the middle of an exchange (signal, time-out, too large an answer); at `shutdown`.
 */
export type HttpCloseReason = 'idle' | 'age' | 'evicted' | 'stale' | 'not-kept' | 'peer' | 'aborted' | 'shutdown';

/** Each of them: one that is left out doesn't compile. */
const EVERY_HTTP_CLOSE_REASON: Readonly<Record<HttpCloseReason, true>> = {
  idle: true,
  age: true,
  evicted: true,
  stale: true,
  'not-kept': true,
  peer: true,
  aborted: true,
  shutdown: true,
};
export const HTTP_CLOSE_REASONS = Object.keys(EVERY_HTTP_CLOSE_REASON) as readonly HttpCloseReason[];

/** What is counted for an origin, and summed up over all of them. */
export interface HttpCounts {
  /** Requests made, each once, however many attempts it took. */
  readonly requests: number;
  /** Further attempts by the retry policy. */
  readonly retries: number;
  /** Requests sent again, unseen by the caller, because a kept socket had died before a byte was answered. */
  readonly replays: number;
  readonly timeouts: Readonly<Record<HttpTimeoutPhase, number>>;
  /** Requests refused because the queue was full. */
  readonly queueRejected: number;
  /** Streamed answers that nobody read in time. */
  readonly leaks: number;
  readonly connectErrors: number;
  /** Sockets opened. */
  readonly opened: number;
  readonly closed: Readonly<Record<HttpCloseReason, number>>;
}

/** What an origin has at a moment, and the same summed up over all of them. */
export interface HttpLevels {
  /** Sockets alive or being opened, idle ones included. */
  readonly sockets: number;
  readonly idle: number;
  /** Sockets in use or being opened: what the limits count. */
  readonly inUse: number;
  /** Sockets being opened. */
  readonly connecting: number;
  /** Requests that wait for their turn; one whose socket is being opened doesn't. */
  readonly waiting: number;
}

/** An immutable snapshot of one origin. */
export interface HttpOriginStatistics extends HttpLevels, HttpCounts {
  /** `https://host:port`, or `other` for all origins past the first hundred. */
  readonly origin: string;
  /** `limitPerHost`; 0: no limit. */
  readonly limit: number;
  /** From the request until it had a connection, over its attempts. */
  readonly acquireMs: Percentiles;
}

/** An immutable snapshot of an HTTP client: levels now, and counters since it was made. */
export interface HttpClientStatistics extends HttpLevels, HttpCounts {
  readonly name: string;
  readonly state: 'running' | 'draining' | 'closed';
  /** 0: no limit. */
  readonly limit: number;
  /** 0: no limit. */
  readonly limitPerHost: number;
  readonly maxSockets: number;
  readonly acquireMs: Percentiles;
  readonly origins: readonly HttpOriginStatistics[];
}

/** The durations of one method and status of an origin. */
export interface HttpRequestDurations {
  /** One of the known methods, or `_OTHER` (OpenTelemetry's name). */
  readonly method: string;
  /** The status code, `error`, `timeout` or `aborted`. */
  readonly status: string;
  readonly duration: HistogramSnapshot;
}

/** What Prometheus needs of one origin. */
export interface HttpOriginMetrics {
  readonly origin: string;
  readonly statistics: HttpOriginStatistics;
  /** From the request until it had a connection. */
  readonly acquire: HistogramSnapshot;
  /** Whole exchanges, by method and status. */
  readonly requests: readonly HttpRequestDurations[];
}

/** How an exchange ended, as a metric's label: a status code, or why there is none. */
export type HttpOutcome = number | 'error' | 'timeout' | 'aborted';

const KNOWN_METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'CONNECT',
]);
const OTHER_METHOD = '_OTHER';

/** A method as a metric's label; unknown ones share one label. */
export function publishedMethod(method: string): string {
  return KNOWN_METHODS.has(method) ? method : OTHER_METHOD;
}

/** Origins that are told apart; the rest are folded into `other`. */
const MAX_ORIGINS = 100;
const OTHER_ORIGIN = 'other';
/** The most pairs of method and status whose durations are kept for an origin: a server may invent statuses. */
const MAX_OUTCOMES = 60;

/** What is counted for one origin. The pool and the exchanges write it. */
export class OriginCounters {
  requests = 0;
  retries = 0;
  replays = 0;
  queueRejected = 0;
  leaks = 0;
  connectErrors = 0;
  opened = 0;
  readonly timeouts: Record<HttpTimeoutPhase, number> = { total: 0, acquire: 0, connect: 0, read: 0 };
  readonly closed = noneClosed();
  readonly acquire = new Histogram();
  readonly #durations = new Map<string, Map<HttpOutcome, Histogram>>();
  #outcomes = 0;

  /** Kept here because this outlives the connections: a dead host has none. */
  readonly retryBudget: RetryBudget;

  constructor(
    readonly origin: string,
    clock: Clock,
  ) {
    this.retryBudget = new RetryBudget(clock);
  }

  /** Counts one finished exchange, in milliseconds; `span`: its caller's, where that is recorded. */
  finished(method: string, outcome: HttpOutcome, durationMs: number, span?: SpanRef): void {
    let outcomes = this.#durations.get(method);
    if (outcomes === undefined) {
      const published = publishedMethod(method);
      outcomes = this.#durations.get(published) ?? new Map<HttpOutcome, Histogram>();
      this.#durations.set(published, outcomes);
    }
    let durations = outcomes.get(outcome);
    if (durations === undefined) {
      const folded =
        this.#outcomes >= MAX_OUTCOMES && typeof outcome === 'number' ? Math.floor(outcome / 100) * 100 : outcome;
      durations = outcomes.get(folded);
      if (durations === undefined) {
        durations = new Histogram();
        outcomes.set(folded, durations);
        this.#outcomes++;
      }
    }
    durations.record(durationMs, span);
  }

  /** The distributions of whole exchanges. */
  *durations(): IterableIterator<HttpRequestDurations> {
    for (const [method, outcomes] of this.#durations) {
      for (const [outcome, histogram] of outcomes) {
        yield { method, status: String(outcome), duration: histogram.snapshot() };
      }
    }
  }
}

/** The counters of all origins: one each for the first hundred, one for the others together. */
export class CountersByOrigin {
  readonly #counters = new Map<string, OriginCounters>();
  /** Over all origins: percentiles can't be summed up. */
  readonly acquire = new Histogram();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The counters to write for an origin. */
  of(origin: string): OriginCounters {
    const known = this.#counters.get(origin);
    if (known !== undefined) return known;
    const name = this.#counters.size < MAX_ORIGINS ? origin : OTHER_ORIGIN;
    let counters = this.#counters.get(name);
    if (counters === undefined) {
      counters = new OriginCounters(name, this.#clock);
      this.#counters.set(name, counters);
    }
    return counters;
  }

  [Symbol.iterator](): IterableIterator<OriginCounters> {
    return this.#counters.values();
  }
}

/** The counts of several origins, summed up. */
export function sumCounts(all: Iterable<HttpCounts>): HttpCounts {
  const sum = {
    requests: 0,
    retries: 0,
    replays: 0,
    timeouts: { total: 0, acquire: 0, connect: 0, read: 0 },
    queueRejected: 0,
    leaks: 0,
    connectErrors: 0,
    opened: 0,
    closed: noneClosed(),
  };
  for (const counts of all) {
    sum.requests += counts.requests;
    sum.retries += counts.retries;
    sum.replays += counts.replays;
    sum.queueRejected += counts.queueRejected;
    sum.leaks += counts.leaks;
    sum.connectErrors += counts.connectErrors;
    sum.opened += counts.opened;
    for (const phase of Object.keys(sum.timeouts) as HttpTimeoutPhase[]) sum.timeouts[phase] += counts.timeouts[phase];
    for (const reason of HTTP_CLOSE_REASONS) sum.closed[reason] += counts.closed[reason];
  }
  return sum;
}

/** The levels of several origins, summed up. */
export function sumLevels(all: Iterable<HttpLevels>): HttpLevels {
  const sum = { sockets: 0, idle: 0, inUse: 0, connecting: 0, waiting: 0 };
  for (const levels of all) {
    sum.sockets += levels.sockets;
    sum.idle += levels.idle;
    sum.inUse += levels.inUse;
    sum.connecting += levels.connecting;
    sum.waiting += levels.waiting;
  }
  return sum;
}

function noneClosed(): Record<HttpCloseReason, number> {
  return Object.fromEntries(HTTP_CLOSE_REASONS.map((reason) => [reason, 0])) as Record<HttpCloseReason, number>;
}
