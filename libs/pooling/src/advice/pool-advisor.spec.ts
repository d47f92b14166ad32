import { Client } from 'pg';
import { PostgresServer } from 'nestjs-pooling/testing';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/database.js';
import { CountingServer } from '../../../../test/support/http-server.js';
import { DatabasePool } from '../database/database-pool.js';
import type { DatabaseOptions } from '../database/options.js';
import { HttpClient } from '../http/http-client.js';
import { ManualClock } from '../testing/manual-clock.js';
import type { Advice, AdviceCode } from './advice.js';
import { PoolAdvisor, type PoolAdvisorDependencies } from './pool-advisor.js';

let database: TestDatabase;
let clock: ManualClock;
let pools: DatabasePool[];
let clients: HttpClient[];
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(() => {
  clock = new ManualClock();
  pools = [];
  clients = [];
});
afterEach(async () => {
  await Promise.all([...pools, ...clients].map((pool) => pool.close({ deadlineMs: 100 })));
  for (const end of ends.splice(0).reverse()) await end();
});
afterAll(() => database.drop());

/** Runs one statement on a connection of its own to a server's first database. */
async function run<Row extends object>(url: string, text: string): Promise<Row[]> {
  const address = new URL(url);
  address.pathname = 'postgres';
  const client = new Client({ connectionString: address.href });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

/** A pool on the clock that is turned by hand; nothing happens in the background unless asked for. */
function createPool(options: DatabaseOptions = {}, name = 'default'): DatabasePool {
  const settings = { url: database.url, size: 5, maxOverflow: 0, keepAliveMs: 0, queryTimeoutMs: 0, ...options };
  const pool = new DatabasePool(name, settings, { clock });
  pools.push(pool);
  return pool;
}

/** A pool of which one connection is open. */
async function openPool(options: DatabaseOptions = {}, name?: string): Promise<DatabasePool> {
  const pool = createPool(options, name);
  await pool.query('select 1');
  return pool;
}

function createAdvisor(dependencies: Partial<PoolAdvisorDependencies> = {}): PoolAdvisor {
  const advisor = new PoolAdvisor({ databases: () => pools, httpClients: () => clients, clock, ...dependencies });
  advisor.start();
  ends.push(() => advisor.stop());
  return advisor;
}

async function found(advisor: PoolAdvisor, code: AdviceCode): Promise<Advice[]> {
  return (await advisor.advise()).filter((advice) => advice.code === code);
}

describe('a pool in good health', () => {
  it('gets no advice: under load, with an open transaction that works, with a connection that listens', async () => {
    const advisor = createAdvisor({ hasShutdownHooks: () => true, replicas: () => 2 });
    const pool = await openPool();
    const listener = await pool.connect();
    await listener.query('listen orders');
    const working = await pool.connect();
    await working.query('begin');
    for (let second = 0; second < 70; second++) {
      await Promise.all([1, 2, 3].map((n) => pool.query('select $1::int', [n])));
      await working.query('select 1');
      await clock.advance(1_000);
    }
    expect(await advisor.advise()).toEqual([]);
    expect(advisor.latest).toEqual([]);
    expect(advisor.load('default')).toMatchObject({ acquiresPerSecond: 3, refused: 0 });
    expect(advisor.recommendedSize('default')).toBe(1);
    await working.query('commit');
    working.release();
    listener.release();
  });
});

describe('POOL_EXCEEDS_SERVER', { timeout: 60_000 }, () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await PostgresServer.start({ authentication: 'trust', maxConnections: 20 });
  });
  afterAll(() => server.close());
  beforeEach(async () => {
    // The server needs a moment to notice that a client has gone, and counts it until then.
    const others = "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()";
    await vi.waitFor(async () => expect(await run(server.url, others)).toEqual([]));
  });

  async function others(count: number): Promise<void> {
    for (let other = 0; other < count; other++) {
      const client = new Client({ connectionString: server.url, application_name: 'another application' });
      await client.connect();
      ends.push(() => client.end());
    }
  }

  it('is found when the pools may want more than max_connections leaves them', async () => {
    await openPool({ url: server.url, size: 10, maxOverflow: 5 });
    createPool({ url: server.url, size: 10 }, 'reports');
    const [advice, ...more] = await found(createAdvisor(), 'POOL_EXCEEDS_SERVER');
    expect(more).toEqual([]);
    expect(advice).toMatchObject({
      severity: 'warning',
      pool: 'default',
      evidence: { pools: ['default', 'reports'], wanted: 25, maxConnections: 20, reserved: 3, others: 0, free: 17 },
    });
    expect(advice?.message).toMatch(
      /^default, reports: up to 25 connections, but the server 127\.0\.0\.1:\d+ has 17 for them/,
    );
  });

  it('counts what others hold', async () => {
    const pool = await openPool({ url: server.url, size: 12 });
    const advisor = createAdvisor();
    expect(await found(advisor, 'POOL_EXCEEDS_SERVER')).toEqual([]);
    expect(advisor.serverLoad(pool)).toEqual({ clients: 1, capacity: 17 });
    await others(6);
    await pool.query('select 1');
    expect(await found(advisor, 'POOL_EXCEEDS_SERVER')).toMatchObject([
      { evidence: { wanted: 12, others: 6, free: 11 } },
    ]);
  });

  it('counts every replica, and not the replicas themselves as others', async () => {
    await openPool({ url: server.url, size: 4 });
    // Another process of the same application, as the server sees it.
    await openPool({ url: server.url, size: 4 }, 'replica');
    const [own] = pools as [DatabasePool];
    const advise = (replicas: number): Promise<Advice[]> =>
      found(createAdvisor({ databases: () => [own], replicas: () => replicas }), 'POOL_EXCEEDS_SERVER');
    expect(await advise(4)).toEqual([]);
    expect(await advise(5)).toMatchObject([
      {
        message: expect.stringContaining('up to 20 connections (5 replicas × 4)') as string,
        evidence: { wanted: 20, others: 0, free: 17, replicas: 5 },
      },
    ]);
  });

  it('knows the limit of the role', async () => {
    await run(server.url, 'create role limited login connection limit 3');
    const url = new URL(server.url);
    url.username = 'limited';
    await openPool({ url: url.href, size: 4 });
    expect(await found(createAdvisor(), 'POOL_EXCEEDS_SERVER')).toMatchObject([
      { message: expect.stringContaining('3 for this role') as string, evidence: { wanted: 4, free: 3 } },
    ]);
  });

  it('is an error for pools that are required at the start', async () => {
    await openPool({ url: server.url, size: 30, startup: 'required' });
    expect(await found(createAdvisor(), 'POOL_EXCEEDS_SERVER')).toMatchObject([{ severity: 'error' }]);
  });

  it('leaves a pool alone that nobody uses, so that its last connection may idle out', async () => {
    const pool = await openPool({ url: server.url, size: 4 });
    const advisor = createAdvisor();
    for (let look = 0; look < 3; look++) await advisor.advise();
    expect(pool.statistics().acquired).toBe(2);
    await pool.query('select 1');
    await advisor.advise();
    expect(pool.statistics().acquired).toBe(4);
  });

  it('never queues for a connection: the application comes first, and what was known is kept', async () => {
    const pool = await openPool({ url: server.url, size: 1, maxOverflow: 30 });
    const advisor = createAdvisor();
    expect(await found(advisor, 'POOL_EXCEEDS_SERVER')).toHaveLength(1);
    pool.resize({ size: 1, maxOverflow: 17 });
    const client = await pool.connect();
    expect(await found(advisor, 'POOL_EXCEEDS_SERVER')).toMatchObject([{ evidence: { wanted: 18 } }]);
    expect(pool.statistics()).toMatchObject({ emptyAcquires: 1, opened: 1 });
    client.release();
  });

  it('says nothing when the server can’t be asked without opening or queueing for a connection', async () => {
    const pool = createPool({ url: server.url, size: 1, maxOverflow: 30 });
    const advisor = createAdvisor();
    expect(await advisor.advise()).toEqual([]);
    expect(pool.statistics().opened).toBe(0);
  });
});

describe('STALE_CONNECTION_RISK', () => {
  it.each<DatabaseOptions>([{ maxLifetimeMs: 3_600_000 }, { maxLifetimeMs: 0 }])(
    'is found without a pre-ping and with %o',
    async (options) => {
      await openPool({ prePing: false, ...options });
      expect(await found(createAdvisor(), 'STALE_CONNECTION_RISK')).toMatchObject([
        { severity: 'warning', evidence: { prePing: false, ...options } },
      ]);
    },
  );

  it.each<DatabaseOptions>([{ preset: 'high' }, { prePing: true, maxLifetimeMs: 0 }, {}])(
    'is not found with %o',
    async (options) => {
      await openPool(options);
      expect(await found(createAdvisor(), 'STALE_CONNECTION_RISK')).toEqual([]);
    },
  );
});

describe('POOL_PER_REQUEST', () => {
  /** What a handler does that makes a pool of its own. */
  async function handle(): Promise<void> {
    const pool = new DatabasePool('handler', { url: database.url, size: 1 });
    await pool.query('select 1');
    await pool.end();
  }

  it('is found when each request makes a pool to the same database', async () => {
    const advisor = createAdvisor();
    for (let request = 0; request < 10; request++) await handle();
    expect(await found(advisor, 'POOL_PER_REQUEST')).toMatchObject([
      {
        severity: 'error',
        pool: 'handler',
        evidence: { atLeast: 10, server: expect.stringContaining(database.name) as string },
      },
    ]);
    await clock.advance(60_001);
    expect(await found(advisor, 'POOL_PER_REQUEST')).toEqual([]);
  });

  it('is not found for a few pools, nor for pools made over a longer time', async () => {
    const advisor = createAdvisor();
    for (let request = 0; request < 20; request++) {
      await handle();
      await clock.advance(7_000);
    }
    expect(await found(advisor, 'POOL_PER_REQUEST')).toEqual([]);
  });
});

describe('SAME_DATABASE_TWICE', () => {
  it('is found for two pools to one database as one user, and not for another user’s', async () => {
    await openPool({ size: 5, maxOverflow: 2 });
    const other = new URL(database.url);
    other.username = 'reporter';
    createPool({ url: other.href }, 'other user');
    const advisor = createAdvisor();
    expect(await found(advisor, 'SAME_DATABASE_TWICE')).toEqual([]);
    await openPool({ size: 3 }, 'jobs');
    expect(await found(advisor, 'SAME_DATABASE_TWICE')).toMatchObject([
      {
        severity: 'warning',
        pool: 'default',
        evidence: { pools: ['default', 'jobs'], database: database.name, most: 10 },
      },
    ]);
  });
});

describe('POOL_TOO_SMALL', () => {
  /** Borrowers that arrive together and hold a connection for 100 ms by the clock, one after the other. */
  async function starve(pool: DatabasePool, borrowers: number): Promise<void> {
    const served = Array.from({ length: borrowers }, async () => {
      const client = await pool.connect();
      await clock.advance(100);
      client.release();
    });
    await Promise.all(served);
  }

  it('is found when acquires wait because the load needs more connections than there may be', async () => {
    const pool = await openPool({ size: 1, acquireTimeoutMs: 60_000 });
    const advisor = createAdvisor();
    await starve(pool, 60);
    await clock.advance(5_000 - (clock.now() % 5_000));
    const [advice] = await found(advisor, 'POOL_TOO_SMALL');
    expect(advice).toMatchObject({
      severity: 'warning',
      pool: 'default',
      evidence: { max: 1, meanUseMs: 100, refused: 0 },
    });
    expect(advice?.evidence['recommended']).toBeGreaterThan(1);
    expect(advice?.evidence['recommended']).toBe(advisor.recommendedSize('default'));
  });

  it('is not found while the server can’t be reached, whatever waits: a larger pool wouldn’t help', async () => {
    const pool = await openPool({ size: 1, acquireTimeoutMs: 60_000 });
    const advisor = createAdvisor();
    await starve(pool, 60);
    await clock.advance(5_000 - (clock.now() % 5_000));
    pool.expireAll();
    await run(database.url, `alter database ${database.name} allow_connections false`);
    try {
      const refused = pool.query('select 1').catch(() => {});
      await vi.waitFor(() => expect(pool.statistics().lastConnectError).toBeDefined());
      expect(await found(advisor, 'POOL_TOO_SMALL')).toEqual([]);
      await clock.advance(60_000);
      await refused;
    } finally {
      await run(database.url, `alter database ${database.name} allow_connections true`);
    }
  });
});

describe('POOL_TOO_LARGE', () => {
  /** Some queries a second, one after the other, for a little more than the minute that is looked at. */
  async function trickle(pool: DatabasePool): Promise<void> {
    for (let second = 0; second < 61; second++) {
      await pool.query('select 1');
      await clock.advance(1_000);
    }
  }

  it('is found when far more connections are kept open than a minute’s load needs', async () => {
    const pool = createPool({ size: 20, minIdle: 12, idleTimeoutMs: 0, maxLifetimeMs: 0 });
    pool.start();
    await vi.waitFor(() => expect(pool.idleCount).toBe(12));
    const advisor = createAdvisor();
    expect(await found(advisor, 'POOL_TOO_LARGE')).toEqual([]);
    await trickle(pool);
    expect(await found(advisor, 'POOL_TOO_LARGE')).toMatchObject([
      { severity: 'info', evidence: { leastOpen: 12, recommended: 1 } },
    ]);
  });

  it('is not found for a pool whose size is only a bound, which the load doesn’t reach', async () => {
    const pool = await openPool({ size: 50 });
    const advisor = createAdvisor();
    await trickle(pool);
    expect(await found(advisor, 'POOL_TOO_LARGE')).toEqual([]);
  });
});

describe('IDLE_IN_TRANSACTION', () => {
  it('is found when nothing runs in an open transaction, with what ran last and who holds it', async () => {
    const pool = await openPool({ leakDetectionMs: 3_600_000 });
    const advisor = createAdvisor();
    const client = await pool.connect();
    await client.query('begin');
    await client.query('select $1::text as stock', ['a secret']);
    await clock.advance(9_000);
    expect(await found(advisor, 'IDLE_IN_TRANSACTION')).toEqual([]);
    await clock.advance(2_000);
    const [advice] = await found(advisor, 'IDLE_IN_TRANSACTION');
    expect(advice).toMatchObject({
      severity: 'warning',
      evidence: { transactions: 1, statement: 'select $1::text as stock', quietMs: 11_000, heldMs: 11_000 },
    });
    expect(advice?.message).toContain('pool-advisor.spec.ts');
    expect(JSON.stringify(advice)).not.toContain('a secret');
    await client.query('rollback');
    expect(await found(advisor, 'IDLE_IN_TRANSACTION')).toEqual([]);
    client.release();
  });

  it('is not found while a statement runs in it', async () => {
    const pool = await openPool();
    const client = await pool.connect();
    await client.query('begin');
    const running = client.query('select pg_sleep(0.2)');
    await clock.advance(30_000);
    expect(await found(createAdvisor(), 'IDLE_IN_TRANSACTION')).toEqual([]);
    await running;
    await client.query('rollback');
    client.release();
  });
});

describe('LEAK_SUSPECTED', () => {
  it('is found for what leak detection reported, with the code that acquired it', async () => {
    const pool = await openPool({ leakDetectionMs: 5_000 });
    const advisor = createAdvisor();
    const client = await pool.connect();
    await client.query('select 1 as forgotten');
    await clock.advance(4_000);
    expect(await found(advisor, 'LEAK_SUSPECTED')).toEqual([]);
    await clock.advance(2_000);
    const [advice] = await found(advisor, 'LEAK_SUSPECTED');
    expect(advice).toMatchObject({
      severity: 'error',
      evidence: {
        suspects: 1,
        leaks: 1,
        statement: 'select 1 as forgotten',
        holder: expect.stringContaining('pool-advisor.spec.ts') as string,
      },
    });
    client.release();
    expect(await found(advisor, 'LEAK_SUSPECTED')).toEqual([]);
  });

  it('is found without leak detection for what has been quiet for a minute, and says how to see more', async () => {
    const pool = await openPool();
    const client = await pool.connect();
    await client.query('select 1 as forgotten');
    await clock.advance(61_000);
    const [advice] = await found(createAdvisor(), 'LEAK_SUSPECTED');
    expect(advice?.message).toBe(
      'default: 1 connection held and not used, the longest for 61.0 s by unknown code that last ran: select 1 as ' +
        'forgotten. Set leakDetectionMs to see the code that acquired it.',
    );
    client.release();
  });

  it('is found for streamed answers that nobody reads, for five minutes, however often somebody looks', async () => {
    await using server = await CountingServer.listen((_request, response) => response.end(Buffer.alloc(1_000_000)));
    const client = new HttpClient('carrier', { leakDetectionMs: 20 }, { onLeak: () => {} });
    clients.push(client);
    const advisor = createAdvisor();
    const { body } = await client.stream(server.url);
    await vi.waitFor(() => expect(client.statistics().leaks).toBe(1));
    for (let look = 0; look < 2; look++) {
      expect(await found(advisor, 'LEAK_SUSPECTED')).toMatchObject([
        { severity: 'warning', pool: 'carrier', evidence: { leaks: 1, recent: 1 } },
      ]);
    }
    body.destroy();
    await clock.advance(300_000);
    expect(await found(advisor, 'LEAK_SUSPECTED')).toEqual([]);
  });
});

describe('NO_SHUTDOWN_HOOKS', () => {
  it('is found when it is known that there are none', async () => {
    await openPool();
    expect(await found(createAdvisor({ hasShutdownHooks: () => false }), 'NO_SHUTDOWN_HOOKS')).toMatchObject([
      { severity: 'warning', pool: 'default', evidence: { shutdownHooks: false } },
    ]);
    expect(await found(createAdvisor({ hasShutdownHooks: () => true }), 'NO_SHUTDOWN_HOOKS')).toEqual([]);
    expect(await found(createAdvisor(), 'NO_SHUTDOWN_HOOKS')).toEqual([]);
  });
});

describe('a PoolAdvisor', () => {
  it('tells the worst first, and keeps what it told', async () => {
    const pool = await openPool({ prePing: false });
    const advisor = createAdvisor({ hasShutdownHooks: () => false });
    const client = await pool.connect();
    await clock.advance(61_000);
    const advice = await advisor.advise();
    expect(advice.map(({ severity }) => severity)).toEqual(['error', 'warning', 'warning']);
    expect(advisor.latest).toEqual(advice);
    client.release();
  });
});
