import type { Lease } from '#pooling/core/lease.js';
import { Pool } from '#pooling/core/pool.js';
import type { PoolOptions } from '#pooling/core/pool-options.js';
import { ManualClock, settle } from '#pooling/testing/manual-clock.js';
import { FakeConnector, type FakeConnection } from './fake-connector.js';
import { poolOptions } from './pool-options.js';

interface Laboratory {
  readonly clock: ManualClock;
  readonly connector: FakeConnector;
  readonly pool: Pool<FakeConnection>;
}

/** A pool whose connections are open, and may be shared. */
async function sharing(open: number, overrides: Partial<PoolOptions> = {}): Promise<Laboratory> {
  const clock = new ManualClock();
  const connector = new FakeConnector();
  connector.healthy = true;
  const options = poolOptions({ size: open, maxOverflow: 0, maxConnecting: open, sharedLimit: 3, ...overrides });
  const pool = new Pool(options, connector, { clock, random: () => 0.5 });
  const leases = await Promise.all(Array.from({ length: open }, () => pool.acquire()));
  for (const lease of leases) lease.release();
  return { clock, connector, pool };
}

function share(pool: Pool<FakeConnection>): Lease<FakeConnection> {
  const lease = pool.tryAcquire('shared');
  if (lease === undefined) throw new Error('nothing to share');
  return lease;
}

/** How many use each connection. */
function crowds(leases: readonly Lease<FakeConnection>[]): number[] {
  const counts = new Map<FakeConnection, number>();
  for (const { connection } of leases) counts.set(connection, (counts.get(connection) ?? 0) + 1);
  return [...counts.values()];
}

describe('sharing', () => {
  it('takes idle connections first, then the one with the fewest, up to the depth', async () => {
    const { pool } = await sharing(2);
    const leases = Array.from({ length: 2 }, () => share(pool));
    expect(crowds(leases)).toEqual([1, 1]);
    leases.push(share(pool), share(pool));
    expect(crowds(leases)).toEqual([2, 2]);
    leases.push(share(pool), share(pool));
    expect(crowds(leases)).toEqual([3, 3]);
    expect(pool.tryAcquire('shared')).toBe(undefined);
    expect(pool.statistics()).toMatchObject({ inUse: 2, acquired: 8, released: 2 });
    leases.shift()?.release();
    leases.push(share(pool));
    expect(crowds(leases)).toEqual([3, 3]);
    for (const lease of leases) lease.release();
    expect(pool.statistics()).toMatchObject({ inUse: 0, idle: 2, acquired: 9, released: 9 });
  });

  it('never joins who has a connection of their own', async () => {
    const { pool } = await sharing(1);
    const alone = await pool.acquire();
    expect(pool.tryAcquire('shared')).toBe(undefined);
    alone.release();
    const shared = share(pool);
    expect(pool.tryAcquire()).toBe(undefined);
    expect(shared.connection.open).toBe(true);
  });

  it('serves in order of arrival: nobody joins past a waiter who wants a connection alone', async () => {
    const { pool } = await sharing(1);
    const first = share(pool);
    const second = share(pool);
    const served: string[] = [];
    const alone = pool.acquire().then((lease) => (served.push('alone'), lease));
    const third = pool.acquire({ use: 'shared' }).then((lease) => (served.push('third'), lease));
    const fourth = pool.acquire({ use: 'shared' }).then((lease) => (served.push('fourth'), lease));
    expect(pool.tryAcquire('shared')).toBe(undefined);
    first.release();
    await settle();
    expect(served).toEqual([]);
    second.release();
    (await alone).release();
    await Promise.all([third, fourth]);
    expect(served).toEqual(['alone', 'third', 'fourth']);
    expect(crowds([await third, await fourth])).toEqual([2]);
  });

  it('adds up uses to how long the connection was in use', async () => {
    const { pool, clock } = await sharing(1);
    const leases = Array.from({ length: 3 }, () => share(pool));
    for (const lease of leases) {
      await clock.advance(100);
      lease.release();
    }
    expect(pool.statistics().useMs).toMatchObject({ count: 4, sumMs: 300 });
  });

  it('closes a connection that one of them found broken when the last one has left, and lets nobody join till then', async () => {
    const { pool, connector } = await sharing(1);
    const first = share(pool);
    const second = share(pool);
    first.release('query-timeout');
    expect(pool.tryAcquire('shared')).toBe(undefined);
    expect(second.connection.open).toBe(true);
    expect(() => first.connection).toThrow(expect.objectContaining({ code: 'ERR_POOL_LEASE_RELEASED' }));
    expect(() => first.release()).toThrow(expect.objectContaining({ code: 'ERR_POOL_LEASE_RELEASED' }));
    second.release();
    await settle();
    expect(pool.statistics().closed['query-timeout']).toBe(1);
    expect(connector.sockets.size).toBe(0);
  });

  it('replaces shared connections when all is to be expired, as soon as they are left', async () => {
    const { pool } = await sharing(1);
    const first = share(pool);
    pool.expireAll();
    expect(pool.tryAcquire('shared')).toBe(undefined);
    const next = pool.acquire({ use: 'shared' });
    first.release();
    expect((await next).connection).toBeDefined();
    expect(pool.statistics()).toMatchObject({ opened: 2, size: 1 });
    expect(pool.statistics().closed.expired).toBe(1);
  });

  it('opens up to the size in the background while connections are shared', async () => {
    const { pool } = await sharing(1, { size: 3 });
    const leases = [share(pool), share(pool)];
    await settle();
    expect(pool.statistics()).toMatchObject({ opened: 2, idle: 1 });
    leases.push(share(pool), share(pool));
    await settle();
    expect(pool.statistics()).toMatchObject({ opened: 3 });
    expect(crowds(leases)).toEqual([2, 2]);
  });
});
