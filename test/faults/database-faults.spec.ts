import { Client } from 'pg';
import { PostgresServer, TcpProxy } from 'nestjs-pooling/testing';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import type { LeakReport } from '#pooling/core/pool-options.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { run } from '#test/support/advised-pools.js';
import { Gate } from '#test/support/gate.js';
import { turn } from '#test/support/turned-time.js';
import { Load } from './load.js';

let server: PostgresServer;
const open: DatabasePool[] = [];

beforeAll(async () => {
  server = await PostgresServer.start({ authentication: 'trust', maxConnections: 60 });
});
afterAll(() => server.close());
afterEach(async () => {
  await Promise.all(open.splice(0).map((pool) => pool.close({ deadlineMs: 0 })));
});

const APPLICATION = 'under test';

function poolOf(options: DatabaseOptions = {}, dependencies = {}): DatabasePool {
  const pool = new DatabasePool(
    'faults',
    { url: server.url, size: 10, maxOverflow: 0, applicationName: APPLICATION, ...options },
    dependencies,
  );
  open.push(pool);
  return pool;
}

function poolThrough(proxy: TcpProxy, options: DatabaseOptions = {}, dependencies = {}): DatabasePool {
  const url = new URL(server.url);
  url.port = String(proxy.port);
  return poolOf({ url: url.href, ...options }, dependencies);
}

/** Opens `count` connections and leaves them idle. */
async function fill(pool: DatabasePool, count: number): Promise<void> {
  const clients = await Promise.all(Array.from({ length: count }, () => pool.connect({ timeoutMs: 60_000 })));
  for (const client of clients) client.release();
}

async function backends(): Promise<number> {
  return (await server.backends()).filter((backend) => backend.applicationName === APPLICATION).length;
}

/** What must hold once the trouble is over: every counter agrees, and nobody waits. */
function expectConsistent(pool: DatabasePool): void {
  const statistics = pool.statistics();
  const closed = Object.values(statistics.closed).reduce((sum, count) => sum + count, 0);
  expect(statistics.opened).toBe(statistics.size + closed);
  expect(statistics.acquired - statistics.released).toBe(pool.holders().length);
  expect(statistics.waiting).toBe(0);
}

async function terminate(): Promise<number> {
  return server.terminateBackends((backend) => backend.applicationName === APPLICATION);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('idle connections terminated by the server', () => {
  it('one of them: nothing is seen', async () => {
    const pool = poolOf();
    await fill(pool, 5);
    const [victim] = (await server.backends()).filter((backend) => backend.applicationName === APPLICATION);
    await server.terminateBackends((backend) => backend.pid === victim?.pid);
    // Found out at once, and not when somebody asks for it.
    await vi.waitFor(() => expect(pool.totalCount).toBe(4));
    const results = await Promise.all(Array.from({ length: 20 }, () => pool.query('select 1 as one')));
    expect(results).toHaveLength(20);
    expect(pool.statistics()).toMatchObject({ closed: { broken: 1 }, acquireTimeouts: 0 });
    expectConsistent(pool);
  });

  it('all of them: replaced within the deadline of the acquires, and no error event ends the process', async () => {
    const pool = poolOf();
    await fill(pool, 10);
    expect(await terminate()).toBe(10);
    const load = Load.onPool(pool, 64);
    await load.progress(500);
    await load.stop();
    expect(load.failures).toEqual([]);
    await vi.waitFor(async () => expect(await backends()).toBeLessThanOrEqual(10));
    expectConsistent(pool);
  });
});

describe('server restarted under load', () => {
  it.each(['fast', 'immediate'] as const)(
    '%s: no more than the queries in flight fail, and the pool is back with its first dial after it',
    async (mode) => {
      await using proxy = await TcpProxy.listen({ port: server.port });
      const pool = poolThrough(proxy);
      const load = Load.onPool(pool, 64);
      await load.progress(500);
      let connectingPeak = 0;
      let slotsPeak = 0;
      const watch = setInterval(() => {
        const { size, connecting, closing } = pool.statistics();
        connectingPeak = Math.max(connectingPeak, connecting);
        slotsPeak = Math.max(slotsPeak, size + connecting + closing);
      }, 1);
      await server.restart(mode);
      const { connectErrors } = pool.statistics();
      await load.progress(200);
      // Those under way when the server was back: four at the most, as everywhere.
      expect(pool.statistics().connectErrors - connectErrors).toBeLessThanOrEqual(4);
      const failures = load.failures.length;
      expect(failures).toBeLessThanOrEqual(15);
      await load.progress(500);
      await load.stop();
      clearInterval(watch);
      expect(load.failures).toHaveLength(failures);
      expect(connectingPeak).toBeLessThanOrEqual(4);
      expect(slotsPeak).toBeLessThanOrEqual(10);
      // The proxy may come to know of an end a moment after the pool.
      expect(proxy.peakConnections).toBeLessThanOrEqual(10 + 4);
      expectConsistent(pool);
    },
  );
});

describe('server down', () => {
  it('for as long as acquires wait: all of them fail at their deadline with the connect error as cause', async () => {
    await using proxy = await TcpProxy.listen({ port: server.port });
    const clock = new ManualClock();
    const pool = poolThrough(proxy, { acquireTimeoutMs: 1_500 }, { clock });
    await fill(pool, 5);
    await proxy.refuse();
    proxy.cut('rst');
    await vi.waitFor(() => expect(pool.totalCount).toBe(0));
    const dialledBefore = pool.statistics().connectErrors;
    const calledAt = clock.now();
    const settledAfter: number[] = [];
    const call = (): Promise<unknown> =>
      pool.query('select 1').finally(() => settledAfter.push(clock.now() - calledAt));
    const settled = Promise.allSettled(Array.from({ length: 500 }, call));
    await turn(clock, 1_550, 10);
    const outcomes = await settled;
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: { code: 'ERR_POOL_ACQUIRE_TIMEOUT', cause: { code: 'ECONNREFUSED' } },
      });
    }
    expect(Math.min(...settledAfter)).toBeGreaterThanOrEqual(1_500);
    expect(Math.max(...settledAfter)).toBeLessThanOrEqual(1_525);
    // 10 ms doubling: eight or nine dials in the first second and a half, however many wait.
    expect(pool.statistics().connectErrors - dialledBefore).toBeLessThanOrEqual(12);
    await proxy.forward();
    // The clock of the back-off stands still: a probe dials in spite of it.
    await pool.ping();
    await expect(pool.query('select 1 as one')).resolves.toMatchObject({ rows: [{ one: 1 }] });
    expectConsistent(pool);
  });

  it('is found out by ping() at once, and so is its return, whatever the back-off says', async () => {
    await using proxy = await TcpProxy.listen({ port: server.port });
    // A clock that stands still: the back-off never ends.
    const pool = poolThrough(proxy, { minIdle: 1 }, { clock: new ManualClock() });
    await pool.ping();
    await proxy.refuse();
    proxy.cut('rst');
    for (let probe = 0; probe < 5; probe++) {
      await expect(pool.ping()).rejects.toMatchObject({ code: 'ERR_POOL_CONNECT_FAILED' });
    }
    await proxy.forward();
    await expect(pool.ping()).resolves.toMatchObject({ status: 'up' });
    await expect(pool.query('select 1')).resolves.toBeDefined();
  });
});

describe('a server that accepts and says nothing', () => {
  it('new connections: the dial ends at connectTimeoutMs, acquires at their deadline, and nothing hangs', async () => {
    await using proxy = await TcpProxy.listen({ port: server.port });
    await proxy.stall();
    const clock = new ManualClock();
    const pool = poolThrough(proxy, { connectTimeoutMs: 300, acquireTimeoutMs: 1_000 }, { clock });
    const settled = Promise.allSettled(Array.from({ length: 20 }, () => pool.query('select 1')));
    await clock.advance(1_010);
    for (const outcome of await settled) {
      expect(outcome).toMatchObject({ reason: { code: 'ERR_POOL_ACQUIRE_TIMEOUT', cause: { code: 'ETIMEDOUT' } } });
    }
    await proxy.forward();
    const served = pool.query('select 1');
    // The dial that still hangs, and the pause after it.
    await clock.advance(400);
    await expect(served).resolves.toBeDefined();
  });

  it('established ones: checks time out and the connections are replaced', async () => {
    await using proxy = await TcpProxy.listen({ port: server.port });
    const pool = poolThrough(proxy, { prePing: { idleMs: 0, timeoutMs: 200 } });
    await fill(pool, 5);
    proxy.blackhole('both');
    const waiting = pool.query('select 1 as one');
    await pause(50);
    await proxy.forward();
    await expect(waiting).resolves.toMatchObject({ rows: [{ one: 1 }] });
  });

  it('at most the queries in flight fail at their time-out; everything after works once new connections do', async () => {
    await using proxy = await TcpProxy.listen({ port: server.port });
    const clock = new ManualClock();
    const pool = poolThrough(proxy, { queryTimeoutMs: 500, prePing: { idleMs: 0, timeoutMs: 300 } }, { clock });
    await fill(pool, 10);
    const load = Load.onPool(pool, 20);
    await load.progress(200);
    proxy.blackhole('both');
    await pause(100);
    // What was open stays dead; new connections get through.
    await proxy.forward();
    await clock.advance(510);
    await load.progress(200);
    await load.stop();
    expect(load.failures.length).toBeLessThanOrEqual(10);
    for (const { code } of load.failures) expect(code).toBe('ERR_POOL_QUERY_TIMEOUT');
    for (let wave = 0; wave < 5; wave++) {
      await Promise.all(Array.from({ length: 10 }, () => pool.query('select 1')));
    }
    expectConsistent(pool);
  });
});

describe('a query slower than queryTimeoutMs', () => {
  it('fails, its connection is replaced, and the server is told to stop', async () => {
    const clock = new ManualClock();
    const pool = poolOf({ queryTimeoutMs: 300, size: 1 }, { clock });
    const sleeping = async (): Promise<number> =>
      (
        await run(
          server.url,
          "select 1 from pg_stat_activity where wait_event = 'PgSleep' and query like '%sleep(20)%'",
        )
      ).length;
    const slow = pool.query('select pg_sleep(20)');
    const next = pool.query('select 1 as one');
    const late = expect(slow).rejects.toMatchObject({
      code: 'ERR_POOL_QUERY_TIMEOUT',
      details: { statement: 'select pg_sleep(20)', timeoutMs: 300 },
    });
    await vi.waitFor(async () => expect(await sleeping()).toBe(1));
    await clock.advance(310);
    await late;
    await expect(next).resolves.toMatchObject({ rows: [{ one: 1 }] });
    await vi.waitFor(async () => expect(await sleeping()).toBe(0));
    expect(pool.statistics()).toMatchObject({ closed: { 'query-timeout': 1 }, opened: 2 });
    expectConsistent(pool);
  });
});

describe('SQL errors', () => {
  it('of any kind leave the connection as it is', async () => {
    const pool = poolOf({ size: 1 });
    await pool.query('create temporary table once (id int primary key)');
    await pool.query('insert into once values (1)');
    await expect(pool.query('insert into once values (1)')).rejects.toMatchObject({ code: '23505' });
    await expect(pool.query('selekt 1')).rejects.toMatchObject({ code: '42601' });
    await expect(pool.query('select 1/0')).rejects.toMatchObject({ code: '22012' });
    await expect(pool.query('select * from nowhere')).rejects.toMatchObject({ code: '42P01' });
    await expect(pool.query('select count(*)::int as count from once')).resolves.toMatchObject({
      rows: [{ count: 1 }],
    });
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1 });
  });
});

describe('a borrower that forgets', () => {
  it('COMMIT: is rolled back on return and counted', async () => {
    const pool = poolOf({ size: 1 });
    await pool.query('drop table if exists forgotten');
    await pool.query('create table forgotten (id int)');
    const client = await pool.connect();
    await client.query('begin');
    await client.query('insert into forgotten values (1)');
    client.release();
    await expect(pool.query('select count(*)::int as count from forgotten')).resolves.toMatchObject({
      rows: [{ count: 0 }],
    });
    expect(pool.statistics()).toMatchObject({ transactionsLeftOpen: 1, opened: 1 });
  });

  it('to release: is reported with its stack, and named by every acquire that starves', async () => {
    const leaks: LeakReport[] = [];
    const clock = new ManualClock();
    const pool = poolOf(
      { size: 1, leakDetectionMs: 100, acquireTimeoutMs: 400 },
      { clock, observer: { leaked: (report: LeakReport) => leaks.push(report) } },
    );
    async function forgetfulHandler(): Promise<unknown> {
      const client = await pool.connect();
      await client.query('begin');
      await client.query('select $1::text as secret', ['hunter2']);
      return client;
    }
    // Held, so that the garbage collector doesn't find it: that would free the connection.
    const held = [await forgetfulHandler()];
    const starved = pool.query('select 1').catch((reason: unknown) => reason);
    await clock.advance(410);
    const error = (await starved) as Error;
    expect(error.message).toContain('forgetfulHandler');
    expect(error.message).toContain('idle in transaction after 2 statements, last ran: select $1::text as secret');
    expect(error.message).not.toContain('hunter2');
    expect(leaks).toHaveLength(1);
    expect(leaks[0]?.stack).toContain('forgetfulHandler');
    expect(held.pop()).toHaveProperty('processID');
  });
});

describe('more load than capacity', () => {
  it('waiting is bounded in number and time, and what is served is served at once', async () => {
    const clock = new ManualClock();
    const pool = poolOf({ size: 2, maxWaiting: 20, acquireTimeoutMs: 300 }, { clock });
    await fill(pool, 2);
    await using gate = await Gate.closed(server.url);
    const burst = async (): Promise<Record<string, number>> => {
      const counts: Record<string, number> = {};
      const count = (outcome: string): void => void (counts[outcome] = (counts[outcome] ?? 0) + 1);
      const query = (): Promise<void> =>
        pool.query(`select ${gate.passed}`).then(
          () => count('ok'),
          (error: { code: string }) => count(error.code),
        );
      await Promise.all(Array.from({ length: 60 }, query));
      return counts;
    };
    const slow = burst();
    await gate.waitedAt(2);
    await clock.advance(310);
    await gate.open();
    expect(await slow).toEqual({ ok: 2, ERR_POOL_QUEUE_FULL: 38, ERR_POOL_ACQUIRE_TIMEOUT: 20 });
    expect(await burst()).toEqual({ ok: 22, ERR_POOL_QUEUE_FULL: 38 });
    expectConsistent(pool);
  });
});

describe('maintenance by an operator under load', () => {
  it('expireAll, resize, suspend and resume fail no query', async () => {
    const pool = poolOf({ size: 8 });
    const load = Load.onPool(pool, 30);
    await load.progress(200);
    for (let round = 0; round < 5; round++) {
      pool.expireAll();
      await load.progress(100);
      pool.resize({ size: 3 + round });
      await load.progress(100);
      pool.suspend();
      await pause(30);
      pool.resume();
      await load.progress(100);
    }
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(pool.statistics().closed.expired).toBeGreaterThanOrEqual(5);
    await vi.waitFor(async () => expect(await backends()).toBeLessThanOrEqual(8));
    expectConsistent(pool);
  });

  it('a password rotated: no failed query', async () => {
    await using secured = await PostgresServer.start({ authentication: 'scram-sha-256', password: 'first' });
    let password = 'first';
    const url = new URL(secured.url);
    url.password = '';
    const pool = poolOf({ url: url.href, connection: { password: async () => password }, size: 5 });
    const load = Load.onPool(pool, 20);
    await load.progress(200);
    await pool.query(`alter user ${url.username} password 'second'`);
    password = 'second';
    pool.expireAll();
    await load.progress(300);
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(pool.statistics().closed.expired).toBeGreaterThanOrEqual(1);
  });
});

describe('a server at its max_connections', () => {
  it('that frees a place within the deadline fails no acquire', async () => {
    await using small = await PostgresServer.start({ authentication: 'trust', maxConnections: 8 });
    const others: Client[] = [];
    let refused: unknown;
    while (refused === undefined) {
      const client = new Client({ connectionString: small.url });
      refused = await client.connect().then(
        () => void others.push(client),
        (error: unknown) => error,
      );
    }
    expect(refused).toMatchObject({ code: '53300' });
    const pool = poolOf({ url: small.url, size: 2 });
    const waiting = pool.query('select 1 as one').catch((error: unknown) => error);
    await vi.waitFor(() => expect(pool.statistics().connectErrors).toBeGreaterThan(1));
    for (const client of others) await client.end();
    expect(await waiting).toMatchObject({ rows: [{ one: 1 }] });
  });
});

it('nothing is left when everything is closed: no backend, no waiter', async () => {
  const pool = poolOf({ size: 5 });
  await fill(pool, 5);
  await pool.close();
  await vi.waitFor(async () => expect(await backends()).toBe(0));
  await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
});
