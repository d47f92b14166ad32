import { sql } from 'kysely';
import type { QueryConfig } from 'pg';
import { Gate } from '#test/support/gate.js';
import { useProxiedDatabase } from '#test/support/proxied-pools.js';
import { ManualClock } from '../testing/manual-clock.js';
import type { DatabasePool } from './database-pool.js';
import { createKysely } from './kysely/kysely.js';
import type { DatabaseOptions } from './options/options.js';

const proxied = useProxiedDatabase();

const TIMEOUT_MS = 300;

/** A pool of one connection, and the clock that its time limits go by. */
function createPool(options: DatabaseOptions = {}): { pool: DatabasePool; clock: ManualClock } {
  const clock = new ManualClock();
  const pool = proxied.pools.create({ size: 1, queryTimeoutMs: TIMEOUT_MS, ...options }, { clock });
  return { pool, clock };
}

/** How many sleeping statements with that mark there are on the server. */
async function running(mark: string): Promise<number> {
  const text = "select 1 from pg_stat_activity where wait_event = 'PgSleep' and query like '%' || $1 || '%'";
  return (await proxied.database.query(text, [mark])).length;
}

/** Lets the time of a query pass once the server works on it. */
async function letTimePass(clock: ManualClock, mark: string): Promise<void> {
  await vi.waitFor(async () => expect(await running(mark)).toBe(1));
  await clock.advance(TIMEOUT_MS + 10);
}

const TIMED_OUT = { code: 'ERR_POOL_QUERY_TIMEOUT', pool: 'proxied' };

describe('queryTimeoutMs', () => {
  it('rejects a slow query, destroys its connection and cancels it on the server', async () => {
    const { pool, clock } = createPool();
    const late = expect(pool.query('select pg_sleep(30), $1::text /* single */', ['secret'])).rejects.toMatchObject({
      ...TIMED_OUT,
      message:
        'proxied: no answer within 300 ms (queryTimeoutMs): select pg_sleep(30), $1::text /* single */ (Query read timeout)',
      details: { timeoutMs: TIMEOUT_MS, statement: 'select pg_sleep(30), $1::text /* single */' },
    });
    await letTimePass(clock, 'single');
    await late;
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await vi.waitFor(async () => expect(await running('single')).toBe(0));
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { 'query-timeout': 1 }, cancelFailures: 0, inUse: 0 });
  });

  it('calls back as well as it rejects', async () => {
    const { pool, clock } = createPool();
    const error = new Promise((resolve) => pool.query('select pg_sleep(30) /* called back */', resolve));
    await letTimePass(clock, 'called back');
    expect(await error).toMatchObject(TIMED_OUT);
  });

  it('holds for a borrowed client, which is of no more use then', async () => {
    const { pool, clock } = createPool();
    const client = await pool.connect();
    const queued = client.query('select pg_sleep(30) /* held */').catch((error: unknown) => error);
    const behind = client.query('select 1').catch((error: unknown) => error);
    await letTimePass(clock, 'held');
    expect(await queued).toMatchObject(TIMED_OUT);
    expect(await behind).toBeInstanceOf(Error);
    await expect(client.query('select 1')).rejects.toBeInstanceOf(Error);
    client.release();
    await pool.query('select 1');
    await vi.waitFor(async () => expect(await running('held')).toBe(0));
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { 'query-timeout': 1 }, inUse: 0 });
  });

  it('holds for Kysely, inside and outside a transaction', async () => {
    const { pool, clock } = createPool();
    const db = createKysely<object>(pool);
    const outside = expect(sql`select pg_sleep(30) /* outside */`.execute(db)).rejects.toMatchObject(TIMED_OUT);
    await letTimePass(clock, 'outside');
    await outside;
    const inside = expect(
      db.transaction().execute((transaction) => sql`select pg_sleep(30) /* inside */`.execute(transaction)),
    ).rejects.toMatchObject(TIMED_OUT);
    await letTimePass(clock, 'inside');
    await inside;
    expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ opened: 3, closed: { 'query-timeout': 2 }, inUse: 0 });
  });

  it('is overruled by the query’s own query_timeout, and is off at 0', async () => {
    const { pool, clock } = createPool({ queryTimeoutMs: 0 });
    const own = (timeoutMs: number): QueryConfig =>
      ({ text: `select pg_sleep(30) /* within ${timeoutMs} */`, query_timeout: timeoutMs }) as QueryConfig;
    const first = expect(pool.query(own(40))).rejects.toThrow('within 40 ms');
    await letTimePass(clock, 'within 40');
    await first;
    const client = await pool.connect();
    const second = expect(client.query(own(30))).rejects.toThrow('within 30 ms');
    await letTimePass(clock, 'within 30');
    await second;
    client.release();
    await using gate = await Gate.closed(proxied.database.url);
    const unlimited = pool.query(`select ${gate.passed}`);
    await gate.waitedAt();
    await clock.advance(3_600_000);
    await gate.open();
    await unlimited;
  });

  it('ends a query whose connection went silent, and frees the slot although nobody can be asked to cancel', async () => {
    const { pool, clock } = createPool();
    const { proxy } = proxied.pools;
    await pool.query('select 1');
    await proxy.stall();
    proxy.blackhole();
    const late = expect(pool.query('select 1 as swallowed')).rejects.toMatchObject(TIMED_OUT);
    await clock.advance(TIMEOUT_MS + 10);
    await late;
    await proxy.forward();
    // As long as a request to cancel may take.
    await clock.advance(1_010);
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('counts a cancel request that failed', async () => {
    const { pool, clock } = createPool({ statementTimeoutMs: 4_000 });
    const { proxy } = proxied.pools;
    await pool.query('select 1');
    const late = expect(pool.query('select pg_sleep(30) /* uncancelled */')).rejects.toMatchObject(TIMED_OUT);
    await proxy.refuse();
    await clock.advance(TIMEOUT_MS + 10);
    await late;
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ cancelFailures: 1, size: 0, closing: 0 }));
    await proxy.forward();
    await vi.waitFor(async () => expect(await running('uncancelled')).toBe(0));
  });

  it('leaves no deadline behind when a query was answered', async () => {
    const { pool, clock } = createPool({ queryTimeoutMs: 60_000 });
    for (let query = 0; query < 30; query++) await pool.query('select 1');
    await pool.query('select 1/0').catch(() => undefined);
    await vi.waitFor(() => expect(pool.idleCount).toBe(1));
    await clock.advance(60_100);
    await pool.query('select 1');
    expect(pool.statistics()).toMatchObject({ opened: 1, closed: { 'query-timeout': 0 } });
  });
});
