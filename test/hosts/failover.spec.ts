/** What an application sees when the primary of several hosts is another one: real replication, real promotions. */
import { createKysely, DatabasePool, retryTransaction, type DatabaseOptions } from 'nestjs-pooling';
import { PostgresCluster, type ClusterNode } from 'nestjs-pooling/testing';
import type { DatabasePoolDependencies } from '#pooling/database/database-parts.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { keepTurning, turn } from '#test/support/turned-time.js';

const pools: DatabasePool[] = [];
const clusters: PostgresCluster[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
  await Promise.all(clusters.splice(0).map((cluster) => cluster.close()));
});

async function startCluster(standbys = 2): Promise<PostgresCluster> {
  const cluster = await PostgresCluster.start({ standbys, authentication: 'trust' });
  clusters.push(cluster);
  return cluster;
}

function createPool(options: DatabaseOptions, dependencies: DatabasePoolDependencies = {}): DatabasePool {
  const pool = new DatabasePool('shop', { startup: 'lazy', size: 8, maxOverflow: 0, ...options }, dependencies);
  pools.push(pool);
  return pool;
}

type Nodes = [ClusterNode, ClusterNode, ClusterNode];

async function ask<Row extends object>(node: ClusterNode, text: string): Promise<Row[]> {
  const pool = new DatabasePool('admin', { url: node.server.url, size: 1 });
  try {
    return (await pool.query<Row>(text)).rows;
  } finally {
    await pool.close();
  }
}

async function portOf(pool: DatabasePool): Promise<number> {
  const { rows } = await pool.query<{ port: number }>('select inet_server_port() as port');
  return rows[0]?.port as number;
}

/** Fills a pool with idle connections. */
async function fill(pool: DatabasePool, size = 8): Promise<void> {
  const clients = await Promise.all(Array.from({ length: size }, () => pool.connect()));
  for (const client of clients) client.release();
}

describe('a primary that is killed under load', { timeout: 90_000 }, () => {
  it('costs what was in flight: writes go on with the first dial after the promotion, and none goes to the old primary', async () => {
    const cluster = await startCluster();
    const [first, second] = cluster.nodes as Nodes;
    await ask(first, 'create table written (n int)');
    await cluster.caughtUp();
    const pool = createPool({ url: cluster.url, size: 16, acquireTimeoutMs: 60_000 });
    await fill(pool, 16);
    let failures = 0;
    let written = 0;
    let stopped = false;
    const write = async (): Promise<void> => {
      while (!stopped) {
        try {
          await pool.query('insert into written values ($1)', [1]);
          written++;
        } catch {
          failures++;
        }
      }
    };
    const load = Array.from({ length: 64 }, write);
    await first.kill();
    const failedInFlight = (): boolean => pool.statistics().inUse === 0;
    await vi.waitFor(() => expect(failedInFlight()).toBe(true));
    expect(failures).toBeLessThanOrEqual(16);
    const promotion = cluster.promote(second);
    await vi.waitFor(async () => expect(await second.role()).toBe('primary'), { interval: 5 });
    const [before, { connectErrors }] = [written, pool.statistics()];
    await vi.waitFor(() => expect(written).toBeGreaterThan(before), { interval: 5 });
    // Those under way at the promotion; how long the pauses between dials may be is in dialling.spec.ts.
    expect(pool.statistics().connectErrors - connectErrors).toBeLessThanOrEqual(4);
    await promotion;
    // Back as it was, without a fence, and then as a standby: no write goes to it.
    await cluster.rejoin(first);
    await new Promise((resolve) => setTimeout(resolve, 200));
    stopped = true;
    await Promise.all(load);
    expect(failures).toBeLessThanOrEqual(16);
    expect(await portOf(pool)).toBe(second.server.port);
    expect(pool.statistics()).toMatchObject({ inUse: 0, waiting: 0, hosts: { failovers: 1 } });
    expect(pool.statistics().hosts?.states[1]).toMatchObject({
      host: `127.0.0.1:${second.proxy.port}`,
      role: 'primary',
      state: 'up',
    });
    // Whoever dials a connection of his own, as Kysely does to cancel a query, finds the same server.
    expect(pool.options).toMatchObject({ host: '127.0.0.1', port: second.proxy.port });
  });

  it('is left for the next one also when it falls silent', async () => {
    const cluster = await startCluster(1);
    const [first, second] = cluster.nodes as Nodes;
    const clock = new ManualClock();
    const pool = createPool({ url: cluster.url, connectTimeoutMs: 6_000, queryTimeoutMs: 10_000 }, { clock });
    expect(await portOf(pool)).toBe(first.server.port);
    await first.server.pause();
    const late = expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_QUERY_TIMEOUT' });
    await clock.advance(10_010);
    await late;
    await cluster.promote(second);
    const found = portOf(pool);
    // The silent one's share of a dial's time, at the most.
    await clock.advance(3_010);
    expect(await found).toBe(second.server.port);
    await first.server.resume();
  });
});

describe('a primary that was demoted and keeps its connections', { timeout: 90_000 }, () => {
  it.each([
    ['prepared statements', {}],
    ['pipelining', { pipelining: { depth: 16 } }],
    ['no prepared statements', { preparedStatements: false }],
  ] as const)('is left unseen: its refused statements are run again on the new one, with %s', async (_how, options) => {
    const cluster = await startCluster(1);
    const [first, second] = cluster.nodes as Nodes;
    await ask(first, 'create table written (n int)');
    await cluster.caughtUp();
    const pool = createPool({ url: cluster.url, ...options });
    await fill(pool);
    await pool.query('insert into written values ($1)', [0]);
    await first.allowWrites(false);
    const writes = Array.from({ length: 40 }, (_, n) => pool.query('insert into written values ($1)', [n]));
    await cluster.promote(second);
    await Promise.all(writes);
    expect(await portOf(pool)).toBe(second.server.port);
    expect(await ask(second, 'select count(*)::int as count from written')).toEqual([{ count: 41 }]);
    const { rows } = await pool.query('select count(distinct n)::int as n from written');
    expect(rows).toEqual([{ n: 40 }]);
  });

  it('has its transactions tried again by retryTransaction, and those that were begun read-only not', async () => {
    const cluster = await startCluster(1);
    const [first, second] = cluster.nodes as Nodes;
    await ask(first, 'create table written (n int)');
    await cluster.caughtUp();
    const pool = createPool({ url: cluster.url });
    const db = createKysely<{ written: { n: number } }>(pool);
    await fill(pool);
    await first.allowWrites(false);
    await cluster.promote(second);
    let tries = 0;
    await retryTransaction(db, async (transaction) => {
      tries++;
      await transaction.insertInto('written').values({ n: 1 }).execute();
    });
    expect(tries).toBe(2);
    await expect(
      retryTransaction(
        db,
        async (transaction) => {
          tries++;
          await transaction.insertInto('written').values({ n: 2 }).execute();
        },
        { accessMode: 'read only' },
      ),
    ).rejects.toMatchObject({ code: '25006' });
    expect(tries).toBe(3);
    expect(await ask(second, 'select n from written')).toEqual([{ n: 1 }]);
  });
});

describe('where no server changes its role,', { timeout: 90_000 }, () => {
  let cluster: PostgresCluster;

  beforeAll(async () => {
    cluster = await PostgresCluster.start({ standbys: 1, authentication: 'trust' });
  }, 120_000);
  afterAll(() => cluster.close());

  it('a server isn’t suspected because a session or a transaction was made read-only by its own borrower', async () => {
    const [first] = cluster.nodes as Nodes;
    await ask(first, 'create table written (n int)');
    const pool = createPool({ url: cluster.url, size: 2, session: { default_transaction_read_only: 'on' } });
    await fill(pool, 2);
    const { opened } = pool.statistics();
    await expect(pool.query('insert into written values (1)')).rejects.toMatchObject({ code: '25006' });
    await expect(pool.query('begin read only; insert into written values (1)')).rejects.toMatchObject({
      code: '25006',
    });
    expect(await portOf(pool)).toBe(first.server.port);
    expect(pool.statistics()).toMatchObject({ opened, readOnly: false });
  });

  it('a saturated pool’s health is that of the server it is connected to', async () => {
    const [first, second] = cluster.nodes as Nodes;
    await second.proxy.refuse();
    onTestFinished(() => second.proxy.forward());
    const hosts = [second, first].map(({ proxy }) => ({ host: '127.0.0.1', port: proxy.port }));
    const pool = createPool({ url: 'postgres://postgres@/postgres', hosts, size: 1, maxOverflow: 0 });
    const client = await pool.connect();
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    expect(await pool.ping()).toMatchObject({ status: 'degraded' });
    client.release();
    expect(pool.statistics().hosts).toEqual({
      failovers: 0,
      states: [
        { host: `127.0.0.1:${second.proxy.port}`, role: undefined, state: 'down', connections: 0 },
        { host: `127.0.0.1:${first.proxy.port}`, role: 'primary', state: 'up', connections: 1 },
      ],
    });
  });

  it('health fails with the reason of each host while none takes writes, and is up again with the first that does', async () => {
    const [first, second] = cluster.nodes as Nodes;
    await first.allowWrites(false);
    onTestFinished(() => first.allowWrites(true));
    const pool = createPool({ url: cluster.url, acquireTimeoutMs: 500 });
    await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
    await expect(pool.ping()).rejects.toMatchObject({
      code: 'ERR_POOL_CONNECT_FAILED',
      message: expect.stringContaining(
        `127.0.0.1:${first.proxy.port} takes no writes by default and read-write is wanted; ` +
          `127.0.0.1:${second.proxy.port} is a standby and read-write is wanted`,
      ),
    });
    expect(pool.statistics()).toMatchObject({ readOnly: true });
    await first.allowWrites(true);
    await vi.waitFor(async () => expect(await pool.ping()).toMatchObject({ status: 'up' }), 20_000);
    expect(pool.statistics()).toMatchObject({ readOnly: false });
  });

  it('a host that is in use stays the one, though one before it in the list would do as well', async () => {
    const [first, second] = cluster.nodes as Nodes;
    await second.proxy.refuse();
    const hosts = [second, first].map(({ proxy }) => ({ host: '127.0.0.1', port: proxy.port }));
    const pool = createPool({
      url: 'postgres://postgres@/postgres',
      hosts,
      hostRecheckMs: 1,
      targetSessionAttrs: 'any',
    });
    const held = await pool.connect();
    await second.proxy.forward();
    expect(await portOf(pool)).toBe(first.server.port);
    held.release();
  });

  it('connections to the second choice are replaced, a few at a time, when the first choice is back', async () => {
    const [first, second] = cluster.nodes as Nodes;
    await second.proxy.refuse();
    const pool = createPool({
      url: `${cluster.url}?target_session_attrs=prefer-standby`,
      size: 6,
      maxConnecting: 2,
      hostRecheckMs: 300,
    });
    await fill(pool, 6);
    expect(await portOf(pool)).toBe(first.server.port);
    await second.proxy.forward();
    await vi.waitFor(async () => expect(await portOf(pool)).toBe(second.server.port));
    await vi.waitFor(async () => expect((await first.server.backends()).length).toBe(0));
    expect(await portOf(pool)).toBe(second.server.port);
  });

  it('connections are replaced when the function that gives the hosts names others', async () => {
    const [first, second] = cluster.nodes as Nodes;
    let node = first;
    const pool = createPool({
      url: 'postgres://postgres@/postgres',
      hosts: () => [{ host: '127.0.0.1', port: node.proxy.port }],
      targetSessionAttrs: 'any',
      hostRecheckMs: 100,
    });
    expect(await portOf(pool)).toBe(first.server.port);
    node = second;
    await vi.waitFor(async () => expect(await portOf(pool)).toBe(second.server.port));
  });

  it('all hosts, dead, are dialled within the bound of one pool, and found again', async () => {
    const [first, second] = cluster.nodes as Nodes;
    for (const { proxy } of [first, second]) proxy.resetCounters();
    const clock = new ManualClock();
    const pool = createPool({ url: cluster.url, acquireTimeoutMs: 60_000 }, { clock });
    for (const { proxy } of [first, second]) await proxy.reset();
    const waiting = Array.from({ length: 32 }, () => portOf(pool));
    await turn(clock, 3_000, 5);
    // Four dials at once, and then 10, 20, 40, … ms apart: nine further rounds within three seconds at the most.
    expect(pool.statistics().connectErrors).toBeLessThanOrEqual(14);
    expect(first.proxy.accepted).toBeLessThanOrEqual(14);
    for (const { proxy } of [first, second]) await proxy.forward();
    await using _turning = keepTurning(clock);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([first.server.port]));
  });
});
