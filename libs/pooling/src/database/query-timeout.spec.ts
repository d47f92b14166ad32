import { sql } from 'kysely';
import type pg from 'pg';
import { TcpProxy } from 'nestjs-pooling/testing';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { ManualClock } from '../testing/manual-clock.js';
import { DatabasePool } from './database-pool.js';
import { createKysely } from './kysely/kysely.js';
import type { DatabaseOptions } from './options/options.js';

let database: TestDatabase;
let proxy: TcpProxy;

beforeAll(async () => {
  database = await createTestDatabase();
  proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
});
afterAll(async () => {
  await proxy.close();
  await database.drop();
});

const pools: DatabasePool[] = [];
afterEach(async () => {
  await proxy.forward();
  await Promise.all(pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
});

function createPool(options: DatabaseOptions = {}): DatabasePool {
  const url = new URL(database.url);
  url.port = String(proxy.port);
  const pool = new DatabasePool('timed', { url: url.href, size: 1, maxOverflow: 0, queryTimeoutMs: 300, ...options });
  pools.push(pool);
  return pool;
}

async function running(mark: string): Promise<number> {
  const rows = await database.query(
    "select 1 from pg_stat_activity where state = 'active' and query like '%' || $1 || '%' and pid <> pg_backend_pid()",
    [mark],
  );
  return rows.length;
}

const TIMED_OUT = { code: 'ERR_POOL_QUERY_TIMEOUT', pool: 'timed' };

describe('queryTimeoutMs', () => {
  it('rejects a slow query, destroys its connection and cancels it on the server', async () => {
    const pool = createPool();
    await expect(pool.query('select pg_sleep(30), $1::text /* single */', ['secret'])).rejects.toMatchObject({
      ...TIMED_OUT,
      message:
        'timed: no answer within 300 ms (queryTimeoutMs): select pg_sleep(30), $1::text /* single */ (Query read timeout)',
      details: { timeoutMs: 300, statement: 'select pg_sleep(30), $1::text /* single */' },
    });
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await vi.waitFor(async () => expect(await running('single')).toBe(0));
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { 'query-timeout': 1 }, cancelFailures: 0, inUse: 0 });
  });

  it('calls back as well as it rejects', async () => {
    const pool = createPool();
    const error = await new Promise((resolve) => pool.query('select pg_sleep(30)', resolve));
    expect(error).toMatchObject(TIMED_OUT);
  });

  it('holds for a borrowed client, which is of no more use then', async () => {
    const pool = createPool();
    const client = await pool.connect();
    const queued = client.query('select pg_sleep(30) /* held */').catch((error: unknown) => error);
    const behind = client.query('select 1').catch((error: unknown) => error);
    expect(await queued).toMatchObject(TIMED_OUT);
    expect(await behind).toBeInstanceOf(Error);
    await expect(client.query('select 1')).rejects.toBeInstanceOf(Error);
    client.release();
    await pool.query('select 1');
    await vi.waitFor(async () => expect(await running('held')).toBe(0));
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { 'query-timeout': 1 }, inUse: 0 });
  });

  it('holds for Kysely, inside and outside a transaction', async () => {
    const pool = createPool();
    const db = createKysely<object>(pool);
    const slow = sql`select pg_sleep(30)`;
    await expect(slow.execute(db)).rejects.toMatchObject(TIMED_OUT);
    await expect(db.transaction().execute((transaction) => slow.execute(transaction))).rejects.toMatchObject(TIMED_OUT);
    expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ opened: 3, closed: { 'query-timeout': 2 }, inUse: 0 });
  });

  it('is overruled by the query’s own query_timeout, and is off at 0', async () => {
    const pool = createPool({ queryTimeoutMs: 0 });
    await expect(pool.query({ text: 'select pg_sleep(30)', query_timeout: 40 } as pg.QueryConfig)).rejects.toThrow(
      'within 40 ms',
    );
    const client = await pool.connect();
    await expect(client.query({ text: 'select pg_sleep(30)', query_timeout: 30 } as pg.QueryConfig)).rejects.toThrow(
      'within 30 ms',
    );
    client.release();
    const other = createPool({ queryTimeoutMs: 0 });
    await other.query('select pg_sleep(0.1)');
  });

  it('ends a query whose connection went silent, and frees the slot although nobody can be asked to cancel', async () => {
    const pool = createPool({ statementTimeoutMs: 100 });
    await pool.query('select 1');
    const query = pool.query('select pg_sleep(0.01)');
    await proxy.stall();
    proxy.blackhole();
    await expect(query).rejects.toMatchObject(TIMED_OUT);
    await proxy.forward();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('counts a cancel request that failed', async () => {
    const pool = createPool({ statementTimeoutMs: 1_500 });
    await pool.query('select 1');
    const query = pool.query('select pg_sleep(30) /* uncancelled */');
    await proxy.refuse();
    await expect(query).rejects.toMatchObject(TIMED_OUT);
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ cancelFailures: 1, size: 0, closing: 0 }));
    await proxy.forward();
    await vi.waitFor(async () => expect(await running('uncancelled')).toBe(0), { timeout: 5_000 });
  });

  it('leaves no deadline behind when a query was answered', async () => {
    const clock = new ManualClock();
    const pool = new DatabasePool('timed', { url: database.url }, { clock });
    pools.push(pool);
    for (let query = 0; query < 30; query++) await pool.query('select 1');
    await pool.query('select 1/0').catch(() => undefined);
    await vi.waitFor(() => expect(pool.idleCount).toBe(1));
    await clock.advance(60_100);
    await pool.query('select 1');
    expect(pool.statistics()).toMatchObject({ opened: 1, closed: { 'query-timeout': 0 } });
  });
});
