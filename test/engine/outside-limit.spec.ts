import { Pool } from '#pooling/core/pool.js';
import type { PoolOptions } from '#pooling/core/pool-options.js';
import { ManualClock, settle } from '#pooling/testing/manual-clock.js';
import { FakeConnector, type FakeConnection } from './fake-connector.js';
import { poolOptions } from './pool-options.js';

function healthy(options: Partial<PoolOptions> = {}): {
  pool: Pool<FakeConnection>;
  connector: FakeConnector;
  clock: ManualClock;
} {
  const clock = new ManualClock();
  const connector = new FakeConnector();
  connector.healthy = true;
  const pool = new Pool(poolOptions({ size: 4, maxOverflow: 2, ...options }), connector, { clock, random: () => 0.5 });
  return { pool, connector, clock };
}

function levels({ outside: { used, wanted, most } }: Pool<FakeConnection>): object {
  return { used, wanted, most };
}

describe('a limit from outside', () => {
  it('lets no more connections be opened than it says, nor more than the options', async () => {
    const { pool } = healthy();
    pool.outside.set(2);
    const leases = [await pool.acquire(), await pool.acquire()];
    const third = pool.acquire();
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 2, waiting: 1, max: 2 });
    pool.outside.set(100);
    expect(pool.max).toBe(6);
    (await third).release();
    for (const lease of leases) lease.release();
  });

  it('closes idle connections first, longest idle first, and then those that come back though others wait', async () => {
    const { pool } = healthy();
    const leases = await Promise.all(Array.from({ length: 4 }, () => pool.acquire()));
    const [first, second, third, fourth] = leases.map((lease) => lease.connection.id);
    leases[0]!.release();
    leases[1]!.release();
    pool.outside.set(1);
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 2, idle: 0, inUse: 2 });
    const waiter = pool.acquire();
    leases[2]!.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 1, waiting: 1, closed: { overflow: 3 } });
    leases[3]!.release();
    expect((await waiter).connection.id).toBe(fourth);
    expect(new Set([first, second, third, fourth]).size).toBe(4);
  });

  it('closes a shared connection that is too many when the last of those that use it is done', async () => {
    const { pool } = healthy({ size: 2, maxOverflow: 0, sharedLimit: 4 });
    const held = [await pool.acquire(), await pool.acquire()];
    for (const lease of held) lease.release();
    const shared = await Promise.all(Array.from({ length: 4 }, () => pool.acquire({ use: 'shared' })));
    pool.outside.set(1);
    for (const lease of shared) lease.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 1, idle: 1 });
  });

  it('says what is used, wanted and allowed', async () => {
    const { pool } = healthy({ minIdle: 1 });
    pool.outside.set(2);
    expect(levels(pool)).toEqual({ used: 0, wanted: 1, most: 6 });
    const leases = [await pool.acquire(), await pool.acquire()];
    const waiters = Array.from({ length: 9 }, () => pool.acquire());
    await settle();
    expect(levels(pool)).toEqual({ used: 2, wanted: 6, most: 6 });
    pool.outside.set(Infinity);
    for (const lease of leases) lease.release();
    for (const waiter of waiters) (await waiter).release();
  });
});

describe('a visit', () => {
  it('takes an idle connection, which stays as idle as it was, and is no lease', async () => {
    const { pool, clock } = healthy({ idleTimeoutMs: 1_000 });
    pool.start();
    (await pool.acquire()).release();
    for (let visits = 0; visits < 6; visits++) {
      await clock.advance(200);
      pool.outside.visit(() => Promise.resolve());
      await settle();
    }
    await clock.advance(200);
    expect(pool.statistics()).toMatchObject({ size: 0, acquired: 1, released: 1, closed: { idle: 1 } });
  });

  it('waits for the next connection that comes back, and has it before those that wait', async () => {
    const { pool } = healthy({ size: 1, maxOverflow: 0 });
    const lease = await pool.acquire();
    const order: string[] = [];
    const waiter = pool.acquire().then((next) => {
      order.push('waiter');
      next.release();
    });
    pool.outside.visit(async () => {
      order.push('visit');
    });
    await settle();
    expect(order).toEqual([]);
    lease.release();
    await waiter;
    expect(order).toEqual(['visit', 'waiter']);
  });

  it('opens no connection', async () => {
    const { pool, connector } = healthy();
    pool.outside.visit(() => Promise.resolve());
    await settle();
    expect(connector.dialled).toBe(0);
  });

  it('gets a connection that is shared all the time, when one of those that use it is done', async () => {
    const { pool } = healthy({ size: 1, maxOverflow: 0, sharedLimit: 2 });
    (await pool.acquire()).release();
    let [older, newer] = [await pool.acquire({ use: 'shared' }), await pool.acquire({ use: 'shared' })];
    let visited = false;
    pool.outside.visit(async () => {
      visited = true;
    });
    for (let turns = 0; turns < 3 && !visited; turns++) {
      older.release();
      const next = pool.acquire({ use: 'shared' });
      await settle();
      if (pool.waiting === 0) [older, newer] = [newer, await next];
      else {
        newer.release();
        await settle();
        (await next).release();
      }
    }
    expect(visited).toBe(true);
  });

  it('that fails, or takes too long, ends its connection', async () => {
    const { pool, clock } = healthy();
    (await pool.acquire()).release();
    pool.outside.visit(() => Promise.reject(new Error('dead')));
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 0, closed: { invalid: 1 } });
    (await pool.acquire()).release();
    pool.outside.visit(() => new Promise(() => undefined));
    await clock.advance(301);
    expect(pool.statistics()).toMatchObject({ size: 0, closed: { invalid: 2 } });
  });

  it('isn’t made once the pool closes', async () => {
    const { pool } = healthy();
    const lease = await pool.acquire();
    let visited = false;
    const visit = async (): Promise<void> => {
      visited = true;
    };
    pool.outside.visit(visit);
    const closed = pool.close(1_000);
    pool.outside.visit(visit);
    lease.release();
    await closed;
    expect(visited).toBe(false);
  });
});
