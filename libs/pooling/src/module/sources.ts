import { Injectable } from '@nestjs/common';
import type { DatabasePool } from '../database/database-pool.js';
import { HealthSource, type HealthDatabase, type HealthHttpClient } from '../health/health-source.js';
import { MetricsSource, type LeakedConnections, type MetricsSnapshot } from '../metrics/metrics-source.js';
import { PoolAdvice } from './pool-advice.js';
import { PoolStore } from './pool-store.js';

/** Shows the health room the pools that the application uses. */
@Injectable()
export class StoreHealthSource extends HealthSource {
  constructor(private readonly store: PoolStore) {
    super();
  }

  override get draining(): boolean {
    return this.store.draining;
  }

  override databases(): readonly HealthDatabase[] {
    return this.store.databases.filter(({ inUse }) => inUse).map(({ pool }) => pool);
  }

  override httpClients(): readonly HealthHttpClient[] {
    return this.store.httpClients;
  }

  override database(name: string): HealthDatabase | undefined {
    if (this.store.isReplaced('database', name)) return undefined;
    const { pool, inUse } = this.store.database(name);
    return inUse ? pool : undefined;
  }

  override httpClient(name: string): HealthHttpClient | undefined {
    return this.store.isReplaced('HTTP client', name) ? undefined : this.store.httpClient(name);
  }
}

/** Gives the metrics room the numbers of the pools that the application uses. */
@Injectable()
export class StoreMetricsSource extends MetricsSource {
  constructor(
    private readonly store: PoolStore,
    private readonly advice: PoolAdvice,
  ) {
    super();
  }

  override snapshot(): MetricsSnapshot {
    const databases = this.store.databases
      .filter(({ inUse }) => inUse)
      .map(({ pool }) => ({
        statistics: pool.statistics(),
        histograms: pool.histograms(),
        bounds: { size: pool.bounds.size, minIdle: pool.configuration.minIdle },
        leaked: leakedConnections(pool),
        recommendedSize: this.advice.advisor.recommendedSize(pool.name),
        server: this.advice.advisor.serverLoad(pool),
      }))
      .filter(({ statistics }) => statistics.state !== 'closed');
    const httpClients = this.store.httpClients
      .map((client) => ({
        statistics: client.statistics(),
        origins: client.metrics(),
      }))
      .filter(({ statistics }) => statistics.state !== 'closed');
    return { databases, httpClients };
  }
}

function leakedConnections(pool: DatabasePool): readonly LeakedConnections[] {
  // Holders need their stacks formatted: only where there is something to find.
  if (pool.statistics().leaks === 0) return [];
  const byAcquirer = new Map<string, LeakedConnections>();
  for (const { leaked, label: handler = '', acquiredAt: position = '' } of pool.holders()) {
    if (!leaked) continue;
    const acquirer = `${handler} ${position}`;
    const connections = (byAcquirer.get(acquirer)?.connections ?? 0) + 1;
    byAcquirer.set(acquirer, { handler, position, connections });
  }
  return [...byAcquirer.values()];
}
