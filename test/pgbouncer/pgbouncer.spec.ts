import { sql } from 'kysely';
import type { DatabasePoolDependencies } from '#pooling/database/database-parts.js';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { TcpProxy } from '#pooling/testing/tcp-proxy.js';
import { Load } from '#test/faults/load.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { startDemo } from '#test/support/demo.js';
import { openIdle } from '#test/support/proxied-pools.js';
import { noneLost, slotsOf } from '#test/support/slots.js';
import { findPgBouncer, preparesByItself, PgBouncer, versionOf } from './pgbouncer.js';

const program = findPgBouncer();
if (program === undefined) {
  process.stderr.write(
    '\nNOT TESTED: PgBouncer is not installed (apt-get install pgbouncer): test/pgbouncer is left out\n',
  );
}

const POOL_SIZE = 3;

const version = program === undefined ? '' : versionOf(program);

describe.runIf(program !== undefined)(`through PgBouncer ${version} in transaction mode (needs pgbouncer)`, () => {
  let database: TestDatabase;
  let bouncer: PgBouncer;
  const open: DatabasePool[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
    bouncer = await PgBouncer.start(program as string, database.url, POOL_SIZE);
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((pool) => pool.close({ deadlineMs: 0 })));
  });
  afterAll(async () => {
    await bouncer[Symbol.asyncDispose]();
    await database.drop();
  });

  function createPool(options: DatabaseOptions = {}, dependencies: DatabasePoolDependencies = {}): DatabasePool {
    const usual: DatabaseOptions = {
      url: bouncer.url,
      size: 10,
      maxOverflow: 0,
      preparedStatements: false,
      statementTimeoutMs: 0,
      session: {},
      applicationName: 'bounced',
    };
    const pool = new DatabasePool('bounced', { ...usual, ...options }, dependencies);
    open.push(pool);
    return pool;
  }

  /** How many clients of the pool PgBouncer knows. */
  async function clients(): Promise<number> {
    const rows = await bouncer.command('SHOW CLIENTS');
    return rows.filter(({ application_name }) => application_name === 'bounced').length;
  }

  it('connects with every default: nothing that it refuses is in the start-up packet', async () => {
    await using pool = new DatabasePool('default', { url: bouncer.url });
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await using told = new DatabasePool('told', {
      url: `${bouncer.url}?statement_timeout=5000&lock_timeout=4000&idle_in_transaction_session_timeout=3000`,
      startup: 'lazy',
    });
    expect((await told.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('shares fewer connections to the server than it has, and prepares nothing there', async () => {
    const pool = createPool();
    await openIdle(pool, 10);
    const pids = new Set<number>();
    await Promise.all(
      Array.from({ length: 60 }, async (_, task) => {
        const text = 'select $1::int as task, pg_backend_pid() as pid, pg_sleep(0.005)';
        const { rows } = await pool.query<{ task: number; pid: number }>(text, [task]);
        expect(rows[0]?.task).toBe(task);
        pids.add(rows[0]?.pid as number);
      }),
    );
    expect(pids.size).toBeLessThanOrEqual(POOL_SIZE);
    expect(pool.statistics().opened).toBe(10);
    const prepared = await Promise.all(
      Array.from({ length: 6 }, () => pool.query('select statement from pg_prepared_statements')),
    );
    expect(prepared.flatMap(({ rows }) => rows as unknown[])).toEqual([]);
  });

  it('runs Kysely: transactions, savepoints, rollbacks, streams', async () => {
    const pool = createPool();
    const db = createKysely<{ entry: { id: number } }>(pool);
    await sql`create table entry (id int primary key)`.execute(db);
    await Promise.all(
      Array.from({ length: 20 }, (_, id) =>
        db.transaction().execute(async (transaction) => {
          await transaction.insertInto('entry').values({ id }).execute();
          if (id % 2 === 1) await sql`select 1/0`.execute(transaction);
        }),
      ).map((transaction, id) =>
        id % 2 === 1 ? expect(transaction).rejects.toMatchObject({ code: '22012' }) : transaction,
      ),
    );
    const streamed: number[] = [];
    for await (const { id } of db.selectFrom('entry').select('id').orderBy('id').stream(3)) streamed.push(id);
    expect(streamed).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
    expect(await slotsOf(pool)).toEqual(noneLost(10));
  });

  it('rolls back what a borrower left open', async () => {
    const pool = createPool({ size: 1 });
    const client = await pool.connect();
    await client.query('begin');
    await client.query('create table never (id int)');
    client.release();
    expect((await pool.query("select to_regclass('never') as never")).rows).toEqual([{ never: null }]);
    expect(pool.statistics()).toMatchObject({ transactionsLeftOpen: 1, opened: 1 });
  });

  it('cancels a query on the server that took too long', async () => {
    const clock = new ManualClock();
    const pool = createPool({ queryTimeoutMs: 200 }, { clock });
    const running = async (): Promise<unknown[]> =>
      database.query("select 1 from pg_stat_activity where query like '%/* bounced */' and wait_event = 'PgSleep'");
    const late = expect(pool.query('select pg_sleep(30) /* bounced */')).rejects.toMatchObject({
      code: 'ERR_POOL_QUERY_TIMEOUT',
    });
    await vi.waitFor(async () => expect(await running()).toHaveLength(1));
    await clock.advance(210);
    await late;
    await vi.waitFor(async () => expect(await running()).toEqual([]));
    expect(pool.statistics()).toMatchObject({ cancelFailures: 0, closed: { 'query-timeout': 1 } });
  });

  it('pings, pauses with it, and leaves no client behind', async () => {
    const pool = createPool();
    expect(await pool.ping()).toMatchObject({ status: 'up' });
    await bouncer.command('PAUSE');
    const waiting = pool.query('select 1 as one');
    const early = await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 200, 'waiting'))]);
    await bouncer.command('RESUME');
    expect(early).toBe('waiting');
    expect((await waiting).rows).toEqual([{ one: 1 }]);
    expect(await pool.ping()).toMatchObject({ status: 'up' });
    expect(await clients()).toBeGreaterThan(0);
    await pool.close();
    await vi.waitFor(async () => expect(await clients()).toBe(0));
  });

  it('survives its restart under load: only queries in flight fail, and all is well with the first dial after it', async () => {
    const pool = createPool();
    const load = Load.onPool(pool, 32);
    await load.progress(300);
    await bouncer.stop();
    await new Promise((resolve) => setTimeout(resolve, 200));
    await bouncer.start();
    const { connectErrors } = pool.statistics();
    await load.progress(200);
    // Those under way when it was back.
    expect(pool.statistics().connectErrors - connectErrors).toBeLessThanOrEqual(4);
    const failures = load.failures.length;
    expect(failures).toBeLessThanOrEqual(10);
    await load.progress(300);
    await load.stop();
    expect(load.failures).toHaveLength(failures);
    expect(await slotsOf(pool)).toEqual(noneLost(10));
  });

  it('sees nothing when its connections to the server are ended between transactions', async () => {
    const pool = createPool();
    await Promise.all(Array.from({ length: 10 }, () => pool.query('select pg_sleep(0.01)')));
    await database.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bounced'");
    // PgBouncer notices before the next transaction is assigned one of them.
    await vi.waitFor(async () => {
      const servers = await bouncer.command('SHOW SERVERS');
      expect(servers.filter(({ application_name }) => application_name === 'bounced')).toEqual([]);
    });
    const { opened } = pool.statistics();
    await Promise.all(Array.from({ length: 10 }, () => pool.query('select 1')));
    expect(pool.statistics()).toMatchObject({ opened, closed: { broken: 0 } });
  });

  it('runs a query once whose answer PgBouncer has lost with its connection to the server', async () => {
    await database.query('drop table if exists entry; create table entry (name text)');
    const { hostname, port } = new URL(database.url);
    await using proxy = await TcpProxy.listen({ host: hostname, port: Number(port) });
    const proxied = new URL(database.url);
    proxied.port = String(proxy.port);
    await using behind = await PgBouncer.start(program as string, proxied.href, 1);
    const pool = createPool({ url: behind.url, size: 1, preparedStatements: { max: 10 } });
    const insert = 'insert into entry values ($1)';
    for (let use = 0; use < 3; use++) await pool.query(insert, ['before']);
    const stored = async (): Promise<unknown> => database.query("select name from entry where name = 'lost'");
    proxy.blackhole('toClient');
    const answer = pool.query(insert, ['lost']).catch((error: unknown) => error);
    await vi.waitFor(async () => expect(await stored()).toHaveLength(1));
    proxy.cut('rst');
    await proxy.forward();
    expect(await answer).toMatchObject({ severity: 'FATAL' });
    expect(await stored()).toHaveLength(1);
    await pool.query(insert, ['after']);
  });

  describe.runIf(preparesByItself(version))('that prepares by itself (needs PgBouncer 1.21)', () => {
    const TEXT = 'select * from item where id >= $1';

    beforeEach(async () => {
      await database.query('drop table if exists item; create table item (id int, a text, b text)');
      await database.query("insert into item values (1, 'of a', 'of b')");
    });

    async function prepare(pool: DatabasePool): Promise<void> {
      const before = [{ id: 1, a: 'of a', b: 'of b' }];
      for (let use = 0; use < 4; use++) expect((await pool.query(TEXT, [1])).rows).toEqual(before);
    }

    it('gives rows under the names that the server holds now, on whichever connection to it', async () => {
      const pool = createPool({ size: 1, preparedStatements: {} });
      await prepare(pool);
      await database.query("alter table item drop a; alter table item add c text default 'of c'");
      await bouncer.command('RECONNECT');
      for (let use = 0; use < 3; use++) {
        expect((await pool.query(TEXT, [1])).rows).toEqual([{ id: 1, b: 'of b', c: 'of c' }]);
      }
      await database.query('alter table item drop c');
      await bouncer.command('RECONNECT');
      for (let use = 0; use < 3; use++) expect((await pool.query(TEXT, [1])).rows).toEqual([{ id: 1, b: 'of b' }]);
      expect(pool.statistics()).toMatchObject({ opened: 1 });
      expect(pool.statistics().preparedStatementHits).toBeGreaterThan(4);
    });

    it('lets no query see a changed schema, though it tells statements apart by their texts alone', async () => {
      const pool = createPool({ size: 1, preparedStatements: {} });
      await prepare(pool);
      await database.query('alter table item alter id type text');
      expect((await pool.query(TEXT, ['0'])).rows).toHaveLength(1);
      await pool.withConnection(async (client) => {
        await client.query('begin');
        expect((await client.query(TEXT, ['0'])).rows).toHaveLength(1);
        await client.query('commit');
      });
      const { preparedStatementHits } = pool.statistics();
      for (let use = 0; use < 3; use++) await pool.query(TEXT, ['0']);
      expect(pool.statistics().preparedStatementHits).toBe(preparedStatementHits + 3);
    });
  });

  describe('session settings', () => {
    it('made by SET reach whoever comes next on the same connection to the server', async () => {
      await using alone = await PgBouncer.start(program as string, database.url, 1);
      await using impatient = new DatabasePool('impatient', {
        url: alone.url,
        size: 1,
        preparedStatements: false,
        statementTimeoutMs: 1_234,
      });
      await impatient.query('select 1');
      await using other = new DatabasePool('other', {
        url: alone.url,
        size: 1,
        preparedStatements: false,
        statementTimeoutMs: 0,
        session: {},
      });
      expect((await other.query('show statement_timeout')).rows).toEqual([{ statement_timeout: '1234ms' }]);
    });

    it('that PgBouncer keeps track of are each client’s own: the time zone', async () => {
      await using alone = await PgBouncer.start(program as string, database.url, 1);
      const zones = ['UTC', 'Asia/Tokyo'];
      for (const zone of [...zones, ...zones]) {
        await using pool = new DatabasePool(zone, {
          url: alone.url,
          statementTimeoutMs: 0,
          session: { timezone: zone },
        });
        expect((await pool.query('show timezone')).rows).toEqual([{ TimeZone: zone }]);
      }
    });

    it('of the role are everybody’s own, whatever connection they get', async () => {
      const role = `bounced_${Date.now()}`;
      await database.query(`create role ${role} login`);
      try {
        await database.query(`alter role ${role} set statement_timeout = '4321ms'`);
        const url = new URL(database.url);
        url.username = role;
        await using alone = await PgBouncer.start(program as string, url.href, 2);
        await using pool = new DatabasePool('by role', {
          url: alone.url,
          size: 4,
          preparedStatements: false,
          statementTimeoutMs: 0,
          session: {},
        });
        const shown = await Promise.all(Array.from({ length: 12 }, () => pool.query('show statement_timeout')));
        for (const { rows } of shown) expect(rows).toEqual([{ statement_timeout: '4321ms' }]);
      } finally {
        await database.query(`drop role ${role}`);
      }
    });
  });

  it('runs the demo: seeding, orders, health, and an end that leaves no client', async () => {
    const demo = await startDemo({ DATABASE_URL: bouncer.url, PREPARED_STATEMENTS: 'false' });
    onTestFinished(() => void demo.child.process.kill('SIGKILL'));
    const get = async (path: string): Promise<{ status: number; body: Record<string, unknown> }> => {
      const response = await fetch(demo.shop + path);
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    expect(await get('/health')).toMatchObject({ status: 200, body: { status: 'ok' } });
    const answers = await Promise.all(Array.from({ length: 100 }, (_, at) => get(`/orders/${at + 1}`)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 100 }, () => 200));
    const placed = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        fetch(`${demo.shop}/orders`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ customerId: at + 1, lines: [{ productId: at + 1, quantity: 1 }] }),
        }),
      ),
    );
    for (const response of placed) expect([201, 409]).toContain(response.status);
    expect(placed.some(({ status }) => status === 201)).toBe(true);
    expect(await demo.stop()).toEqual({ code: 0, signal: null });
    const left = await bouncer.command('SHOW CLIENTS');
    expect(left.filter(({ application_name }) => application_name === 'shop')).toEqual([]);
  }, 60_000);
});
