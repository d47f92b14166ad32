import { AdvisedPools, found, run } from '#test/support/advised-pools.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { Gate } from '#test/support/gate.js';
import { CountingServer } from '#test/support/http-server.js';
import { DatabasePool } from '../database/database-pool.js';
import type { DatabaseOptions } from '../database/options/options.js';
import { HttpClient } from '../http/http-client.js';

let database: TestDatabase;
let advised: AdvisedPools;

beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(() => {
  advised = new AdvisedPools(database.url);
});
afterEach(() => advised.end());
afterAll(() => database.drop());

describe('a pool in good health', () => {
  it('gets no advice: under load, with an open transaction that works, with a connection that listens', async () => {
    const advisor = advised.advisor({ hasShutdownHooks: () => true, replicas: () => 2 });
    const pool = await advised.open();
    const listener = await pool.connect();
    await listener.query('/* of /* the */ shop */ listen orders');
    const working = await pool.connect();
    await working.query('begin');
    for (let second = 0; second < 70; second++) {
      await Promise.all([1, 2, 3].map((n) => pool.query('select $1::int', [n])));
      await working.query('select 1');
      await advised.clock.advance(1_000);
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

describe('STALE_CONNECTION_RISK', () => {
  it.each<DatabaseOptions>([{ maxLifetimeMs: 3_600_000 }, { maxLifetimeMs: 0 }])(
    'is found without a pre-ping and with %o',
    async (options) => {
      await advised.open({ prePing: false, ...options });
      expect(await found(advised.advisor(), 'STALE_CONNECTION_RISK')).toMatchObject([
        { severity: 'warning', evidence: { prePing: false, ...options } },
      ]);
    },
  );

  it.each<DatabaseOptions>([{ preset: 'high' }, { prePing: true, maxLifetimeMs: 0 }, {}])(
    'is not found with %o',
    async (options) => {
      await advised.open(options);
      expect(await found(advised.advisor(), 'STALE_CONNECTION_RISK')).toEqual([]);
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
    const advisor = advised.advisor();
    for (let request = 0; request < 10; request++) await handle();
    expect(await found(advisor, 'POOL_PER_REQUEST')).toMatchObject([
      {
        severity: 'error',
        pool: 'handler',
        evidence: { atLeast: 10, server: expect.stringContaining(database.name) as string },
      },
    ]);
    await advised.clock.advance(60_001);
    expect(await found(advisor, 'POOL_PER_REQUEST')).toEqual([]);
  });

  it('is not found for a few pools, nor for pools made over a longer time', async () => {
    const advisor = advised.advisor();
    for (let request = 0; request < 20; request++) {
      await handle();
      await advised.clock.advance(7_000);
    }
    expect(await found(advisor, 'POOL_PER_REQUEST')).toEqual([]);
  });
});

describe('SAME_DATABASE_TWICE', () => {
  it('is found for two pools to one database as one user, and not for another user’s', async () => {
    await advised.open({ size: 5, maxOverflow: 2 });
    const other = new URL(database.url);
    other.username = 'reporter';
    advised.create({ url: other.href }, 'other user');
    const advisor = advised.advisor();
    expect(await found(advisor, 'SAME_DATABASE_TWICE')).toEqual([]);
    await advised.open({ size: 3 }, 'jobs');
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
      await advised.clock.advance(100);
      client.release();
    });
    await Promise.all(served);
  }

  it('is found when acquires wait because the load needs more connections than there may be', async () => {
    const pool = await advised.open({ size: 1, acquireTimeoutMs: 60_000 });
    const advisor = advised.advisor();
    await starve(pool, 60);
    await advised.clock.advance(5_000 - (advised.clock.now() % 5_000));
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
    const pool = await advised.open({ size: 1, acquireTimeoutMs: 60_000 });
    const advisor = advised.advisor();
    await starve(pool, 60);
    await advised.clock.advance(5_000 - (advised.clock.now() % 5_000));
    pool.expireAll();
    await run(database.url, `alter database ${database.name} allow_connections false`);
    try {
      const refused = pool.query('select 1').catch(() => {});
      await vi.waitFor(() => expect(pool.statistics().lastConnectError).toBeDefined());
      expect(await found(advisor, 'POOL_TOO_SMALL')).toEqual([]);
      await advised.clock.advance(60_000);
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
      await advised.clock.advance(1_000);
    }
  }

  it('is found when far more connections are kept open than a minute’s load needs', async () => {
    const pool = advised.create({ size: 20, minIdle: 12, idleTimeoutMs: 0, maxLifetimeMs: 0 });
    pool.start();
    await vi.waitFor(() => expect(pool.idleCount).toBe(12));
    const advisor = advised.advisor();
    expect(await found(advisor, 'POOL_TOO_LARGE')).toEqual([]);
    await trickle(pool);
    expect(await found(advisor, 'POOL_TOO_LARGE')).toMatchObject([
      { severity: 'info', evidence: { leastOpen: 12, recommended: 1 } },
    ]);
  });

  it('is not found for a pool whose size is only a bound, which the load doesn’t reach', async () => {
    const pool = await advised.open({ size: 50 });
    const advisor = advised.advisor();
    await trickle(pool);
    expect(await found(advisor, 'POOL_TOO_LARGE')).toEqual([]);
  });
});

describe('IDLE_IN_TRANSACTION', () => {
  it('is found when nothing runs in an open transaction, with what ran last and who holds it', async () => {
    const pool = await advised.open({ leakDetectionMs: 3_600_000 });
    const advisor = advised.advisor();
    const client = await pool.connect();
    await client.query('begin');
    await client.query('select $1::text as stock', ['a secret']);
    await advised.clock.advance(9_000);
    expect(await found(advisor, 'IDLE_IN_TRANSACTION')).toEqual([]);
    await advised.clock.advance(2_000);
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
    const pool = await advised.open();
    const client = await pool.connect();
    await client.query('begin');
    await using gate = await Gate.closed(database.url);
    const running = client.query(`select ${gate.passed}`);
    await gate.waitedAt();
    await advised.clock.advance(30_000);
    expect(await found(advised.advisor(), 'IDLE_IN_TRANSACTION')).toEqual([]);
    await gate.open();
    await running;
    await client.query('rollback');
    client.release();
  });
});

describe('LEAK_SUSPECTED', () => {
  it('is found for what leak detection reported, with the code that acquired it', async () => {
    const pool = await advised.open({ leakDetectionMs: 5_000 });
    const advisor = advised.advisor();
    const client = await pool.connect();
    await client.query('select 1 as forgotten');
    await advised.clock.advance(4_000);
    expect(await found(advisor, 'LEAK_SUSPECTED')).toEqual([]);
    await advised.clock.advance(2_000);
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
    const pool = await advised.open();
    const client = await pool.connect();
    await client.query('select 1 as forgotten');
    await advised.clock.advance(61_000);
    const [advice] = await found(advised.advisor(), 'LEAK_SUSPECTED');
    expect(advice?.message).toBe(
      'default: 1 connection held and not used, the longest for 61.0 s by unknown code that last ran: select 1 as ' +
        'forgotten. Set leakDetectionMs to see the code that acquired it.',
    );
    client.release();
  });

  it('is found for streamed answers that nobody reads, for five minutes, however often somebody looks', async () => {
    await using server = await CountingServer.listen((_request, response) => response.end(Buffer.alloc(1_000_000)));
    const client = new HttpClient('carrier', { leakDetectionMs: 20 }, { onLeak: () => {} });
    advised.clients.push(client);
    const advisor = advised.advisor();
    const { body } = await client.stream(server.url);
    await vi.waitFor(() => expect(client.statistics().leaks).toBe(1));
    for (let look = 0; look < 2; look++) {
      expect(await found(advisor, 'LEAK_SUSPECTED')).toMatchObject([
        { severity: 'warning', pool: 'carrier', evidence: { leaks: 1, recent: 1 } },
      ]);
    }
    body.destroy();
    await advised.clock.advance(300_000);
    expect(await found(advisor, 'LEAK_SUSPECTED')).toEqual([]);
  });
});

describe('NO_SHUTDOWN_HOOKS', () => {
  it('is found when it is known that there are none', async () => {
    await advised.open();
    expect(await found(advised.advisor({ hasShutdownHooks: () => false }), 'NO_SHUTDOWN_HOOKS')).toMatchObject([
      { severity: 'warning', pool: 'default', evidence: { shutdownHooks: false } },
    ]);
    expect(await found(advised.advisor({ hasShutdownHooks: () => true }), 'NO_SHUTDOWN_HOOKS')).toEqual([]);
    expect(await found(advised.advisor(), 'NO_SHUTDOWN_HOOKS')).toEqual([]);
  });
});

describe('a PoolAdvisor', () => {
  it('tells the worst first, and keeps what it told', async () => {
    const pool = await advised.open({ prePing: false });
    const advisor = advised.advisor({ hasShutdownHooks: () => false });
    const client = await pool.connect();
    await advised.clock.advance(61_000);
    const advice = await advisor.advise();
    expect(advice.map(({ severity }) => severity)).toEqual(['error', 'warning', 'warning']);
    expect(advisor.latest).toEqual(advice);
    client.release();
  });
});
