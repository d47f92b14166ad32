import { Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { sql } from 'kysely';
import {
  DatabasePool,
  getDbPoolToken,
  PoolingModule,
  type DatabaseOptions,
  type SlowQueryReport,
} from 'nestjs-pooling';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import { PoolLog } from '#pooling/module/pool-log.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { TrackedSockets } from '#test/support/tracked-sockets.js';

let database: TestDatabase;
let clock: ManualClock;
let lines: Record<string, unknown>[];
let sockets: TrackedSockets;
const pools: DatabasePool[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(() => {
  clock = new ManualClock();
  lines = [];
  sockets = new TrackedSockets();
  vi.spyOn(Logger.prototype, 'warn').mockImplementation((line: unknown) => {
    if (typeof line === 'object') lines.push(line as Record<string, unknown>);
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
});
afterAll(() => database.drop());

/** A pool of one connection, which is open. */
async function openPool(options: DatabaseOptions, reports?: SlowQueryReport[]): Promise<DatabasePool> {
  const pool = new DatabasePool(
    'orders',
    {
      url: database.url,
      connection: { stream: sockets.make },
      size: 1,
      maxOverflow: 0,
      // Nothing but the statement runs while the clock is turned.
      prePing: false,
      keepAliveMs: 0,
      ...options,
    },
    {
      clock,
      label: () => 'OrdersController.create',
      observer: reports === undefined ? new PoolLog('orders', clock) : { slowQuery: (report) => reports.push(report) },
    },
  );
  pools.push(pool);
  await pool.query('select 1');
  return pool;
}

/** Runs a statement that takes so long by the clock. */
async function runFor(ms: number, run: () => Promise<unknown>): Promise<unknown> {
  sockets.pause();
  const ran = run();
  await vi.waitFor(() => expect(pools.at(-1)?.holders()).toMatchObject([{ active: true }]));
  await clock.advance(ms);
  sockets.resume();
  return ran;
}

describe('the log of slow acquires', () => {
  it('writes one object: how long it waited, for whom, and how full the pool was', async () => {
    const pool = await openPool({ slowAcquireMs: 500 });
    const client = await pool.connect();
    const [second, third] = [pool.connect(), pool.connect()];
    await clock.advance(800);
    client.release();
    (await second).release();
    (await third).release();
    expect(lines).toHaveLength(2);
    expect(lines[0]).toEqual({
      message: 'orders: slow acquire: 800 ms by OrdersController.create (1 of 1 in use, 1 waiting)',
      event: 'slow-acquire',
      pool: 'orders',
      waitMs: 800,
      thresholdMs: 500,
      inUse: 1,
      max: 1,
      waiting: 1,
      label: 'OrdersController.create',
    });
  });

  it('is silent below the threshold, and about acquires that got nothing: those have an error', async () => {
    const pool = await openPool({ slowAcquireMs: 500, acquireTimeoutMs: 1_000 });
    const client = await pool.connect();
    const refused = expect(pool.connect()).rejects.toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
    await clock.advance(1_100);
    await refused;
    const next = pool.connect();
    await clock.advance(499);
    client.release();
    (await next).release();
    expect(lines).toEqual([]);
  });
});

describe('the log of slow queries', () => {
  it('writes one object: how long it took, the statement in one line, and never a parameter', async () => {
    const pool = await openPool({ slowQueryMs: 200 });
    const text = `select pg_sleep(0.05),\n        $1::text as secret, '${'x'.repeat(300)}' as filler`;
    await runFor(1_500, () => pool.query(text, ['parameter-value']));
    expect(lines).toHaveLength(1);
    const [line] = lines;
    expect(line).toMatchObject({
      message: expect.stringMatching(
        /^orders: slow query: 1\.5 s by OrdersController\.create: select pg_sleep\(0\.05\), \$1::text as secret, 'x+…$/,
      ) as string,
      event: 'slow-query',
      pool: 'orders',
      durationMs: 1_500,
      thresholdMs: 200,
      rows: 1,
      inTransaction: false,
      connection: 1,
      serverId: expect.any(Number) as number,
      label: 'OrdersController.create',
    });
    expect(line?.['statement']).toHaveLength(200);
    expect(JSON.stringify(lines)).not.toContain('parameter-value');
  });

  it('hears of every way to run one: the pool, a lease, a transaction, a query that fails, one that times out', async () => {
    const reports: SlowQueryReport[] = [];
    const pool = await openPool({ slowQueryMs: 200, queryTimeoutMs: 1_000 }, reports);
    await runFor(300, () => pool.query('select pg_sleep(0.05), 1'));
    const client = await pool.connect();
    await client.query('begin');
    await runFor(300, () => client.query('select pg_sleep(0.05), 2'));
    await client.query('rollback');
    await runFor(300, () => client.query('select pg_sleep(0.05), 1 / 0').catch(() => {}));
    await runFor(1_200, () => client.query('select pg_sleep(5)').catch(() => {}));
    client.release();
    expect(reports).toMatchObject([
      { statement: 'select pg_sleep(0.05), 1', inTransaction: false, rows: 1 },
      { statement: 'select pg_sleep(0.05), 2', inTransaction: true, rows: 1 },
      { statement: 'select pg_sleep(0.05), 1 / 0', error: '22012' },
      { statement: 'select pg_sleep(5)', error: 'ERR_POOL_QUERY_TIMEOUT' },
    ]);
    for (const failed of reports.slice(2)) expect(failed).not.toHaveProperty('rows');
  });

  it('hears of Kysely’s and of prepared ones', async () => {
    const reports: SlowQueryReport[] = [];
    const pool = await openPool({ slowQueryMs: 200 }, reports);
    const db = createKysely<unknown>(pool);
    const prepared = (): Promise<unknown> => pool.query('select pg_sleep(0.05), $1::int as prepared', [1]);
    await runFor(300, () => sql`select pg_sleep(0.05), 'kysely' as name`.execute(db));
    for (let use = 0; use < 3; use++) await runFor(300, prepared);
    expect(reports.map(({ statement }) => statement)).toEqual([
      "select pg_sleep(0.05), 'kysely' as name",
      ...Array.from({ length: 3 }, () => 'select pg_sleep(0.05), $1::int as prepared'),
    ]);
    expect(pool.statistics().preparedStatementHits).toBe(1);
  });

  it('is silent about quick ones', async () => {
    const pool = await openPool({ slowQueryMs: 200 });
    await runFor(100, () => pool.query('select pg_sleep(0.02)'));
    expect(lines).toEqual([]);
  });

  it('writes ten lines in ten seconds, and then how many more there were', async () => {
    const pool = await openPool({ slowQueryMs: 1 });
    for (let query = 1; query <= 25; query++) await runFor(query, () => pool.query('select pg_sleep(0.005)'));
    expect(lines).toHaveLength(10);
    await clock.advance(10_000);
    expect(lines.slice(10)).toEqual([
      {
        message: 'orders: 15 more slow queries in 10.0 s, the longest took 25 ms',
        event: 'slow-query',
        pool: 'orders',
        heldBack: 15,
        longestMs: 25,
        windowMs: 10_000,
      },
    ]);
    await runFor(5, () => pool.query('select pg_sleep(0.005)'));
    expect(lines).toHaveLength(12);
    await clock.advance(60_000);
    expect(lines).toHaveLength(12);
  });
});

describe('a transaction that is left open', () => {
  it('is told with the statement that ran last in it', async () => {
    const pool = await openPool({});
    await pool.query('create table if not exists note (body text)');
    await pool.withConnection(async (client) => {
      await client.query('begin');
      await client.query('insert into note (body) values ($1)', ['lost']);
    });
    await pool.query('select 1'); // it gets the connection when the rollback is done
    expect(lines).toEqual([
      {
        message:
          'orders: a connection came back with a transaction open: it is rolled back, and what it wrote is lost. Look for a forgotten COMMIT; it ran last: insert into note (body) values ($1)',
        event: 'transaction-left-open',
        pool: 'orders',
        statement: 'insert into note (body) values ($1)',
      },
    ]);
    expect((await pool.query('select * from note')).rows).toEqual([]);
  });

  it('is told ten times in ten seconds, and then counted', async () => {
    const pool = await openPool({});
    for (let round = 0; round < 12; round++) await pool.withConnection((client) => client.query('begin'));
    await pool.query('select 1');
    expect(lines).toHaveLength(10);
    await clock.advance(10_000);
    expect(lines.slice(10)).toEqual([
      {
        message: 'orders: 2 more connections came back with a transaction open in 10.0 s',
        event: 'transaction-left-open',
        pool: 'orders',
        heldBack: 2,
        windowMs: 10_000,
      },
    ]);
  });

  it('is nothing that ends well', async () => {
    const pool = await openPool({});
    for (const end of ['commit', 'rollback']) {
      await pool.withConnection(async (client) => {
        await client.query('begin');
        await client.query(end);
      });
    }
    await pool.query('select 1');
    expect(lines).toEqual([]);
  });
});

describe('in a Nest application', () => {
  it('the options of the database turn the logs on', async () => {
    const application = await Test.createTestingModule({
      imports: [
        PoolingModule.forRoot({
          database: { url: database.url, size: 1, maxOverflow: 0, slowQueryMs: 20, slowAcquireMs: 20 },
          http: false,
        }),
      ],
    }).compile();
    const pool = application.get<DatabasePool>(getDbPoolToken());
    await pool.query('select 1');
    lines.length = 0;
    await Promise.all([pool.query('select pg_sleep(0.1)'), pool.query('select 1 as next')]);
    await application.close();
    expect(lines.slice(0, 2)).toMatchObject([
      { event: 'slow-query', pool: 'default', statement: 'select pg_sleep(0.1)' },
      { event: 'slow-acquire', pool: 'default' },
    ]);
  });
});
