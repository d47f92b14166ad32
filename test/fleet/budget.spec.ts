import { Logger } from '@nestjs/common';
import { Client } from 'pg';
import { findPgBouncer, PgBouncer } from '#test/pgbouncer/pgbouncer.js';
import type { DatabasePoolDependencies } from '#pooling/database/database-parts.js';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { delay } from '#pooling/testing/delay.js';
import { PostgresServer } from '#pooling/testing/postgres-server.js';
import { instanceId } from '#pooling/database/fleet/published-name.js';
import { PoolLog } from '#pooling/module/pool-log.js';

let server: PostgresServer;
let control: Client;
const pools: DatabasePool[] = [];
const others: Client[] = [];

beforeAll(async () => {
  server = await PostgresServer.start({ authentication: 'trust', maxConnections: 60 });
  control = new Client(server.url);
  await control.connect();
});

afterAll(async () => {
  await control.end();
  await server.close();
});

afterEach(async () => {
  await Promise.all([...pools.splice(0).map((pool) => pool.close()), ...others.splice(0).map((other) => other.end())]);
});

const budget = { connections: 10, min: 2, checkMs: 200 };

function poolOf(options: DatabaseOptions = {}, dependencies: DatabasePoolDependencies = {}): DatabasePool {
  const pool = new DatabasePool(
    'orders',
    { url: server.url, applicationName: 'orders', size: 20, maxOverflow: 0, budget, ...options },
    dependencies,
  );
  pools.push(pool);
  return pool;
}

/** A connection of another process of the fleet, by what it has published. */
async function otherProcess(name: string): Promise<Client> {
  const client = new Client({ connectionString: server.url, application_name: name });
  await client.connect();
  others.push(client);
  return client;
}

async function namesOnServer(): Promise<string[]> {
  const { rows } = await control.query<{ name: string }>(
    "select application_name as name from pg_stat_activity where application_name like 'orders%' order by 1",
  );
  return rows.map(({ name }) => name);
}

async function eventually(check: () => unknown): Promise<void> {
  const until = Date.now() + 30_000;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (Date.now() > until) throw error;
      await delay(20);
    }
  }
}

describe('a pool with a budget', () => {
  it('shows which process its connections are of, and publishes what it has and wants on one of them', async () => {
    const pool = poolOf();
    await pool.query('select 1');
    await eventually(async () => {
      expect(await namesOnServer()).toEqual([
        expect.stringMatching(new RegExp(`^orders#${instanceId()}/10\\.\\d\\.\\w+$`)),
      ]);
    });
  });

  it('begins with `min`, and has its share soon after its first connection', async () => {
    const pool = poolOf();
    expect(pool.statistics()).toMatchObject({ max: 2, fleet: { state: 'starting', ceiling: 2 } });
    await pool.query('select 1');
    await eventually(() => expect(pool.statistics().max).toBe(10));
    expect(pool.statistics().fleet).toEqual({
      state: 'on',
      budget: 10,
      id: instanceId(),
      ceiling: 10,
      processes: 1,
      connections: 1,
      members: [{ id: instanceId(), connections: 1, held: 10, wanted: expect.any(Number) }],
    });
  });

  it('gives room to a process that comes, idle connections first, and takes it back when that one is gone', async () => {
    const pool = poolOf();
    await Promise.all(Array.from({ length: 10 }, () => pool.query('select pg_sleep(0.2)')));
    await eventually(() => expect(pool.statistics().max).toBe(10));
    await Promise.all(Array.from({ length: 10 }, () => pool.query('select pg_sleep(0.2)')));
    const other = await otherProcess('orders#000000/2.9.1');
    await eventually(() => {
      // It wants its `min` now, and the other one nine.
      expect(pool.statistics()).toMatchObject({ size: 2, max: 2, fleet: { processes: 2 } });
    });
    await other.end();
    others.length = 0;
    await eventually(() => expect(pool.statistics().max).toBe(10));
  });

  it('cuts no query when it has to give connections back', async () => {
    const pool = poolOf();
    await pool.query('select 1');
    await eventually(() => expect(pool.statistics().max).toBe(10));
    const queries = Array.from({ length: 10 }, (_, at) => pool.query('select pg_sleep(1.5), $1::int as at', [at]));
    await eventually(() => expect(pool.statistics().size).toBe(10));
    await otherProcess('orders#000000/2.9.1');
    const answers = await Promise.all(queries);
    expect(answers.map(({ rows }) => (rows[0] as { at: number }).at)).toEqual(queries.map((_, at) => at));
    await eventually(() => expect(pool.statistics().size).toBeLessThanOrEqual(5));
  });

  it('keeps no connection open for its looks, and starts again with the next one', async () => {
    const pool = poolOf({ idleTimeoutMs: 500 });
    await pool.query('select 1');
    await eventually(() => expect(pool.statistics().max).toBe(10));
    await eventually(() => expect(pool.statistics()).toMatchObject({ size: 0, max: 2 }));
    await pool.query('select 1');
    await eventually(() => expect(pool.statistics().max).toBe(10));
  });

  it('counts its looks as no leases', async () => {
    const pool = poolOf();
    await pool.query('select 1');
    await eventually(() => expect(pool.statistics().max).toBe(10));
    expect(pool.statistics()).toMatchObject({ acquired: 1, released: 1, queries: 1 });
  });

  it('looks on a connection that comes back, before those that wait', async () => {
    const pool = poolOf({ size: 1 });
    const load = Array.from({ length: 40 }, () => pool.query('select pg_sleep(0.02)'));
    await eventually(() => expect(pool.statistics().fleet).toMatchObject({ state: 'on', processes: 1 }));
    expect(pool.statistics().waiting).toBeGreaterThan(0);
    await Promise.all(load);
  });

  it('looks while its connections are shared by many queries', async () => {
    const pool = poolOf({ size: 1, pipelining: { depth: 8 } });
    let over = false;
    const load = Array.from({ length: 16 }, async () => {
      while (!over) await pool.query('select 1');
    });
    await eventually(() => expect(pool.statistics().fleet).toMatchObject({ state: 'on', processes: 1 }));
    const other = await otherProcess('orders#000000/2.2.1');
    await eventually(() => expect(pool.statistics().fleet?.processes).toBe(2));
    await other.end();
    others.length = 0;
    over = true;
    await Promise.all(load);
  });

  it('publishes again when the connection that carried the publication is gone', async () => {
    const pool = poolOf();
    await pool.query('select 1');
    await eventually(() => expect(pool.statistics().max).toBe(10));
    await control.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'orders#%/%'",
    );
    await eventually(() => expect(pool.statistics()).toMatchObject({ size: 0, max: 2 }));
    await pool.query('select 1');
    await eventually(async () => expect((await namesOnServer())[0]).toMatch(/\/10\.\d\.\w+$/));
    await eventually(() => expect(pool.statistics().max).toBe(10));
  });

  it('keeps its publication through DISCARD ALL', async () => {
    const pool = poolOf({ size: 1, reset: 'discard' });
    await pool.query('select 1');
    await eventually(async () => expect((await namesOnServer())[0]).toMatch(/\/1\.\d\.\w+$/));
    for (let uses = 0; uses < 5; uses++) await pool.withConnection((client) => client.query('select 1'));
    await eventually(async () => expect((await namesOnServer())[0]).toMatch(/\/1\.\d\.\w+$/));
  });

  it.each<[string, DatabaseOptions, string]>([
    [
      'a hook that resets everything',
      { reset: async (client) => void (await client.query('discard all')) },
      'select 1',
    ],
    ['a borrower that resets everything', {}, 'reset all'],
    ['a borrower that sets another one', {}, "set application_name = 'job'"],
  ])('gives its connection the name again that %s has taken away', async (_what, options, statement) => {
    // No further look mends it.
    const pool = poolOf({ size: 1, budget: { ...budget, checkMs: 600_000 }, ...options });
    await pool.query('select 1');
    const published = new RegExp(`^orders#${instanceId()}/1\\.\\d\\.1$`);
    await eventually(async () => expect((await namesOnServer())[0]).toMatch(published));
    for (let uses = 0; uses < 3; uses++) {
      await pool.withConnection((client) => client.query(statement));
      await eventually(() => expect(pool.statistics().idle).toBe(1));
      expect(await namesOnServer()).toEqual([expect.stringMatching(published)]);
    }
    expect(pool.statistics()).toMatchObject({ opened: 1 });
  });

  it('needs no privilege, and counts the connections of its own role alone', async () => {
    await control.query('create role shop login');
    const url = server.url.replace('postgres@', 'shop@');
    const other = new Client({ connectionString: url, application_name: 'orders#000000/6.9.1' });
    await other.connect();
    others.push(other, await otherProcess('orders#111111/3.9.1'));
    const pool = poolOf({ url });
    await pool.query('select 1');
    await eventually(() => expect(pool.statistics()).toMatchObject({ fleet: { processes: 2, connections: 2 } }));
  });

  it('counts the connections to every database of the server', async () => {
    await control.query('create database elsewhere');
    const other = new Client({ connectionString: server.urlOf('elsewhere'), application_name: 'orders#000000/6.9.1' });
    await other.connect();
    others.push(other);
    const pool = poolOf();
    await pool.query('select 1');
    await eventually(() => expect(pool.statistics()).toMatchObject({ fleet: { processes: 2, connections: 2 } }));
  });

  it('goes on with what is open when the server takes no more, and those who wait wait', async () => {
    const pool = poolOf({ budget: { ...budget, connections: 58 }, size: 58, acquireTimeoutMs: 15_000 });
    await pool.query('select 1');
    await eventually(() => expect(pool.statistics().max).toBe(58));
    const crowd = await Promise.all(Array.from({ length: 45 }, () => otherProcess('crowd')));
    expect(crowd).toHaveLength(45);
    const answers = Array.from({ length: 60 }, () => pool.query('select pg_sleep(0.1)'));
    await eventually(() => {
      const { connectErrors, max, size } = pool.statistics();
      expect(connectErrors).toBeGreaterThan(0);
      expect(max).toBe(size);
    });
    await expect(Promise.all(answers)).resolves.toHaveLength(60);
    expect(pool.statistics()).toMatchObject({ acquireTimeouts: 0 });
    await Promise.all(others.splice(0).map((other) => other.end()));
    await eventually(() => expect(pool.statistics().max).toBe(58));
  });

  it('shares its part with the other pools of the process', async () => {
    const one = poolOf();
    const other = poolOf();
    expect([one.statistics().max, other.statistics().max]).toEqual([1, 1]);
    let over = false;
    const load = Array.from({ length: 20 }, async () => {
      while (!over) await one.query('select pg_sleep(0.01)');
    });
    await other.query('select 1');
    await eventually(() => expect(one.statistics().max).toBeGreaterThanOrEqual(8));
    expect(one.statistics().max + other.statistics().max).toBeLessThanOrEqual(10);
    over = true;
    await Promise.all(load);
    await one.close();
    await other.query('select 1');
    await eventually(() => expect(other.statistics().max).toBe(10));
  });

  it('refuses another budget for the same server in one process', () => {
    poolOf();
    expect(() => poolOf({ budget: { connections: 12 } })).toThrow(
      /budget\.connections: 12 is not allowed; 10, as another pool of this process/,
    );
  });

  it('is off, and says so once, where something changes the name of its connections', async () => {
    const off: string[] = [];
    const pool = poolOf(
      { session: { application_name: 'else' } },
      { observer: { budgetOff: ({ reason }) => off.push(reason) } },
    );
    await pool.query('select 1');
    await eventually(() => expect(pool.statistics().fleet).toMatchObject({ state: 'off' }));
    expect(pool.statistics().max).toBe(20);
    await pool.query('select 1');
    expect(off).toEqual(['something changes application_name']);
  });

  it('is off in one line of the log', async () => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockReturnValue();
    onTestFinished(() => warn.mockRestore());
    const pool = poolOf({ session: { application_name: 'else' } }, { observer: new PoolLog('orders') });
    for (let at = 0; at < 3; at++) await pool.query('select 1');
    await eventually(() => expect(pool.statistics().fleet).toMatchObject({ state: 'off' }));
    await pool.query('select 1');
    expect(warn.mock.calls).toEqual([
      [
        {
          message: expect.stringMatching(
            /^orders: the budget is off: something changes application_name, so that/,
          ) as string,
          event: 'budget-off',
          pool: 'orders',
          reason: 'something changes application_name',
        },
      ],
    ]);
  });

  describe.runIf(findPgBouncer() !== undefined)('behind PgBouncer (needs pgbouncer)', () => {
    it.each([true, false])('is off, and says so once, with preparedStatements %s', async (preparedStatements) => {
      await using bouncer = await PgBouncer.start(findPgBouncer()!, server.url, 4);
      const off: string[] = [];
      const pool = poolOf(
        { url: bouncer.url, preparedStatements },
        { observer: { budgetOff: ({ reason }) => off.push(reason) } },
      );
      await Promise.all(Array.from({ length: 5 }, () => pool.query('select 1')));
      await eventually(() => expect(pool.statistics().fleet).toMatchObject({ state: 'off' }));
      expect(pool.statistics().max).toBe(20);
      await Promise.all(Array.from({ length: 5 }, () => pool.query('select 1')));
      expect(off).toEqual(['a pooler stands between']);
      await pool.close();
    });
  });

  it('lets the process end', async () => {
    const pool = poolOf();
    await pool.query('select 1');
    await pool.close();
    expect(await namesOnServer()).toEqual([]);
  });
});
