import type { HttpPool } from './http-pool.js';
import type { ResolvedHttpClientOptions } from '../options.js';
import {
  sumCounts,
  sumLevels,
  type CountersByOrigin,
  type HttpClientStatistics,
  type HttpLevels,
  type HttpOriginMetrics,
  type HttpOriginStatistics,
  type OriginCounters,
} from './statistics.js';

const NO_LEVELS: HttpLevels = { sockets: 0, idle: 0, inUse: 0, connecting: 0, waiting: 0 };

/** The statistics of every origin that has counters. */
export function originStatistics(
  pool: HttpPool,
  counters: CountersByOrigin,
  options: ResolvedHttpClientOptions,
): HttpOriginStatistics[] {
  const levels = levelsByCounters(pool);
  return Array.from(counters, (each) => statisticsOf(each, levels.get(each) ?? NO_LEVELS, options.limitPerHost));
}

/** The same with the distributions. */
export function originMetrics(
  pool: HttpPool,
  counters: CountersByOrigin,
  options: ResolvedHttpClientOptions,
): HttpOriginMetrics[] {
  const levels = levelsByCounters(pool);
  return Array.from(counters, (each) => ({
    origin: each.origin,
    statistics: statisticsOf(each, levels.get(each) ?? NO_LEVELS, options.limitPerHost),
    acquire: each.acquire.snapshot(),
    requests: [...each.durations()],
  }));
}

/** The statistics of the whole client. */
export function clientStatistics(
  name: string,
  state: HttpClientStatistics['state'],
  origins: readonly HttpOriginStatistics[],
  counters: CountersByOrigin,
  options: ResolvedHttpClientOptions,
): HttpClientStatistics {
  const { limit, limitPerHost, maxSockets } = options;
  return {
    name,
    state,
    limit,
    limitPerHost,
    maxSockets,
    ...sumLevels(origins),
    ...sumCounts(origins),
    acquireMs: counters.acquire.percentiles(),
    origins,
  };
}

/** Several origins may share their counters: those past the first hundred. */
function levelsByCounters(pool: HttpPool): Map<OriginCounters, HttpLevels> {
  const byCounters = new Map<OriginCounters, HttpLevels>();
  for (const { counters, sockets, idle, inUse, dialling, waiting } of pool.origins) {
    const own = { sockets, idle: idle.length, inUse, connecting: dialling, waiting: waiting.length };
    const others = byCounters.get(counters);
    byCounters.set(counters, others === undefined ? own : sumLevels([own, others]));
  }
  return byCounters;
}

function statisticsOf(counters: OriginCounters, levels: HttpLevels, limit: number): HttpOriginStatistics {
  return {
    origin: counters.origin,
    limit,
    ...levels,
    ...sumCounts([counters]),
    acquireMs: counters.acquire.percentiles(),
  };
}
