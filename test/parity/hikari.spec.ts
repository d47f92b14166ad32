/** Behaviours of HikariCP that no other test shows; docs/parity.md lists all of them. */
import type { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { openIdle, useProxiedDatabase } from '#test/support/proxied-pools.js';
import { noneLost, slotsOf } from '#test/support/slots.js';

const proxied = useProxiedDatabase();

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('a borrower depends on the pool alone', () => {
  it.each(['refuse', 'reset', 'stall'] as const)('and takes a returned connection while dials %s', async (trouble) => {
    const clock = new ManualClock();
    const pool = proxied.pools.create({ acquireTimeoutMs: 10_000, connectTimeoutMs: 10_000 }, { clock });
    const held = await pool.connect();
    await proxied.pools.proxy[trouble]();
    const waiting = pool.connect();
    await pause(50);
    expect(pool.statistics()).toMatchObject({ waiting: 1, size: 1 });
    held.release();
    // Without a moment's passing on its clock.
    const client = await waiting;
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    client.release();
    expect(pool.statistics().opened).toBe(1);
  });

  it('and gets a new connection when the database returns while it waits', async () => {
    const pool = proxied.pools.create({ acquireTimeoutMs: 60_000 });
    await proxied.pools.proxy.refuse();
    const waiting = pool.query('select 1 as one');
    await vi.waitFor(() => expect(pool.statistics().connectErrors).toBeGreaterThanOrEqual(3));
    await proxied.pools.proxy.forward();
    expect((await waiting).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics().acquireTimeouts).toBe(0);
  });
});

describe('size', () => {
  it('doesn’t follow a burst of short queries while dials are slow', async () => {
    const pool = proxied.pools.create({ size: 50 });
    await openIdle(pool, 5);
    const before = pool.statistics().opened;
    await proxied.pools.proxy.stall();
    await Promise.all(Array.from({ length: 50 }, () => pool.query('select pg_sleep(0.002)')));
    expect(pool.statistics().opened).toBe(before);
    expect(pool.statistics().connecting).toBeLessThanOrEqual(4);
  });

  it('is reached and never passed by a load that saturates it, and the queue drains when the load falls', async () => {
    const pool = proxied.pools.create({ size: 4, acquireTimeoutMs: 400, connectTimeoutMs: 60_000 });
    await openIdle(pool, 4);
    proxied.pools.proxy.delay(20);
    let peak = 0;
    const query = async (): Promise<string> => {
      peak = Math.max(peak, pool.totalCount);
      return pool.query('select pg_sleep(0.1)').then(
        () => 'served',
        (error: { code: string }) => error.code,
      );
    };
    const outcomes: string[] = [];
    for (const callers of [60, 30, 8, 4, 2]) {
      const wave = await Promise.all(Array.from({ length: callers }, query));
      outcomes.push(...wave);
      expect(wave.every((outcome) => outcome === 'served' || outcome === 'ERR_POOL_ACQUIRE_TIMEOUT')).toBe(true);
      if (callers <= 4) expect(wave).not.toContain('ERR_POOL_ACQUIRE_TIMEOUT');
    }
    expect(outcomes).toContain('ERR_POOL_ACQUIRE_TIMEOUT');
    expect(peak).toBe(4);
    expect(await slotsOf(pool)).toEqual(noneLost(4));
    expect(pool.statistics().opened).toBe(4);
  });
});

it('a check that hangs for longer than an acquire may take fails that acquire at its deadline and no later one', async () => {
  const clock = new ManualClock();
  const options = { size: 1, acquireTimeoutMs: 300, prePing: { idleMs: 0, timeoutMs: 600 } };
  const pool = proxied.pools.create(options, { clock });
  await openIdle(pool, 1);
  proxied.pools.proxy.blackhole();
  const late = expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
  await clock.advance(310);
  await late;
  await proxied.pools.proxy.forward();
  const next = pool.connect({ timeoutMs: 2_000 });
  await clock.advance(300);
  const client = await next;
  expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  client.release();
  expect(pool.statistics()).toMatchObject({ opened: 2, closed: { invalid: 1 } });
});

it('a connection that closes slowly keeps nobody from the others', async () => {
  const clock = new ManualClock();
  const pool = proxied.pools.create({}, { clock });
  await openIdle(pool, 1);
  proxied.pools.proxy.blackhole();
  // Its goodbye will never be answered.
  pool.expireAll();
  await proxied.pools.proxy.forward();
  await Promise.all(Array.from({ length: 5 }, () => pool.query('select 1')));
  expect(pool.statistics()).toMatchObject({ closing: 1, size: 1 });
  // As long as it may take to close.
  await clock.advance(30_000);
  expect(await slotsOf(pool)).toEqual(noneLost(2));
});

describe('closing', () => {
  const CLOSE = { deadlineMs: 200 };
  type Situation = (pool: DatabasePool) => Promise<{ waiting?: Promise<unknown> }>;
  const situations: [string, DatabaseOptions, Situation][] = [
    ['before anything was opened', {}, async () => ({})],
    [
      'while a dial gets no answer',
      { connectTimeoutMs: 30_000 },
      async (pool) => {
        await proxied.pools.proxy.stall();
        return { waiting: pool.connect() };
      },
    ],
    [
      'while dials are refused',
      {},
      async (pool) => {
        await proxied.pools.proxy.refuse();
        return { waiting: pool.connect() };
      },
    ],
    [
      'while a check gets no answer',
      { prePing: { idleMs: 0, timeoutMs: 30_000 } },
      async (pool) => {
        await openIdle(pool, 1);
        proxied.pools.proxy.blackhole();
        return { waiting: pool.connect() };
      },
    ],
    [
      'while a rollback gets no answer',
      { prePing: { timeoutMs: 30_000 } },
      async (pool) => {
        const client = await pool.connect();
        await client.query('begin');
        proxied.pools.proxy.blackhole();
        client.release();
        return { waiting: pool.connect() };
      },
    ],
    [
      'while onConnect hangs',
      { connectTimeoutMs: 30_000, onConnect: () => new Promise(() => undefined) },
      async (pool) => ({ waiting: pool.connect() }),
    ],
    [
      'while onAcquire hangs',
      { connectTimeoutMs: 30_000, onAcquire: () => new Promise(() => undefined) },
      async (pool) => {
        const waiting = pool.connect();
        await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ opened: 1, connecting: 0, waiting: 0 }));
        return { waiting };
      },
    ],
    [
      'while it is suspended',
      {},
      async (pool) => {
        await openIdle(pool, 1);
        pool.suspend();
        return { waiting: pool.connect() };
      },
    ],
  ];

  it.each(situations)(
    '%s: in time, with every waiter refused and no socket left',
    async (_when, options, situation) => {
      const pool = proxied.pools.create({ size: 1, acquireTimeoutMs: 30_000, ...options });
      const { waiting } = await situation(pool);
      const outcome = waiting?.then(
        () => 'served',
        (error: { code: string }) => error.code,
      );
      await new Promise((resolve) => setImmediate(resolve));
      const startedAt = performance.now();
      const report = await pool.close(CLOSE);
      // Not as late as the other limits, of 30 s.
      expect(performance.now() - startedAt).toBeLessThan(15_000);
      expect(report.destroyed).toEqual([]);
      if (outcome !== undefined) expect(await outcome).toBe('ERR_POOL_CLOSED');
      await expect(pool.connect()).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
      expect(pool.statistics()).toMatchObject({ state: 'closed', size: 0, connecting: 0, closing: 0, waiting: 0 });
      await vi.waitFor(() => expect(proxied.pools.openSockets).toBe(0));
    },
  );

  it('twice is closing once, also from several places at once', async () => {
    const pool = proxied.pools.create();
    await openIdle(pool, 2);
    const reports = await Promise.all([pool.close(CLOSE), pool.close({ deadlineMs: 0 }), pool.close()]);
    expect(new Set(reports).size).toBe(1);
    expect(await pool.close()).toBe(reports[0]);
    await pool.end();
    expect(pool.statistics().closed).toMatchObject({ shutdown: 2 });
  });
});
