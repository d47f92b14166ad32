import type { Dispatcher } from 'undici';
import type { Clock } from '../../core/clock.js';
import type { Deadlines } from '../../core/deadlines.js';
import type { Histogram } from '../../core/histogram.js';
import type { SpanSink } from '../../core/span-sink.js';
import type { Aborts } from './aborts.js';
import type { HttpPool } from '../pool/http-pool.js';
import type { HttpEvents } from '../pool/events.js';
import type { ResolvedHttpRetry, ResolvedHttpTimeouts } from '../options.js';

/** What an exchange uses of its client. */
export interface ExchangeHost {
  readonly name: string;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly pool: HttpPool;
  readonly aborts: Aborts;
  readonly acquire: Histogram;
  readonly events: HttpEvents;
  /** Makes spans of tries. */
  readonly spans: SpanSink | undefined;
  /** Exchanges that pause between two attempts; they are in no other list. */
  readonly pausing: Set<{ fail(error: unknown): void }>;
  readonly random: () => number;
  readonly keepAliveMs: number;
  /** A longer `Retry-After` isn't waited for. */
  readonly maxRetryAfterMs: number;
}

/** The policy of an exchange. */
export interface ExchangePolicy {
  readonly timeouts: ResolvedHttpTimeouts;
  readonly retry: ResolvedHttpRetry | false;
  readonly redirects: number;
  /** `undefined`: the default for the kind of answer. */
  readonly maxResponseBytes: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** Interceptors, if there are any. The request goes through them and comes back below them as another exchange. */
  readonly composed: Dispatcher | undefined;
}

/** The key by which an exchange above the interceptors finds its exchange below them. Interceptors copy unknown fields. */
export const ABOVE = Symbol('the exchange above the interceptors');

/**
 * Where an exchange stands. `new` → `waiting` for a place → `connecting` → `sent`, waiting for the headers → `reading`
 * the body → `done`. With interceptors, `above` stands for all up to the headers: the exchange below them has the rest. `discarding` reads the body of an answer that a retry or a redirect replaces; `pausing` waits for
 * the next attempt, which begins at `new`. Any phase may end in `done`.
 */
export type ExchangePhase =
  'new' | 'waiting' | 'connecting' | 'above' | 'sent' | 'reading' | 'discarding' | 'pausing' | 'done';
