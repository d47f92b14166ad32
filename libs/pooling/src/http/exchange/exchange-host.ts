import type { Dispatcher } from 'undici';
import type { Clock } from '../../core/clock.js';
import type { Deadlines } from '../../core/deadlines.js';
import type { Histogram } from '../../core/histogram.js';
import type { SpanSink } from '../../core/span-sink.js';
import type { Aborts } from './aborts.js';
import type { HttpPool } from '../pool/http-pool.js';
import type { HttpEvents } from '../pool/events.js';
import type { ResolvedHttpRetry, ResolvedHttpTimeouts } from '../options.js';

/** What an exchange works with: its client's machinery. */
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
  /** Exchanges between two attempts: nothing else knows of them. */
  readonly pausing: Set<{ fail(error: unknown): void }>;
  readonly random: () => number;
  readonly keepAliveMs: number;
  /** A longer `Retry-After` isn't waited for. */
  readonly maxRetryAfterMs: number;
}

/** How an exchange is to be handled. */
export interface ExchangePolicy {
  readonly timeouts: ResolvedHttpTimeouts;
  readonly retry: ResolvedHttpRetry | false;
  readonly redirects: number;
  /** `undefined`: what is usual for the kind of answer. */
  readonly maxResponseBytes: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** What the request goes through instead of the pool: interceptors, below which it comes back as another exchange. */
  readonly composed: Dispatcher | undefined;
}

/** How an exchange above the interceptors finds the one that it caused below them: interceptors copy what they don't know. */
export const ABOVE = Symbol('the exchange above the interceptors');

/**
 * Where an exchange stands. `new` → `waiting` for a place → `connecting` → `sent`, waiting for the headers → `reading`
 * the body → `done`. With interceptors, `above` stands for all up to the headers: the exchange below them has the rest. `discarding` reads the body of an answer that a retry or a redirect replaces; `pausing` waits for
 * the next attempt, which begins at `new`. Any phase may end in `done`.
 */
export type ExchangePhase =
  'new' | 'waiting' | 'connecting' | 'above' | 'sent' | 'reading' | 'discarding' | 'pausing' | 'done';
