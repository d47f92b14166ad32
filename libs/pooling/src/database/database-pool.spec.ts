import { Socket } from 'node:net';
import { inspect } from 'node:util';
import type { Client, QueryResultRow } from 'pg';
import { TcpProxy } from 'nestjs-pooling/testing';
import { urlAt, useTestDatabase } from '#test/support/database.js';
import { Gate } from '#test/support/gate.js';
import { refusedAfterDial } from '#test/support/turned-time.js';
import { usePools } from '#test/support/pools.js';
import { ManualClock } from '../testing/manual-clock.js';
import { DatabasePool } from './database-pool.js';

const database = useTestDatabase();
const createPool = usePools('orders', () => ({ url: database.url }));
let proxy: TcpProxy;

beforeAll(async () => {
  proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
});
afterAll(() => proxy.close());

async function first<Row extends QueryResultRow = Record<string, unknown>>(
  pool: DatabasePool,
  text: string,
): Promise<Row | undefined> {
  return (await pool.query<Row>(text)).rows[0];
}

/** The connections that the server counts for an application. */
async function backends(applicationName: string): Promise<number> {
  const rows = await database.query<{ pid: number }>(
    'select pid from pg_stat_activity where application_name = $1 and datname = current_database()',
    [applicationName],
  );
  return rows.length;
}

/** Leases so many connections at once and gives them back: afterwards they are open. */
async function fill(pool: DatabasePool, count: number): Promise<void> {
  const clients = await Promise.all(Array.from({ length: count }, () => pool.connect()));
  for (const client of clients) client.release();
}

describe('the options of a DatabasePool', () => {
  it('size and maxOverflow bound the connections on the server; the surplus goes when nobody waits', async () => {
    const pool = createPool({ size: 2, maxOverflow: 2, applicationName: 'bounds' });
    let most = 0;
    let full = false;
    await Promise.all(
      Array.from({ length: 30 }, async () => {
        await pool.withConnection(async (client) => {
          await client.query('select 1');
          most = Math.max(most, pool.totalCount);
          // However long a dial takes, all that are allowed are open before the first is given back.
          await vi.waitFor(() => {
            full ||= pool.totalCount === 4;
            expect(full).toBe(true);
          });
        });
      }),
    );
    expect(most).toBe(4);
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ size: 2, idle: 2, overflow: 0, closing: 0 }));
    expect(pool.statistics().closed.overflow).toBeGreaterThanOrEqual(2);
    await vi.waitFor(async () => expect(await backends('bounds')).toBe(2));
  });

  it('minIdle opens connections after start, and again when they are lost', async () => {
    const pool = createPool({ minIdle: 3, applicationName: 'minimum' });
    expect(pool.totalCount).toBe(0);
    pool.start();
    await vi.waitFor(() => expect(pool.idleCount).toBe(3));
    await database.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'minimum'");
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ idle: 3, opened: 6 }));
  });

  it('acquireTimeoutMs ends an acquire with everything needed to act; connect takes its own', async () => {
    const clock = new ManualClock();
    const pool = createPool({ size: 1, maxOverflow: 0, acquireTimeoutMs: 300 }, { clock });
    const client = await pool.connect();
    await client.query('select 42 as held');
    const late = expect(pool.query('select 1')).rejects.toMatchObject({
      code: 'ERR_POOL_ACQUIRE_TIMEOUT',
      message: expect.stringMatching(
        /^orders: no connection within 300 ms \(1 of 1 in use, 1 waiting\)\. Longest held: .*select 42 as held/,
      ),
    });
    await clock.advance(310);
    await late;
    const sooner = expect(pool.connect({ timeoutMs: 20 })).rejects.toThrow('within 20 ms');
    await clock.advance(30);
    await sooner;
    client.release();
  });

  it('connectTimeoutMs ends a dial to a server that accepts and says nothing, and leaves no socket', async () => {
    await proxy.stall();
    const sockets: Socket[] = [];
    const stream = (): Socket => {
      const socket = new Socket();
      sockets.push(socket);
      return socket;
    };
    const clock = new ManualClock();
    const pool = createPool(
      { connectTimeoutMs: 60, acquireTimeoutMs: 100, url: viaProxy(), connection: { stream } },
      { clock },
    );
    const late = expect(pool.query('select 1')).rejects.toMatchObject({
      code: 'ERR_POOL_ACQUIRE_TIMEOUT',
      cause: { code: 'ETIMEDOUT' },
    });
    await clock.advance(110);
    await late;
    expect(pool.statistics().connectErrors).toBeGreaterThan(0);
    await pool.close({ deadlineMs: 0 });
    expect(sockets.length).toBeGreaterThan(0);
    expect(sockets.filter((socket) => !socket.destroyed)).toEqual([]);
    await proxy.forward();
  });

  it('the connect error of the server is the cause of what an acquire fails with', async () => {
    const url = database.url.replace(database.name, 'no_such_database');
    const pool = createPool({ url });
    await expect(pool.query('select 1')).rejects.toMatchObject({
      cause: { code: '3D000' },
      message: expect.stringContaining('no_such_database'),
    });
    expect(pool.statistics().lastConnectError).toMatchObject({ code: '3D000' });
  });

  it('idleTimeoutMs closes what idles beyond minIdle', async () => {
    const pool = createPool({ idleTimeoutMs: 100, minIdle: 1, size: 4 });
    await fill(pool, 3);
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ size: 1, idle: 1 }));
    expect(pool.statistics().closed.idle).toBeGreaterThanOrEqual(2);
  });

  it('maxLifetimeMs and lifetimeJitter recycle a connection by its age', async () => {
    const clock = new ManualClock();
    const pool = createPool(
      { maxLifetimeMs: 1_000, lifetimeJitter: 0.5, prePing: false },
      { clock, random: () => 0.5 },
    );
    await pool.query('select 1');
    await clock.advance(740);
    await pool.query('select 1');
    expect(pool.statistics().opened).toBe(1);
    await clock.advance(20);
    await pool.query('select 1');
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { lifetime: 1 } });
  });

  it('maxUses recycles a connection after so many leases', async () => {
    const pool = createPool({ maxUses: 3 });
    const pids = new Set<unknown>();
    for (let query = 0; query < 7; query++) pids.add((await first(pool, 'select pg_backend_pid() as pid'))?.['pid']);
    expect(pids.size).toBe(3);
    expect(pool.statistics().closed.uses).toBe(2);
  });

  it('prePing replaces a connection that died unnoticed, unseen by the borrower', async () => {
    await proxy.forward();
    const pool = createPool({ url: viaProxy(), prePing: { idleMs: 0, timeoutMs: 80 } });
    await pool.query('select 1');
    proxy.blackhole();
    const answer = pool.query('select 1 as one');
    await proxy.forward();
    expect((await answer).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ opened: 2, closed: { invalid: 1 } });
  });

  it('keepAliveMs pings idle connections in the background', async () => {
    const pool = createPool({ keepAliveMs: 100, url: viaProxy() });
    await pool.query('select 1');
    proxy.resetCounters();
    await vi.waitFor(() => expect(proxy.bytes.toServer).toBeGreaterThan(0));
    expect(pool.statistics()).toMatchObject({ opened: 1 });
  });

  it('maxWaiting refuses the one too many at once', async () => {
    const pool = createPool({ size: 1, maxOverflow: 0, maxWaiting: 1 });
    const client = await pool.connect();
    const waiting = pool.connect();
    await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_QUEUE_FULL' });
    client.release();
    (await waiting).release();
  });

  it('maxConnecting bounds the dials under way', async () => {
    await proxy.stall();
    const pool = createPool({ url: viaProxy(), maxConnecting: 2, acquireTimeoutMs: 200, connectTimeoutMs: 5_000 });
    const acquires = Array.from({ length: 8 }, () => pool.connect().catch(() => 'late'));
    await vi.waitFor(() => expect(pool.statistics().connecting).toBeGreaterThan(0));
    expect(pool.statistics().connecting).toBeLessThanOrEqual(2);
    expect(await Promise.all(acquires)).toEqual(Array(8).fill('late'));
    await proxy.forward();
  });

  it('statementTimeoutMs, lockTimeoutMs and idleInTransactionTimeoutMs reach the server; 0 leaves its own', async () => {
    const settings = `select current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock,
      current_setting('idle_in_transaction_session_timeout') as idle`;
    const given = createPool({ statementTimeoutMs: 1_234, lockTimeoutMs: 567, idleInTransactionTimeoutMs: 890 });
    expect(await first(given, settings)).toEqual({ statement: '1234ms', lock: '567ms', idle: '890ms' });
    await database.query(`alter database ${database.name} set statement_timeout = '77s'`);
    const own = createPool({ statementTimeoutMs: 0 });
    expect(await first(own, settings)).toMatchObject({ statement: '77s', lock: '0' });
    await database.query(`alter database ${database.name} reset statement_timeout`);
  });

  it('statementTimeoutMs ends a statement on the server, and the connection stays', async () => {
    const pool = createPool({ statementTimeoutMs: 30 });
    await expect(pool.query('select pg_sleep(30)')).rejects.toMatchObject({ code: '57014' });
    // On a busy machine this takes longer than 30 ms as well.
    await vi.waitFor(() => pool.query('select 1'));
    expect(pool.statistics().opened).toBe(1);
  });

  it('session settings are made after connecting, in one round trip, never in the start-up packet', async () => {
    const started = proxy.cutWhen({ bytes: 'search_path' });
    const pool = createPool({
      url: viaProxy(),
      session: { timezone: 'Asia/Tokyo', search_path: "odd'name, pg_catalog", work_mem: '8MB', jit: false },
    });
    const answered = pool.query('show timezone');
    // The first connection is cut at the bytes: it had been logged in by then, which the server's log-in answer shows.
    await started;
    expect((await answered).rows).toEqual([{ TimeZone: 'Asia/Tokyo' }]);
    expect(await first(pool, 'show search_path')).toEqual({ search_path: "odd'name, pg_catalog" });
    expect(await first(pool, 'show work_mem')).toEqual({ work_mem: '8MB' });
    expect(await first(pool, 'show jit')).toEqual({ jit: 'off' });
    const sources = await first(pool, `select source from pg_settings where name = 'work_mem'`);
    expect(sources).toEqual({ source: 'session' });
  });

  it('a session setting that the server refuses is a failed dial with the server’s words', async () => {
    const pool = createPool({ session: { no_such_setting: 1 } });
    await expect(pool.query('select 1')).rejects.toMatchObject({ cause: { code: '42704' } });
  });

  it('onConnect runs once for each connection, and a failure is a failed dial', async () => {
    const connected: Client[] = [];
    const pool = createPool({
      onConnect: async (client) => {
        await client.query("set application_name = 'renamed'");
        connected.push(client);
      },
    });
    expect(await first(pool, 'show application_name')).toEqual({ application_name: 'renamed' });
    await pool.query('select 1');
    expect(connected).toHaveLength(1);
    const clock = new ManualClock();
    const fails = (): never => {
      throw new Error('not today');
    };
    const failing = createPool({ acquireTimeoutMs: 100, applicationName: 'failing', onConnect: fails }, { clock });
    expect(await refusedAfterDial(failing, clock)).toMatchObject({ cause: { message: 'not today' } });
    expect(failing.statistics()).toMatchObject({ size: 0, opened: 0 });
    await vi.waitFor(async () => expect(await backends('failing')).toBe(0));
  });

  it('onAcquire runs at each lease; a failure destroys the connection, is seen by the borrower, and costs no slot', async () => {
    let leases = 0;
    const pool = createPool({
      size: 1,
      maxOverflow: 0,
      onAcquire: async (client) => {
        leases++;
        if (leases % 2 === 0) throw new Error(`lease ${leases}`);
        await client.query("set application_name = 'acquired'");
      },
    });
    for (let round = 0; round < 3; round++) {
      expect(await first(pool, 'show application_name')).toEqual({ application_name: 'acquired' });
      await expect(pool.query('select 1')).rejects.toThrow(/^lease/);
    }
    expect(pool.statistics()).toMatchObject({ closed: { invalid: 3 }, opened: 3 });
  });

  it('applicationName is shown in pg_stat_activity', async () => {
    const pool = createPool({ applicationName: 'the application' });
    await pool.query('select 1');
    expect(await backends('the application')).toBe(1);
  });

  it('leakDetectionMs reports a lease that is held too long, with the code that acquired it, and its return', async () => {
    const leaked = vi.fn<(report: object) => void>();
    const unleaked = vi.fn<(report: object) => void>();
    const pool = createPool(
      { leakDetectionMs: 20 },
      { observer: { leaked, unleaked }, label: () => 'OrdersController.create' },
    );
    const client = await pool.connect();
    await client.query('select 1 as leaking');
    await vi.waitFor(() => expect(leaked).toHaveBeenCalledOnce());
    expect(leaked.mock.calls[0]?.[0]).toMatchObject({
      label: 'OrdersController.create',
      stack: expect.stringContaining('database-pool.spec.ts') as string,
      activity: { statement: 'select 1 as leaking' },
    });
    expect(pool.holders()).toMatchObject([{ label: 'OrdersController.create', leaked: true }]);
    client.release();
    expect(unleaked).toHaveBeenCalledOnce();
    expect(pool.statistics().leaks).toBe(1);
  });

  it('leakDetectionMs takes no slow single query for a leak: it comes back by itself', async () => {
    const leaked = vi.fn<(report: object) => void>();
    const clock = new ManualClock();
    const label = (): string => 'OrdersController.list';
    const pool = createPool({ leakDetectionMs: 20 }, { observer: { leaked }, label, clock });
    await using gate = await Gate.closed(database.url);
    const slow = pool.query(`select ${gate.passed}`);
    await gate.waitedAt();
    await clock.advance(10_000);
    expect(pool.holders()).toMatchObject([{ label: label(), heldMs: 10_000, statement: `select ${gate.passed}` }]);
    await gate.open();
    await slow;
    expect(leaked).not.toHaveBeenCalled();
  });

  it('keeps sockets alive by default', async () => {
    const calls: unknown[] = [];
    const stream = (): Socket => {
      const socket = new Socket();
      const setKeepAlive = socket.setKeepAlive.bind(socket);
      socket.setKeepAlive = (...parameters) => {
        calls.push(parameters);
        return setKeepAlive(...parameters);
      };
      return socket;
    };
    await createPool({ connection: { stream } }).query('select 1');
    expect(calls).toEqual([[true, 10_000]]);
    await createPool({ connection: { stream, keepAlive: false } }).query('select 1');
    expect(calls).toHaveLength(1);
  });
});

describe('a DatabasePool', () => {
  it('can be made without a name', async () => {
    await using pool = new DatabasePool({ url: database.url, size: 1 });
    expect(pool).toMatchObject({ name: 'default', configuration: { size: 1 } });
    await pool.query('select 1');
  });

  it('connects on first use, not before', async () => {
    const pool = createPool({ applicationName: 'lazy' });
    expect(await backends('lazy')).toBe(0);
    await pool.query('select 1');
    expect(await backends('lazy')).toBe(1);
  });

  it('withConnection gives the connection back whatever happens', async () => {
    const pool = createPool({ size: 1, maxOverflow: 0 });
    expect(await pool.withConnection(async (client) => (await client.query('select 7 as n')).rows as unknown)).toEqual([
      { n: 7 },
    ]);
    await expect(pool.withConnection(() => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
    await expect(
      pool.withConnection(() => {
        throw new Error('at once');
      }),
    ).rejects.toThrow('at once');
    await pool.withConnection((client) => client.release());
    expect(pool.statistics()).toMatchObject({ inUse: 0, idle: 1 });
  });

  it('connect can be aborted, before and while it waits', async () => {
    const pool = createPool({ size: 1, maxOverflow: 0 });
    const client = await pool.connect();
    const reason = new Error('changed my mind');
    await expect(pool.connect({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const abort = new AbortController();
    const waiting = pool.connect({ signal: abort.signal });
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(pool.waitingCount).toBe(0);
    client.release();
    expect(pool.idleCount).toBe(1);
  });

  it('calls back an error of connect with a done that does nothing', async () => {
    const clock = new ManualClock();
    const pool = createPool({ size: 1, maxOverflow: 0, acquireTimeoutMs: 300 }, { clock });
    const client = await pool.connect();
    const called = new Promise<unknown[]>((resolve) => {
      pool.connect((error, none, done) => {
        done();
        resolve([error, none]);
      });
    });
    await clock.advance(310);
    expect(await called).toEqual([expect.objectContaining({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' }), undefined]);
    client.release();
  });

  it('an SQL error costs no connection', async () => {
    const pool = createPool({ size: 1 });
    for (let query = 0; query < 20; query++) await pool.query('select 1/0').catch(() => undefined);
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1 });
  });

  it('leads a query’s error back to the code that asked', async () => {
    const pool = createPool();
    const error = await pool.query('select 1/0').catch((caught: Error) => caught);
    expect((error as Error).stack).toContain('database-pool.spec.ts');
  });

  it('shows who holds connections and what they do, without values', async () => {
    const pool = createPool({}, { label: () => 'OrdersController.list' });
    const client = await pool.connect();
    await client.query('begin');
    const slow = client.query('select $1::text,   pg_sleep(0.05)', ['a secret value']);
    expect(pool.holders()).toEqual([
      {
        connection: expect.any(Number) as number,
        heldMs: expect.any(Number) as number,
        leaked: false,
        label: 'OrdersController.list',
        statement: 'select $1::text, pg_sleep(0.05)',
        active: true,
        inTransaction: true,
        statements: 2,
        serverId: expect.any(Number) as number,
      },
    ]);
    await slow;
    expect(pool.holders()[0]).toMatchObject({ active: false, inTransaction: true });
    await client.query('rollback');
    client.release();
    expect(pool.holders()).toEqual([]);
  });

  it('shows nothing of what somebody else ran on a connection before', async () => {
    const pool = createPool({ size: 1, maxOverflow: 0 });
    await pool.query("select 'somebody else'");
    const client = await pool.connect();
    expect(pool.holders()[0]).not.toHaveProperty('statement');
    await client.query('select 1');
    expect(pool.holders()[0]).toMatchObject({ statement: 'select 1' });
    client.release();
  });

  it('counts what its borrowers run, and not what it runs itself', async () => {
    const pool = createPool({ size: 1, maxOverflow: 0 });
    await pool.query('select 1');
    await pool.withConnection(async (client) => {
      await client.query('begin');
      await client.query('select 2');
    });
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ queries: 3, transactionsLeftOpen: 1 }));
  });

  it('terminate takes a connection from its borrower', async () => {
    const pool = createPool({ size: 1, maxOverflow: 0 });
    const client = await pool.connect();
    const query = client.query('select pg_sleep(30)').catch((error: Error) => error.message);
    expect(pool.terminate(pool.holders()[0]?.connection as number)).toBe(true);
    expect(await query).toMatch(/Connection terminated/);
    expect(() => client.release()).toThrow(expect.objectContaining({ code: 'ERR_POOL_LEASE_RELEASED' }));
    expect(pool.terminate(999)).toBe(false);
    await pool.query('select 1');
  });

  it('expireAll replaces every connection when it is next idle', async () => {
    const pool = createPool();
    const client = await pool.connect();
    await pool.query('select 1');
    pool.expireAll();
    expect(await client.query('select 1')).toMatchObject({ rowCount: 1 });
    client.release();
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ size: 0, closed: { expired: 2 } }));
    await pool.query('select 1');
  });

  it('suspend makes acquires wait for resume', async () => {
    const clock = new ManualClock();
    const pool = createPool({ acquireTimeoutMs: 300 }, { clock });
    await pool.query('select 1');
    pool.suspend();
    const refused = expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_SUSPENDED' });
    await clock.advance(310);
    await refused;
    const waiting = pool.connect({ timeoutMs: 5_000 });
    pool.resume();
    (await waiting).release();
  });

  it('resize changes the bounds, within reason', async () => {
    const pool = createPool({ size: 1, maxOverflow: 0 });
    pool.resize({ size: 3 });
    await fill(pool, 3);
    expect(pool.statistics()).toMatchObject({ size: 3, max: 3 });
    pool.resize({ size: 1, maxOverflow: 1 });
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ size: 1, max: 2 }));
    expect(() => pool.resize({ size: 0, maxOverflow: -1 })).toThrow(
      expect.objectContaining({
        code: 'ERR_POOL_OPTIONS_INVALID',
        message: expect.stringMatching(/size: 0[^]*maxOverflow: -1/) as string,
      }),
    );
  });

  it('close refuses waiters, lets leases finish until its deadline, and names who was cut off', async () => {
    const pool = createPool({ size: 1, maxOverflow: 0, applicationName: 'closing' });
    const client = await pool.connect();
    const cut = client.query('select pg_sleep(30)').catch((error: Error) => error.message);
    const refused = pool.connect().catch((error: unknown) => error);
    const report = await pool.close({ deadlineMs: 20 });
    expect(report).toMatchObject({ graceful: false, refused: 1, destroyed: [{ statement: 'select pg_sleep(30)' }] });
    expect(await refused).toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect(await cut).toMatch(/Connection terminated/);
    expect(await pool.close()).toBe(report);
    await pool.end();
    await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
    await expect(pool.ping()).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect(pool.statistics()).toMatchObject({ state: 'closed', size: 0, acquired: 1, released: 1 });
  });

  it('beginDrain still serves, and opens nothing ahead of demand', async () => {
    const pool = createPool({ minIdle: 2 });
    pool.start();
    await vi.waitFor(() => expect(pool.idleCount).toBe(2));
    pool.beginDrain();
    await pool.query('select 1');
    expect(pool.statistics()).toMatchObject({ state: 'draining' });
  });

  it('is disposed of by await using', async () => {
    let used: DatabasePool;
    {
      await using pool = new DatabasePool({ url: database.url });
      await pool.query('select 1');
      used = pool;
    }
    expect(used.ended).toBe(true);
  });

  it('shows no password however it is printed, and keeps one for those who dial with its options', async () => {
    const url = database.url
      .replace('postgres@', 'postgres:sup3r-s3cret@')
      .replace('postgres:@', 'postgres:sup3r-s3cret@');
    expect(url).toContain('sup3r-s3cret');
    const pool = createPool({ url });
    const client = await pool.connect();
    for (const shown of [pool, pool.options, pool.configuration, client]) {
      expect(inspect(shown, { depth: 9 })).not.toContain('sup3r-s3cret');
      expect(JSON.stringify(shown === pool || shown === client ? null : shown)).not.toContain('sup3r-s3cret');
    }
    client.release();
    const { password } = pool.options;
    expect((password as () => string)()).toBe('sup3r-s3cret');
  });

  it('emits error only when somebody listens: a lost idle connection never ends the process', async () => {
    const pool = createPool({ applicationName: 'unheard' });
    await pool.query('select 1');
    await database.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'unheard'");
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ size: 0, closed: { broken: 1 } }));
    expect(await first(pool, 'select 1 as one')).toEqual({ one: 1 });
  });

  it('what a listener throws doesn’t disturb the pool', async () => {
    const pool = createPool();
    const thrown: unknown[] = [];
    const collect = (error: unknown): void => void thrown.push(error);
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', collect);
    try {
      pool.on('acquire', () => {
        throw new Error('listener');
      });
      expect(await first(pool, 'select 1 as one')).toEqual({ one: 1 });
      await vi.waitFor(() => expect(thrown).toEqual([expect.objectContaining({ message: 'listener' })]));
    } finally {
      process.off('uncaughtException', collect);
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
    expect(pool.statistics().inUse).toBe(0);
  });

  it('closes nothing twice and loses no slot when its connections are cut in all states', async () => {
    await proxy.forward();
    const pool = createPool({ url: viaProxy(), size: 4, maxOverflow: 0, applicationName: 'cut' });
    await fill(pool, 4);
    const held = await pool.connect();
    const running = pool.query('select pg_sleep(30)').catch((error: Error) => error.message);
    await vi.waitFor(() => expect(pool.holders()).toHaveLength(2));
    proxy.cut('rst');
    await running;
    expect(() => held.release()).not.toThrow();
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ size: 0, inUse: 0, closed: { broken: 4 } }));
    await fill(pool, 4);
    expect(pool.statistics()).toMatchObject({ size: 4, idle: 4 });
  });
});

function viaProxy(): string {
  return urlAt(database.url, proxy.port);
}
