import { PostgresServer } from 'nestjs-pooling/testing';
import { useProxiedDatabase } from '#test/support/proxied-pools.js';
import { ManualClock } from '../testing/manual-clock.js';
import type { DatabasePool } from './database-pool.js';
import type { DatabasePoolDependencies } from './database-parts.js';
import type { DatabaseOptions } from './options/options.js';

const proxied = useProxiedDatabase();

/** A pool of one connection. */
function createPool(options: DatabaseOptions = {}, dependencies: DatabasePoolDependencies = {}): DatabasePool {
  return proxied.pools.create({ size: 1, ...options }, dependencies);
}

const DOWN = { code: 'ERR_POOL_CONNECT_FAILED', pool: 'proxied' };

describe('ping', () => {
  it('dials when nothing is open, and asks an idle connection afterwards', async () => {
    const pool = createPool();
    expect(await pool.ping()).toEqual({ status: 'up', durationMs: expect.any(Number) as number });
    await pool.ping({ timeoutMs: 60_000 });
    expect(pool.statistics()).toMatchObject({ opened: 1, idle: 1, inUse: 0 });
  });

  it('is one for all who ask at once', async () => {
    const pool = createPool();
    await pool.ping();
    const { acquired } = pool.statistics();
    await Promise.all(Array.from({ length: 20 }, () => pool.ping()));
    expect(pool.statistics().acquired).toBe(acquired + 1);
  });

  it('is degraded, and never queues, while all connections are busy and one has just answered', async () => {
    const pool = createPool();
    const client = await pool.connect();
    await client.query('select 1');
    const waiting = pool.connect();
    expect(await pool.ping()).toMatchObject({ status: 'degraded' });
    client.release();
    (await waiting).release();
    expect(await pool.ping()).toMatchObject({ status: 'up' });
  });

  it('is up while busy connections answer and there is room for more', async () => {
    const pool = createPool({ size: 2 });
    const client = await pool.connect();
    expect(await pool.ping()).toMatchObject({ status: 'up' });
    expect(pool.statistics().opened).toBe(1);
    client.release();
  });

  it('asks the server itself, without taking a connection, when all are busy and none has answered lately', async () => {
    const clock = new ManualClock();
    const pool = createPool({}, { clock });
    const client = await pool.connect();
    clock.leap(5_000).catch(() => undefined);
    proxied.pools.proxy.resetCounters();
    expect(await pool.ping()).toMatchObject({ status: 'degraded' });
    expect(proxied.pools.proxy.accepted).toBe(1);
    expect(pool.statistics().opened).toBe(1);
    await proxied.pools.proxy.refuse();
    await expect(pool.ping()).rejects.toMatchObject({ ...DOWN, cause: { code: 'ECONNREFUSED' } });
    client.release();
  });

  it('rejects with the real error when the server is down, and finds it again in spite of the back-off', async () => {
    const server = await PostgresServer.start({ authentication: 'trust' });
    try {
      const clock = new ManualClock();
      const pool = createPool({ url: server.url }, { clock });
      await pool.ping();
      // What it answered then no longer proves that it lives.
      await clock.advance(5_000);
      await server.stop();
      await expect(pool.ping()).rejects.toMatchObject({
        ...DOWN,
        message: expect.stringMatching(/^proxied: the database doesn’t answer: .*ECONNREFUSED/) as string,
        cause: { code: 'ECONNREFUSED' },
      });
      // Many failures, and a clock that stands still: the next regular dial never comes.
      for (let probe = 0; probe < 10; probe++) await pool.ping().catch(() => undefined);
      await server.start();
      await vi.waitFor(async () => expect(await pool.ping()).toMatchObject({ status: 'up' }));
    } finally {
      await server.close();
    }
  });

  it('rejects in time when the server accepts and says nothing', async () => {
    await proxied.pools.proxy.stall();
    const pool = createPool();
    await expect(pool.ping({ timeoutMs: 50 })).rejects.toMatchObject({
      ...DOWN,
      message: expect.stringContaining('no connection within 50 ms') as string,
    });
  });

  it('rejects at once when the pool closes meanwhile, and leaves no timer behind', async () => {
    await proxied.pools.proxy.stall();
    const clock = new ManualClock();
    const pool = createPool({}, { clock });
    const ping = pool.ping({ timeoutMs: 10_000 });
    const rejected = expect(ping).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED', pool: 'proxied' });
    const closed = pool.close({ deadlineMs: 0 });
    await rejected;
    await closed;
    expect(clock.pendingTimers).toBe(0);
  });

  it('rejects in time when an idle connection went silent', async () => {
    const clock = new ManualClock();
    const pool = createPool({ prePing: false }, { clock });
    await pool.ping();
    await proxied.pools.proxy.stall();
    proxied.pools.proxy.blackhole();
    const late = expect(pool.ping({ timeoutMs: 100 })).rejects.toMatchObject({ code: 'ERR_POOL_QUERY_TIMEOUT' });
    await clock.advance(110);
    await late;
    await clock.advance(1_010);
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ size: 0, inUse: 0 }));
  });

  it('looks past a dead idle connection', async () => {
    const pool = createPool();
    await pool.ping();
    proxied.pools.proxy.cut('rst');
    expect(await pool.ping()).toMatchObject({ status: 'up' });
  });
});
