import type { PoolHistograms } from '../core/statistics.js';
import type { DatabasePoolStatistics } from '../database/database-pool.js';
import type { HttpClientStatistics, HttpOriginMetrics } from '../http/statistics.js';

/** What is published of a database pool. */
export interface DatabaseMetrics {
  readonly statistics: DatabasePoolStatistics;
  readonly histograms: PoolHistograms;
  /** The size that the live load asks for, where somebody has worked it out. */
  readonly recommendedSize?: number;
}

/** What is published of an HTTP client. */
export interface HttpMetrics {
  readonly statistics: HttpClientStatistics;
  readonly origins: readonly HttpOriginMetrics[];
}

/** Everything that is published of an application, at one moment. */
export interface MetricsSnapshot {
  readonly databases: readonly DatabaseMetrics[];
  readonly httpClients: readonly HttpMetrics[];
}

/** Where the metrics room gets its numbers; the module room provides it. */
export abstract class MetricsSource {
  /** Pools that are closed, or that a test has replaced, are left out. */
  abstract snapshot(): MetricsSnapshot;
}
