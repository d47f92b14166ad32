/** User code runs in the async context of whoever it runs for, or in nobody's: never in that of another request. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import pg, { type PoolClient, type QueryResult } from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { systemClock } from '#pooling/core/clock.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { useTestDatabase } from '#test/support/database.js';
import { usePools } from '#test/support/pools.js';

const database = useTestDatabase();

interface Request {
  readonly id: number;
}

const requests = new AsyncLocalStorage<Request>();
const current = (): number | undefined => requests.getStore()?.id;

const createPool = usePools('context', () => ({ url: database.url, size: 4, maxOverflow: 0 }));

/** Runs so many requests at once, each with a store of its own. */
function atOnce<Result>(count: number, request: (id: number) => Promise<Result>): Promise<Result[]> {
  return Promise.all(Array.from({ length: count }, (_, id) => requests.run({ id }, () => request(id))));
}

/** What has run in which context: the name of the code, whom it ran for, and whose context that was. */
class Sightings {
  readonly #strangers: string[] = [];
  readonly #seen = new Map<string, { own: number; nobody: number }>();

  /** Notes that user code runs now, for the request `id`; `undefined`: for none. */
  note(what: string, id: number | undefined): void {
    const here = current();
    const seen = this.#seen.get(what) ?? { own: 0, nobody: 0 };
    this.#seen.set(what, seen);
    if (here === undefined) seen.nobody++;
    else if (here === id) seen.own++;
    else this.#strangers.push(`${what} of ${id} in the context of ${here}`);
  }

  /** How often each code ran in its own context, and in nobody's; fails when any ran in a stranger's. */
  get found(): Record<string, { own: number; nobody: number }> {
    expect(this.#strangers).toEqual([]);
    return Object.fromEntries(this.#seen);
  }
}

const inOwn = (count: number): { own: number; nobody: number } => ({ own: count, nobody: 0 });
const inNobodys = (count: number): { own: number; nobody: number } => ({ own: 0, nobody: count });

/** The backend of a session is told which tenant it works for, by a hook. */
async function setTenant(client: Pick<PoolClient, 'query'>): Promise<void> {
  await client.query("select set_config('app.tenant', $1, false)", [String(current())]);
}

const TENANT = "select current_setting('app.tenant', true) as tenant";

describe('onAcquire', () => {
  it.each([
    [4, 'on a cold pool'],
    [400, 'at once'],
  ])('of %i requests %s sees the store of the acquire that it runs for', async (count) => {
    const pool = createPool({ onAcquire: setTenant });
    const tenants = await atOnce(count, async () => (await pool.query<{ tenant: string }>(TENANT)).rows[0]?.tenant);
    expect(tenants).toEqual(Array.from({ length: count }, (_, id) => String(id)));
  });

  it('sees it whichever way the acquire comes: connect, callback, Kysely, a cursor', async () => {
    const pool = createPool({ onAcquire: setTenant });
    const db = createKysely<object>(pool);
    const read = async (client: PoolClient): Promise<unknown> => {
      const { rows } = await client.query<{ tenant: string }>(TENANT);
      client.release();
      return rows[0]?.tenant;
    };
    const ways: ((id: number) => Promise<unknown>)[] = [
      async () => read(await pool.connect()),
      () => new Promise((resolve) => pool.connect((_, client) => resolve(read(client as PoolClient)))),
      () =>
        db.transaction().execute(async (transaction) => {
          const { rows } = await transaction.executeQuery<{ tenant: string }>({
            sql: TENANT,
            parameters: [],
            query: { kind: 'RawNode', sqlFragments: [TENANT], parameters: [] },
            queryId: { queryId: 'tenant' },
          } as never);
          return rows[0]?.tenant;
        }),
      async () => {
        const submitted = pool.query(new pg.Query(TENANT)) as unknown as Promise<QueryResult<{ tenant: string }>>;
        return (await submitted).rows[0]?.tenant;
      },
    ];
    const tenants = await atOnce(100, (id) => (ways[id % ways.length] as (id: number) => Promise<unknown>)(id));
    expect(tenants).toEqual(Array.from({ length: 100 }, (_, id) => String(id)));
  });

  it('sees it when the query is sent again, because its connection had been ended already', async () => {
    const hooked: (number | undefined)[] = [];
    const pool = createPool({ size: 1, onAcquire: () => void hooked.push(current()) });
    const text = 'select pg_backend_pid() as pid, $1::int';
    const { rows } = await requests.run({ id: 1 }, () => pool.query<{ pid: number }>(text, [0]));
    const pid = rows[0]?.pid as number;
    const control = new pg.Client({ connectionString: database.url });
    await control.connect();
    const terminated = control.query('select pg_terminate_backend($1)', [pid]);
    // The query is sent before this process can have read that its connection is over.
    blockUntilEnded(pid);
    await requests.run({ id: 2 }, () => pool.query(text, [0]));
    await terminated;
    await control.end();
    expect(hooked).toEqual([1, 2, 2]);
  });
});

/** Stops this process until another one has ended. */
function blockUntilEnded(processId: number): void {
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (let round = 0; round < 2_000 && isRunning(processId); round++) Atomics.wait(never, 0, 0, 5);
}

function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

describe('checks that nobody has asked for', () => {
  const refuse = (): never => {
    throw new Error('no tenant');
  };

  it('ping() doesn’t run onAcquire, and costs no connection', async () => {
    const pool = createPool({ size: 1, onAcquire: () => (current() === undefined ? refuse() : undefined) });
    await requests.run({ id: 1 }, () => pool.query('select 1'));
    for (let probe = 0; probe < 3; probe++) expect(await pool.ping()).toMatchObject({ status: 'up' });
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1, closed: { invalid: 0 } });
  });

  it('ping() of an idle connection that is checked first doesn’t, either', async () => {
    const pool = createPool({
      size: 1,
      prePing: true,
      onAcquire: () => (current() === undefined ? refuse() : undefined),
    });
    await requests.run({ id: 1 }, () => pool.query('select 1'));
    expect(await pool.ping()).toMatchObject({ status: 'up' });
    expect(pool.statistics()).toMatchObject({ opened: 1, size: 1 });
  });

  it('ping() of a cold pool doesn’t, and the connection that it opens is prepared for the first borrower', async () => {
    const pool = createPool({
      size: 1,
      onAcquire: (client) => (current() === undefined ? refuse() : setTenant(client)),
    });
    expect(await pool.ping()).toMatchObject({ status: 'up' });
    const { rows } = await requests.run({ id: 7 }, () => pool.query(TENANT));
    expect(rows).toEqual([{ tenant: '7' }]);
    expect(pool.statistics().opened).toBe(1);
  });

  it('the hook runs at each real lease, whatever the pool has asked in between', async () => {
    const pool = createPool({ size: 1, onAcquire: setTenant });
    for (const id of [1, 2]) {
      const { rows } = await requests.run({ id }, () => pool.query(TENANT));
      expect(rows).toEqual([{ tenant: String(id) }]);
      await pool.ping();
    }
  });

  it('run no reset of a borrower’s, and tell nobody of an acquire', async () => {
    let resets = 0;
    const pool = createPool({ size: 1, reset: () => void resets++ });
    await pool.query('select 1');
    const events: string[] = [];
    for (const event of ['acquire', 'release']) pool.on(event, () => events.push(event));
    await pool.ping();
    expect([resets, events]).toEqual([1, []]);
  });
});

describe('callbacks and promises', () => {
  it('of pool.query, pool.connect and a client’s query run in their caller’s context', async () => {
    const pool = createPool();
    const sightings = new Sightings();
    const ways: Record<string, (id: number) => Promise<void>> = {
      'pool.query(text, callback)': (id) =>
        new Promise((resolve) => {
          pool.query('select 1', () => {
            sightings.note('pool.query(text, callback)', id);
            resolve();
          });
        }),
      'pool.query(text, values, callback)': (id) =>
        new Promise((resolve) => {
          pool.query('select $1::int', [id], () => {
            sightings.note('pool.query(text, values, callback)', id);
            resolve();
          });
        }),
      'pool.query that fails': (id) =>
        new Promise((resolve) => {
          pool.query('select 1/$1::int', [0], () => {
            sightings.note('pool.query that fails', id);
            resolve();
          });
        }),
      'pool.query(Query)': (id) =>
        new Promise((resolve) => {
          const callback = (): void => {
            sightings.note('pool.query(Query)', id);
            resolve();
          };
          pool.query(new pg.Query('select 1', callback as never));
        }),
      'pool.query promise': async (id) => {
        await pool.query('select $1::int', [id]);
        sightings.note('pool.query promise', id);
      },
      'pool.connect(callback), client.query(callback)': (id) =>
        new Promise((resolve) => {
          pool.connect((_, client, done) => {
            sightings.note('pool.connect(callback)', id);
            client?.query('select 1', () => {
              sightings.note('client.query(text, callback)', id);
              client.query('select $1::int', [id], () => {
                sightings.note('client.query(text, values, callback)', id);
                done();
                resolve();
              });
            });
          });
        }),
      'client.query(Query)': async (id) => {
        const client = await pool.connect();
        await new Promise<void>((resolve) => {
          const callback = (): void => {
            sightings.note('client.query(Query)', id);
            resolve();
          };
          client.query(new pg.Query('select 1', callback as never));
        });
        client.release();
      },
      cursor: async (id) => {
        const client = await pool.connect();
        const cursor = client.query(new Cursor('select generate_series(1, 3)'));
        await cursor.read(2);
        sightings.note('cursor', id);
        await cursor.close();
        client.release();
      },
      stream: async (id) => {
        const client = await pool.connect();
        for await (const _ of client.query(new QueryStream('select generate_series(1, 3)'))) {
          sightings.note('stream', id);
        }
        client.release();
      },
    };
    const list = Object.values(ways);
    await atOnce(list.length * 30, (id) => (list[id % list.length] as (id: number) => Promise<void>)(id));
    expect(sightings.found).toEqual({
      'pool.query(text, callback)': inOwn(30),
      'pool.query(text, values, callback)': inOwn(30),
      'pool.query that fails': inOwn(30),
      'pool.query(Query)': inOwn(30),
      'pool.query promise': inOwn(30),
      'pool.connect(callback)': inOwn(30),
      'client.query(text, callback)': inOwn(30),
      'client.query(text, values, callback)': inOwn(30),
      'client.query(Query)': inOwn(30),
      cursor: inOwn(30),
      stream: inOwn(90),
    });
  });

  it('of queries that share connections run in their caller’s context', async () => {
    const pool = createPool({ size: 2, pipelining: {} });
    const sightings = new Sightings();
    await atOnce(300, async (id) => {
      await pool.query('select $1::int', [id]);
      sightings.note('promise', id);
      await new Promise<void>((resolve) => {
        pool.query('select $1::int', [id], () => {
          sightings.note('callback', id);
          resolve();
        });
      });
    });
    expect(sightings.found).toEqual({ promise: inOwn(300), callback: inOwn(300) });
  });

  it('of an acquire that times out or a query that does run in their caller’s context', async () => {
    const pool = createPool({ size: 1 });
    const sightings = new Sightings();
    const held = await pool.connect();
    await atOnce(50, async (id) => {
      await expect(pool.connect({ timeoutMs: 20 })).rejects.toThrow(/no connection within/);
      sightings.note('rejection', id);
    });
    held.release();
    await requests.run({ id: 60 }, async () => {
      await new Promise<void>((resolve) => {
        pool.query({ text: 'select pg_sleep(10)', query_timeout: 20 } as never, () => {
          sightings.note('query time-out', 60);
          resolve();
        });
      });
    });
    expect(sightings.found).toEqual({ rejection: inOwn(50), 'query time-out': inOwn(1) });
  });
});

describe('hooks', () => {
  it('that set a connection up run in nobody’s context, whoever’s acquire has dialled it', async () => {
    const sightings = new Sightings();
    const note = (what: string): void => sightings.note(what, undefined);
    const url = new URL(database.url);
    const { username, port, hostname, pathname } = url;
    const connection = {
      host: hostname,
      port: Number(port),
      user: decodeURIComponent(username),
      database: pathname.slice(1),
      password: async () => {
        note('password');
        return 'any';
      },
      stream: () => {
        note('stream');
        return new Socket();
      },
    };
    const pool = createPool({
      url: undefined,
      connection,
      onConnect: async (client) => {
        note('onConnect');
        await client.query('select 1');
        note('onConnect, later');
      },
      reset: async (client) => {
        note('reset');
        await client.query('select 1');
        note('reset, later');
      },
    } as DatabaseOptions);
    pool.on('connect', () => note('connect'));
    pool.on('remove', () => note('remove'));
    await atOnce(200, async (id) => {
      if (id % 2 === 0) return void (await pool.query('select $1::int', [id]));
      const client = await pool.connect();
      client.release(id % 10 === 1);
    });
    await vi.waitFor(() => expect(pool.statistics().connecting).toBe(0));
    await pool.close();
    const { opened } = pool.statistics();
    expect(opened).toBeGreaterThan(4);
    const found = sightings.found;
    expect(found).toMatchObject({
      stream: inNobodys(opened),
      onConnect: inNobodys(opened),
      'onConnect, later': inNobodys(opened),
      connect: inNobodys(opened),
      remove: inNobodys(opened),
    });
    expect(found['password'] ?? inNobodys(0)).toMatchObject({ own: 0 });
    expect(found['reset']).toEqual(inNobodys(180));
    expect(found['reset, later']).toEqual(inNobodys(180));
  });
});

describe('events, observers and channels', () => {
  it('about one acquire are told in its context', async () => {
    const sightings = new Sightings();
    const label = (): string | undefined => (current() === undefined ? undefined : String(current()));
    const idOf = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
    const pool = createPool({ slowAcquireMs: 0.000_001, slowQueryMs: 0.000_001 } as DatabaseOptions, {
      label,
      observer: {
        slowAcquire: (report) => sightings.note('slowAcquire', idOf(report.label)),
        slowQuery: (report) => sightings.note('slowQuery', idOf(report.label)),
      },
    });
    const acquired = (event: unknown): void =>
      sightings.note('channel acquire', idOf((event as { label?: string }).label));
    let releases = 0;
    const released = (): void => {
      releases++;
      if (current() === undefined) sightings.note('channel release in nobody’s', undefined);
    };
    subscribe('nestjs-pooling:acquire', acquired);
    subscribe('nestjs-pooling:release', released);
    onTestFinished(() => {
      unsubscribe('nestjs-pooling:acquire', acquired);
      unsubscribe('nestjs-pooling:release', released);
    });
    const holders = new Map<unknown, number | undefined>();
    pool.on('acquire', (client) => holders.set(client, current()));
    pool.on('release', (_, client) => sightings.note('release', holders.get(client)));
    await atOnce(200, async (id) => {
      if (id % 2 === 0) await pool.query('select $1::int', [id]);
      else {
        const client = await pool.connect();
        await client.query('select 1');
        client.release();
      }
    });
    expect([...holders.values()].sort((one, other) => (one ?? -1) - (other ?? -1))).toEqual(
      Array.from({ length: 200 }, (_, id) => id),
    );
    expect(releases).toBe(200);
    const { slowAcquire, ...found } = sightings.found;
    expect(slowAcquire?.nobody).toBe(0);
    expect(found).toEqual({ 'channel acquire': inOwn(200), release: inOwn(200), slowQuery: inOwn(200) });
  });

  it('of shared connections name whom they are about', async () => {
    const sightings = new Sightings();
    const label = (): string => String(current());
    const pool = createPool({ size: 1, pipelining: {}, slowQueryMs: 0.000_001 } as DatabaseOptions, {
      label,
      observer: { slowQuery: (report) => sightings.note('slowQuery', Number(report.label)) },
    });
    const acquired = (event: unknown): void => sightings.note('acquire', Number((event as { label?: string }).label));
    subscribe('nestjs-pooling:acquire', acquired);
    onTestFinished(() => void unsubscribe('nestjs-pooling:acquire', acquired));
    await atOnce(200, (id) => pool.query('select $1::int', [id]));
    expect(sightings.found).toEqual({ acquire: inOwn(200), slowQuery: inOwn(200) });
  });

  it('about a time-out are told in the context of the acquire', async () => {
    const sightings = new Sightings();
    let label = 0;
    const pool = createPool({ size: 1 }, { observer: { timedOut: () => sightings.note('timedOut', label) } });
    const held = await pool.connect();
    for (label = 1; label <= 3; label++) {
      await requests.run({ id: label }, () => pool.connect({ timeoutMs: 10 }).catch(() => undefined));
    }
    held.release();
    expect(sightings.found).toEqual({ timedOut: inOwn(3) });
  });

  it('about a connection are told in nobody’s', async () => {
    const sightings = new Sightings();
    const pool = createPool(
      { size: 2, leakDetectionMs: 20 },
      {
        observer: {
          lost: () => sightings.note('lost', undefined),
          leaked: () => sightings.note('leaked', undefined),
        },
      },
    );
    const note = (what: string) => () => sightings.note(what, undefined);
    const channels = ['connect', 'close'].map((name) => [`nestjs-pooling:${name}`, note(`channel ${name}`)] as const);
    for (const [name, listener] of channels) subscribe(name, listener);
    onTestFinished(() => {
      for (const [name, listener] of channels) unsubscribe(name, listener);
    });
    pool.on('error', note('error'));
    const pid = await requests.run({ id: 1 }, async () => {
      const client = await pool.connect();
      await vi.waitFor(() => expect(pool.statistics().leaks).toBe(1));
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      client.release();
      return rows[0]?.pid;
    });
    await requests.run({ id: 2 }, async () => {
      await database.query('select pg_terminate_backend($1)', [pid]);
      await vi.waitFor(() => expect(pool.statistics().closed.broken).toBe(1));
      (await pool.connect()).release(true);
    });
    expect(sightings.found).toEqual({
      lost: inNobodys(1),
      error: inNobodys(1),
      leaked: inNobodys(1),
      'channel connect': inNobodys(2),
      'channel close': inNobodys(2),
    });
  });

  it('of a borrowed client run in the context in which it was listened to', async () => {
    const pool = createPool({ size: 2 });
    const sightings = new Sightings();
    await atOnce(50, async (id) => {
      const client = await pool.connect();
      client.on('notice', () => sightings.note('notice', id));
      client.on('drain', () => sightings.note('drain', id));
      await client.query("do $$ begin raise notice 'seen'; end $$");
      client.release();
    });
    await requests.run({ id: 51 }, async () => {
      const client = await pool.connect();
      const ended = new Promise<void>((resolve) => client.once('end', resolve));
      client.on('error', () => sightings.note('error', 51));
      client.on('end', () => sightings.note('end', 51));
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      await database.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
      await ended;
      client.release();
    });
    expect(sightings.found).toMatchObject({ notice: inOwn(50), error: inOwn(1), end: inOwn(1) });
  });

  it('of Kysely: its log and its plugins run in the context of the query', async () => {
    const pool = createPool();
    const sightings = new Sightings();
    const db = createKysely<{ pg_class: { relname: string } }>(pool, {
      log: ({ query }) => sightings.note('log', query.parameters[0] as number),
    });
    await atOnce(100, async (id) => {
      const query = db
        .selectFrom('pg_class')
        .select('relname')
        .limit(1)
        .where(({ val, eb }) => eb(val(id), '=', id));
      if (id % 2 === 0) await query.execute();
      else for await (const _ of query.stream()) sightings.note('stream', id);
    });
    expect(sightings.found).toEqual({ log: inOwn(100), stream: sightings.found['stream'] });
  });
});

describe('what outlives a request', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;

  /** Runs a request in a store that nothing but its context refers to. */
  async function storeOf(request: () => Promise<void>): Promise<WeakRef<Request>> {
    const store = { id: 1 };
    await requests.run(store, request);
    return new WeakRef(store);
  }

  it('doesn’t keep its store: sockets, timers of deadlines and of maintenance, idle connections', async () => {
    const pool = createPool({ size: 4, idleTimeoutMs: 60_000, leakDetectionMs: 60_000 });
    const store = await storeOf(async () => {
      await Promise.all([
        pool.query('select 1'),
        pool.query('select $1::int', [1]),
        pool.query('select pg_sleep(0.01)'),
      ]);
      const client = await pool.connect();
      await client.query('begin');
      await client.query('commit');
      client.release();
      await pool.query('select 1/0').catch(() => undefined);
      await pool.ping();
    });
    await vi.waitFor(() => {
      collect();
      // The assertion would keep it.
      expect(store.deref() === undefined).toBe(true);
    });
    expect(pool.statistics().idle).toBeGreaterThan(0);
  });

  it('isn’t run in it: a timer of the library’s clock', async () => {
    const seen = await requests.run(
      { id: 1 },
      () => new Promise((resolve) => systemClock.setTimeout(() => resolve(current() ?? 'nobody'), 1)),
    );
    expect(seen).toBe('nobody');
  });
});
