import { HealthIndicatorService } from '@nestjs/terminus';
import { PoolNotConfiguredError } from '../core/errors.js';
import type { PoolStatistics } from '../core/statistics.js';
import {
  HealthSource,
  type HealthDatabase,
  type HealthHttpClient,
  type HealthHttpStatistics,
} from './health-source.js';
import { PingCache } from './ping-cache.js';
import { PoolHealthIndicator } from './pool-health.indicator.js';

const LEVELS = { size: 3, idle: 1, inUse: 2, connecting: 0, waiting: 0, max: 15 };

/** An application with one database and one client, both `default`, and both `replaced` by a test. */
class OneOfEach extends HealthSource {
  override draining = false;
  status: 'up' | 'degraded' = 'up';
  state: PoolStatistics['state'] = 'running';
  http: HealthHttpStatistics = { sockets: 2, idle: 1, inUse: 1, waiting: 0, limit: 10, limitPerHost: 2, origins: [] };
  pings = 0;

  override databases(): readonly HealthDatabase[] {
    return [this.database('default') as HealthDatabase];
  }

  override httpClients(): readonly HealthHttpClient[] {
    return [this.httpClient('default') as HealthHttpClient];
  }

  override database(name: string): HealthDatabase | undefined {
    if (name === 'replaced') return undefined;
    if (name !== 'default') throw new PoolNotConfiguredError(name, 'there is none');
    return {
      name,
      statistics: () => ({ ...LEVELS, state: this.state }) as PoolStatistics,
      ping: () => {
        this.pings++;
        return Promise.resolve({ status: this.status });
      },
    };
  }

  override httpClient(name: string): HealthHttpClient | undefined {
    if (name === 'replaced') return undefined;
    if (name !== 'default') throw new PoolNotConfiguredError(name, 'there is none');
    return { name, statistics: () => this.http };
  }
}

/** Terminus 11: it has no `degraded`. */
class OlderService extends HealthIndicatorService {
  override check<const Key extends string>(key: Key): ReturnType<typeof HealthIndicatorService.prototype.check<Key>> {
    return Object.assign(super.check(key), { degraded: undefined as never });
  }
}

let source: OneOfEach;
let indicator: PoolHealthIndicator;

beforeEach(() => {
  source = new OneOfEach();
  indicator = new PoolHealthIndicator(new HealthIndicatorService(), source, new PingCache());
});

describe('PoolHealthIndicator', () => {
  it('says up, degraded and down, with numbers', async () => {
    expect(await indicator.database('orders')).toEqual({ orders: { status: 'up', ...LEVELS } });
    source.status = 'degraded';
    expect(await indicator.database('orders')).toEqual({ orders: { status: 'degraded', ...LEVELS } });
    source.draining = true;
    expect(await indicator.database('orders')).toEqual({ orders: { status: 'down', ...LEVELS } });
    expect((await indicator.http('carrier')).carrier.status).toBe('down');
  });

  it('says degraded of a suspended pool, whose server answers and whose acquires wait', async () => {
    source.state = 'suspended';
    expect(await indicator.database('orders')).toEqual({ orders: { status: 'degraded', ...LEVELS } });
  });

  it('asks nobody while the application shuts down', async () => {
    source.draining = true;
    await indicator.database('orders');
    expect(source.pings).toBe(0);
  });

  it.each<[string, string, Partial<HealthHttpStatistics>]>([
    ['up while nobody waits', 'up', { inUse: 10 }],
    ['up while requests wait for a socket that is free to be opened', 'up', { waiting: 3 }],
    ['degraded at the limit over all hosts', 'degraded', { inUse: 10, waiting: 1 }],
    ['degraded at the limit of one host', 'degraded', { waiting: 1, origins: [{ inUse: 2, waiting: 1, limit: 2 }] }],
    ['up without limits', 'up', { limit: 0, waiting: 1, inUse: 99, origins: [{ inUse: 99, waiting: 1, limit: 0 }] }],
  ])('says of an HTTP client that it is %s', async (_what, status, levels) => {
    source.http = { ...source.http, ...levels };
    expect((await indicator.http('carrier')).carrier.status).toBe(status);
  });

  it('says so in the details where Terminus has no word for it', async () => {
    const older = new PoolHealthIndicator(new OlderService(), source, new PingCache());
    source.status = 'degraded';
    expect(await older.database('orders')).toEqual({ orders: { status: 'up', state: 'degraded', ...LEVELS } });
  });

  it('finds nothing wrong with what a test has replaced, and refuses what nobody has', async () => {
    expect(await indicator.database('orders', 'replaced')).toEqual({ orders: { status: 'up' } });
    expect(await indicator.http('carrier', 'replaced')).toEqual({ carrier: { status: 'up' } });
    await expect(indicator.database('orders', 'ordres')).rejects.toMatchObject({ code: 'ERR_POOL_NOT_CONFIGURED' });
    await expect(indicator.http('carrier', 'ordres')).rejects.toMatchObject({ code: 'ERR_POOL_NOT_CONFIGURED' });
  });
});
