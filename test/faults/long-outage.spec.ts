import { createServer, type AddressInfo } from 'node:net';
import { inject } from 'vitest';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { ProxiedPools } from '#test/support/proxied-pools.js';
import { turn } from '#test/support/turned-time.js';

/** Nobody listens there: whoever dials is refused at once. */
async function deadPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

it('the server down for a minute, 500 callers: each settles at its deadline with the real cause, in at most 40 dials', async () => {
  const clock = new ManualClock();
  const url = `postgres://nobody@127.0.0.1:${await deadPort()}/nowhere`;
  const pool = new DatabasePool('outage', { url, size: 10, acquireTimeoutMs: 15_000 }, { clock });
  const settledAt: number[] = [];
  const errors: unknown[] = [];
  const call = (): void => {
    const calledAt = clock.now();
    pool.query('select 1').catch((error: unknown) => {
      errors.push(error);
      settledAt.push(clock.now() - calledAt);
      // As a caller does whose own caller tries again.
      if (calledAt < 45_000) call();
    });
  };
  for (let caller = 0; caller < 500; caller++) call();
  await turn(clock, 61_000);
  expect(errors).toHaveLength(500 * 4);
  for (const error of errors) {
    expect(error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT', cause: { code: 'ECONNREFUSED' } });
  }
  expect(Math.min(...settledAt)).toBeGreaterThanOrEqual(15_000);
  expect(Math.max(...settledAt)).toBeLessThanOrEqual(15_000 + 40 + 25);
  expect(pool.statistics().connectErrors).toBeLessThanOrEqual(40);
  expect(pool.statistics()).toMatchObject({ waiting: 0, size: 0 });
  await pool.close();
  expect(clock.pendingTimers).toBe(0);
});

it('the server down for a minute and nobody asking: at most a dozen dials, and it recovers by itself', async () => {
  await using proxied = await ProxiedPools.behind(inject('databaseUrl'));
  await proxied.proxy.refuse();
  const clock = new ManualClock();
  const pool = proxied.create({ size: 10, minIdle: 5 }, { clock });
  pool.start();
  await turn(clock, 60_000);
  expect(pool.statistics().connectErrors).toBeGreaterThan(1);
  expect(pool.statistics().connectErrors).toBeLessThanOrEqual(12);
  await proxied.proxy.forward();
  await vi.waitFor(
    async () => {
      await clock.advance(1_000);
      expect(pool.statistics()).toMatchObject({ idle: 5, connecting: 0 });
    },
    // A dial has as long as its time limit, ten turns.
    { interval: 200 },
  );
  await pool.close();
  expect(clock.pendingTimers).toBe(0);
});
