import type { PoolHistograms } from '../core/statistics.js';
import type { DatabasePoolStatistics } from '../database/database-statistics.js';
import type { HttpClientStatistics, HttpOriginMetrics } from '../http/pool/statistics.js';

/** Connections that were reported as leaked, by the code that holds them. */
export interface LeakedConnections {
  /** The handler on whose behalf it acquired; empty where that isn't known. */
  readonly handler: string;
  /** Where it acquired: `OrdersService.create (orders.service.ts:42)`; empty where that isn't known. */
  readonly position: string;
  readonly connections: number;
}

/** What is published of a database pool. */
export interface DatabaseMetrics {
  readonly statistics: DatabasePoolStatistics;
  readonly histograms: PoolHistograms;
  /** How many idle connections are kept at most, and kept ready. */
  readonly bounds: { readonly size: number; readonly minIdle: number };
  /** The size that the live load asks for, where somebody has worked it out. */
  readonly recommendedSize: number | undefined;
  /** How full the database's server is, everybody's connections counted, where it could be asked. */
  readonly server: { readonly clients: number; readonly capacity: number } | undefined;
  /** Who holds connections that were reported as leaked. */
  readonly leaked: readonly LeakedConnections[];
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
