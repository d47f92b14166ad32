/** Behaviours of asyncpg's pool that no other test shows; docs/parity.md lists all of them. */
import { CompiledQuery, Log } from 'kysely';
import { accessWhenUsed } from '#pooling/database/database-access.js';
import type { DatabasePool } from '#pooling/database/database-pool.js';
import { KyselyDriver } from '#pooling/database/kysely/kysely-driver.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { Gate } from '#test/support/gate.js';
import { openIdle, useProxiedDatabase } from '#test/support/proxied-pools.js';
import { noneLost, slotsOf } from '#test/support/slots.js';
import { keepTurning } from '#test/support/turned-time.js';

const proxied = useProxiedDatabase();

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

it('a hundred tasks share five connections', async () => {
  const pool = proxied.pools.create({ size: 5 });
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, task) =>
      pool.withConnection(async (client) => {
        const { rows } = await client.query<{ task: number }>('select $1::int as task, pg_sleep(0.001)', [task]);
        return rows[0]?.task;
      }),
    ),
  );
  expect(answers).toEqual(Array.from({ length: 100 }, (_, task) => task));
  expect(pool.statistics().opened).toBeLessThanOrEqual(5);
  expect(await slotsOf(pool)).toEqual(noneLost(5));
});

it('connections of one use each keep nobody waiting for ever', async () => {
  const pool = proxied.pools.create({ size: 2, maxUses: 1 });
  await Promise.all(Array.from({ length: 40 }, () => pool.query('select 1')));
  await vi.waitFor(() => expect(pool.statistics().closed.uses).toBe(40));
  expect(pool.statistics()).toMatchObject({ acquired: 40, opened: 40, waiting: 0 });
});

it('background filling and first use at once open no more than there may be', async () => {
  const pool = proxied.pools.create({ size: 3, minIdle: 3 });
  pool.start();
  await Promise.all(Array.from({ length: 12 }, () => pool.query('select pg_sleep(0.01)')));
  await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ idle: 3, connecting: 0 }));
  expect(pool.statistics().opened).toBe(3);
});

/** Gives a connection back whose query is over, and whose cancel request is still on its way. */
async function releaseWhileCancelling(pool: DatabasePool): Promise<{ delivered: Promise<void> }> {
  await using gate = await Gate.closed(proxied.database.url);
  const connection = await new KyselyDriver({
    pool,
    ...accessWhenUsed(pool),
    log: new Log([]),
    cursor: undefined,
    readOnly: false,
  }).acquireConnection();
  const running = connection.executeQuery(CompiledQuery.raw(`select ${gate.passed}`));
  await gate.waitedAt();
  await proxied.pools.proxy.stall();
  const delivered = connection.cancelQuery();
  await gate.open();
  await running;
  connection.release();
  return { delivered };
}

describe('cancellation', () => {
  it('of acquires at any moment loses no slot and settles each of them', async () => {
    const pool = proxied.pools.create({ size: 2, onAcquire: () => pause(1) });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 60 }, async (_, task) => {
        const client = await pool.connect({ signal: AbortSignal.timeout(task) });
        await client.query('select pg_sleep(0.002)');
        client.release();
      }),
    );
    const aborted = outcomes.filter((outcome) => outcome.status === 'rejected');
    for (const { reason } of aborted) expect((reason as Error).name).toBe('TimeoutError');
    expect(pool.statistics().acquireAborted).toBe(aborted.length);
    expect(await slotsOf(pool)).toEqual(noneLost(2));
  });

  it('of a query that is on its way when the connection is given back never meets the next borrower', async () => {
    // Its time stands still: the request is never given up.
    const pool = proxied.pools.create({ size: 1 }, { clock: new ManualClock() });
    const cancelled = await releaseWhileCancelling(pool);
    const next = pool.query('select pg_sleep(0.3), 1 as one');
    await pause(50);
    await proxied.pools.proxy.forward();
    await cancelled.delivered;
    expect((await next).rows).toMatchObject([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ opened: 1, cancelFailures: 0 });
  });

  it('of a query that can’t be delivered costs the connection, for it may arrive yet', async () => {
    const clock = new ManualClock();
    const pool = proxied.pools.create({ size: 1 }, { clock });
    const cancelled = await releaseWhileCancelling(pool);
    await clock.advance(1_010);
    await cancelled.delivered;
    await proxied.pools.proxy.forward();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ opened: 2, cancelFailures: 1 });
  });
});

describe('connectivity', () => {
  it('lost under a held connection: the borrower sees it, gives it back, and the slot is free', async () => {
    const pool = proxied.pools.create({ size: 1 });
    const client = await pool.connect();
    await client.query('select 1');
    await proxied.database.query('select pg_terminate_backend(pid) from pg_stat_activity where query = $1', [
      'select 1',
    ]);
    await expect(client.query('select 2')).rejects.toBeInstanceOf(Error);
    await expect(client.query('select 3')).rejects.toBeInstanceOf(Error);
    client.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { broken: 1 }, inUse: 0 });
  });

  it('lost and restored while an acquire waits: the first fails at its deadline, the next one is served', async () => {
    const clock = new ManualClock();
    const pool = proxied.pools.create({ size: 1, acquireTimeoutMs: 10_000, connectTimeoutMs: 2_000 }, { clock });
    await proxied.pools.proxy.stall();
    const first = expect(pool.connect()).rejects.toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
    await clock.advance(10_010);
    await first;
    await proxied.pools.proxy.forward();
    const next = pool.query('select 1 as one');
    // The dial that still hangs, and the pause after it.
    await using _turning = keepTurning(clock);
    expect((await next).rows).toEqual([{ one: 1 }]);
    expect(await slotsOf(pool)).toEqual(noneLost(1));
  });

  it('lost before a release: giving back takes no longer than a check may', async () => {
    const clock = new ManualClock();
    const pool = proxied.pools.create({ size: 1, prePing: { timeoutMs: 100 } }, { clock });
    const client = await pool.connect();
    await client.query('begin');
    proxied.pools.proxy.blackhole();
    client.release();
    await proxied.pools.proxy.forward();
    const next = pool.query('select 1 as one');
    await clock.advance(110);
    expect((await next).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ closed: { reset: 1 } });
  });

  it('lost again and again: every worker gets through its rounds within its time-outs', async () => {
    const limits = { acquireTimeoutMs: 400, queryTimeoutMs: 200 };
    const clock = new ManualClock();
    const pool = proxied.pools.create(
      { size: 3, connectTimeoutMs: 150, prePing: { idleMs: 0, timeoutMs: 100 }, ...limits },
      { clock },
    );
    await openIdle(pool, 3);
    let served = 0;
    let longest = 0;
    await using _turning = keepTurning(clock);
    const workers = Promise.all(
      Array.from({ length: 9 }, async () => {
        for (let round = 0; round < 6; round++) {
          const askedAt = clock.now();
          await pool.query('select pg_sleep(0.02)').then(
            () => served++,
            (error: { code: string }) => expect(error.code).toMatch(/^ERR_POOL_(ACQUIRE|QUERY)_TIMEOUT$/),
          );
          longest = Math.max(longest, clock.now() - askedAt);
        }
      }),
    );
    for (let loss = 0; loss < 3; loss++) {
      proxied.pools.proxy.blackhole();
      await pause(150);
      await proxied.pools.proxy.forward();
      await pause(60);
    }
    await workers;
    expect(longest).toBeLessThan(limits.acquireTimeoutMs + limits.queryTimeoutMs + 50);
    expect(served).toBeGreaterThan(0);
    expect(await slotsOf(pool)).toEqual(noneLost(3));
  });
});
