import { Inject, Injectable } from '@nestjs/common';
import type { HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { HealthSource, type HealthDatabase, type HealthHttpStatistics } from './health-source.js';
import { PingCache } from './ping-cache.js';
import { terminus } from './terminus.js';

/** Numbers that go with a status. */
type Details = Readonly<Record<string, number>>;

/**
 * Terminus indicators for pools and HTTP clients, for an application's own health controller.
 *
 * @example
 * ```ts
 * @Controller('status')
 * class StatusController {
 *   constructor(
 *     private readonly health: HealthCheckService,
 *     private readonly pools: PoolHealthIndicator,
 *   ) {}
 *
 *   @Get()
 *   @HealthCheck()
 *   check() {
 *     return this.health.check([() => this.pools.database('orders'), () => this.pools.http('carrier', 'carrier')]);
 *   }
 * }
 * ```
 */
@Injectable()
export class PoolHealthIndicator {
  /** @internal Made by Nest. */
  constructor(
    @Inject(terminus.HealthIndicatorService) private readonly indicators: HealthIndicatorService,
    private readonly source: HealthSource,
    private readonly pings: PingCache,
  ) {}

  /**
   * `up` when the database answered a ping within one second (shared by concurrent checks, and served for a second),
   * `degraded` when its pool is saturated but alive, suspended, its server takes no writes, or a replica is down, `down` when it doesn't answer or the application is shutting
   * down. The details are numbers only. Never queues behind the application's own queries.
   *
   * @throws PoolNotConfiguredError `ERR_POOL_NOT_CONFIGURED` when there is no database of this name.
   */
  async database<const Key extends string>(key: Key, name = 'default'): Promise<HealthIndicatorResult<Key>> {
    const database = this.source.database(name);
    if (database === undefined) return this.indicators.check(key).up();
    if (this.source.draining) return this.#down(key, databaseDetails(database.statistics()));
    const outcome = await this.pings.ping(database);
    const statistics = database.statistics();
    const details = databaseDetails(statistics);
    const whole = statistics.state !== 'suspended' && !lacksReplicas(statistics);
    if (outcome === 'up' && whole) return this.indicators.check(key).up(details);
    return outcome !== 'down' ? this.#degraded(key, details) : this.#down(key, details);
  }

  /**
   * `up`, or `degraded` while requests wait because every connection that the limits allow is in use; `down` when the
   * application is shutting down. Sends nothing.
   *
   * @throws PoolNotConfiguredError `ERR_POOL_NOT_CONFIGURED` when there is no HTTP client of this name.
   */
  async http<const Key extends string>(key: Key, name = 'default'): Promise<HealthIndicatorResult<Key>> {
    const client = this.source.httpClient(name);
    if (client === undefined) return this.indicators.check(key).up();
    const statistics = client.statistics();
    const details = httpDetails(statistics);
    if (this.source.draining) return this.#down(key, details);
    return isSaturated(statistics) ? this.#degraded(key, details) : this.indicators.check(key).up(details);
  }

  #down<Key extends string>(key: Key, details: Details): HealthIndicatorResult<Key> {
    return this.indicators.check(key).down({ ...details });
  }

  /** Terminus 11 doesn't know `degraded`: there, it is `up` with a detail that says so. */
  #degraded<Key extends string>(key: Key, details: Details): HealthIndicatorResult<Key> {
    const session = this.indicators.check(key);
    if (typeof session.degraded === 'function') return session.degraded({ ...details });
    return (session as typeof session).up({ ...details, state: 'degraded' });
  }
}

type HealthStatistics = ReturnType<HealthDatabase['statistics']>;

function databaseDetails(statistics: HealthStatistics): Details {
  const { size, idle, inUse, connecting, waiting, max, replicas } = statistics;
  const levels = { size, idle, inUse, connecting, waiting, max };
  if (replicas === undefined) return levels;
  const { states } = replicas;
  return { ...levels, replicas: states.length, replicasUp: states.filter(({ state }) => state === 'up').length };
}

/** Whether reads that are meant for a replica may go to the primary instead. */
function lacksReplicas({ replicas }: HealthStatistics): boolean {
  return replicas?.states.some(({ state }) => state === 'down') === true;
}

function httpDetails(statistics: HealthHttpStatistics): Details {
  const { sockets, idle, inUse, waiting, limit, limitPerHost } = statistics;
  return { sockets, idle, inUse, waiting, limit, limitPerHost };
}

function isSaturated(statistics: HealthHttpStatistics): boolean {
  return [statistics, ...statistics.origins].some(
    ({ inUse, waiting, limit }) => waiting > 0 && limit > 0 && inUse >= limit,
  );
}
