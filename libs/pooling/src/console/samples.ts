import { CLOSE_REASONS, type CloseReason, type PoolHistograms } from '../core/statistics.js';
import type { DatabasePoolStatistics } from '../database/database-statistics.js';
import type { HttpClientStatistics } from '../http/pool/statistics.js';
import { percentilesBetween } from './window-percentiles.js';

/** One second of a database pool in numbers: levels at its end, and what happened in it. */
export const DATABASE_FIELDS = [
  'at',
  'inUse',
  'size',
  'max',
  'connecting',
  'waiting',
  'waitP50',
  'waitP95',
  'waitP99',
  'useP50',
  'useP95',
  'useP99',
  'leases',
  'queries',
  'opened',
  'timeouts',
  ...CLOSE_REASONS.map((reason) => `closed:${reason}` as const),
] as const;

/** A number that is kept of a database pool for each second. */
export type DatabaseField = (typeof DATABASE_FIELDS)[number] | `closed:${CloseReason}`;

/** One second of an HTTP client in numbers. */
export const HTTP_FIELDS = ['at', 'inUse', 'idle', 'waiting', 'limit', 'requests', 'retries', 'timeouts'] as const;

/** A number that is kept of an HTTP client for each second. */
export type HttpField = (typeof HTTP_FIELDS)[number];

/** A look at a database pool; two of them make a sample. */
export interface DatabaseLook {
  readonly statistics: DatabasePoolStatistics;
  readonly histograms: PoolHistograms;
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** What happened to a database pool between two looks; `at` in milliseconds since 1970. */
export function databaseSample(at: number, before: DatabaseLook, now: DatabaseLook): Record<DatabaseField, number> {
  const [old, { statistics }] = [before.statistics, now];
  const wait = percentilesBetween(before.histograms.wait, now.histograms.wait);
  const use = percentilesBetween(before.histograms.use, now.histograms.use);
  const closed = Object.fromEntries(
    CLOSE_REASONS.map((reason) => [`closed:${reason}`, statistics.closed[reason] - old.closed[reason]]),
  ) as Record<`closed:${CloseReason}`, number>;
  return {
    at,
    inUse: statistics.inUse,
    size: statistics.size,
    max: statistics.max,
    connecting: statistics.connecting,
    waiting: statistics.waiting,
    waitP50: rounded(wait.p50),
    waitP95: rounded(wait.p95),
    waitP99: rounded(wait.p99),
    useP50: rounded(use.p50),
    useP95: rounded(use.p95),
    useP99: rounded(use.p99),
    leases: statistics.acquired - old.acquired,
    queries: statistics.queries - old.queries,
    opened: statistics.opened - old.opened,
    timeouts: statistics.acquireTimeouts + statistics.queueRejected - old.acquireTimeouts - old.queueRejected,
    ...closed,
  };
}

/** What happened to an HTTP client between two looks. */
export function httpSample(
  at: number,
  before: HttpClientStatistics,
  now: HttpClientStatistics,
): Record<HttpField, number> {
  return {
    at,
    inUse: now.inUse,
    idle: now.idle,
    waiting: now.waiting,
    limit: now.limit,
    requests: now.requests - before.requests,
    retries: now.retries - before.retries,
    timeouts: total(now.timeouts) - total(before.timeouts),
  };
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
