import { Inject, Injectable } from '@nestjs/common';
import type {
  HealthCheckResult,
  HealthCheckService,
  HealthIndicatorFunction,
  HealthIndicatorService,
} from '@nestjs/terminus';
import { HealthSource } from './health-source.js';
import { PoolHealthIndicator } from './pool-health.indicator.js';
import { terminus } from './terminus.js';

/** The health of an application's pools in Terminus' form. */
@Injectable()
export class PoolHealthService {
  constructor(
    @Inject(terminus.HealthCheckService) private readonly checks: HealthCheckService,
    @Inject(terminus.HealthIndicatorService) private readonly indicators: HealthIndicatorService,
    private readonly pools: PoolHealthIndicator,
    private readonly source: HealthSource,
  ) {}

  /** Whether the process runs. Touches no pool, and stays `ok` while it drains: a restart wouldn't help it. */
  live(): HealthCheckResult {
    return { status: 'ok', info: {}, error: {}, details: {} };
  }

  /**
   * Whether requests can be served: every database and HTTP client, checked at the same time.
   *
   * @throws ServiceUnavailableException with the same body when one of them is `down` or the application drains.
   */
  ready(): Promise<HealthCheckResult> {
    const checks: HealthIndicatorFunction[] = [
      ...this.source.databases().map(
        ({ name }) =>
          () =>
            this.pools.database(healthKey('database', name), name),
      ),
      ...this.source.httpClients().map(
        ({ name }) =>
          () =>
            this.pools.http(healthKey('http', name), name),
      ),
    ];
    if (this.source.draining) checks.push(() => this.indicators.check('shutdown').down());
    return this.checks.check(checks);
  }
}

/** The key of a pool in the body: `database` for the default one, else `database:reports`. */
export function healthKey(kind: 'database' | 'http', name: string): string {
  return name === 'default' ? kind : `${kind}:${name}`;
}
