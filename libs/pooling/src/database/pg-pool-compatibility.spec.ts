import pg, { type Pool, type PoolClient, type Submittable } from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { codeOf, messageOf, onBothPools, onDatabasePool, onPgPool, type EitherPool } from '#test/support/both-pools.js';
import { useTestDatabase } from '#test/support/database.js';
import { isAtLeast } from '#test/support/peer-version.js';
import { DatabasePool } from './database-pool.js';

const database = useTestDatabase(
  'create table item (id int primary key, name text)',
  "insert into item select n, 'item ' || n from generate_series(1, 250) n",
);

/** Cases whose outcome must be the same for both pools. What they return is compared. */
const CASES: Record<string, (either: EitherPool) => Promise<unknown>> = {
  'query(text)': async ({ pool }) => (await pool.query('select 1 as one')).rows,
  'query(text, values)': async ({ pool }) => (await pool.query('select $1::int as one', [1])).rows,
  'query(config)': async ({ pool }) => (await pool.query({ text: 'select $1::int as one', values: [1] })).rows,
  'query(config, values)': async ({ pool }) => (await pool.query({ text: 'select $1::int as one' }, [1])).rows,
  'query with rowMode array': async ({ pool }) => (await pool.query({ text: 'select 1, 2', rowMode: 'array' })).rows,
  'query with a name': async ({ pool }) => {
    const query = { name: 'both', text: 'select $1::int as one' };
    return [(await pool.query(query, [1])).rows, (await pool.query(query, [2])).rows];
  },
  'query with types': async ({ pool }) => {
    const types = { getTypeParser: () => (text: string) => `parsed ${text}` } as unknown as pg.CustomTypesConfig;
    return (await pool.query({ text: 'select 1 as one', types })).rows;
  },
  'query(text, callback)': ({ pool }) =>
    new Promise((resolve) => {
      const returned = pool.query('select 1 as one', (error, result) =>
        resolve([error ?? null, result.rows, returned]),
      );
    }),
  'query(text, values, callback)': ({ pool }) =>
    new Promise((resolve) => {
      pool.query('select $1::int as one', [1], (error, result) => resolve([error ?? null, result.rows]));
    }),
  'query(config, callback)': ({ pool }) =>
    new Promise((resolve) => {
      pool.query({ text: 'select 1 as one' }, (error, result) => resolve([error ?? null, result.rows]));
    }),
  'query with an SQL error and a callback': ({ pool }) =>
    new Promise((resolve) => {
      pool.query('select 1/0', (error: Error & { code?: string }, result) => resolve([error.code, result]));
    }),
  'query with several statements': async ({ pool }) =>
    ((await pool.query('select 1 as a; select 2 as b')) as unknown as pg.QueryResult[]).map(
      ({ rows }) => rows as unknown,
    ),
  'query with an SQL error': ({ pool }) => codeOf(pool.query('select 1/0')),
  'query of nothing': ({ pool }) => messageOf(pool.query(null as never)),
  'query of undefined values': async ({ pool }) => (await pool.query('select 1 as one', undefined)).rows,
  'query of a function': ({ pool }) =>
    new Promise((resolve) => {
      (pool.query as (callback: (error: Error) => void) => void)((error) => resolve(error.message));
    }),
  'query with values that are not an array': ({ pool }) => messageOf(pool.query('select 1', 'text' as never)),
  'query with a value that can’t be serialised': ({ pool }) => {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    return messageOf(pool.query('select $1::text', [circular])).then((message) => message.split('\n')[0]);
  },
  'query works after every kind of error': async ({ pool }) => {
    await codeOf(pool.query('select 1/0'));
    await messageOf(pool.query(null as never));
    await messageOf(pool.query('select 1', 'text' as never));
    return (await pool.query('select 1 as one')).rows;
  },
  'connect() and release()': async ({ pool, events }) => {
    const client = await pool.connect();
    const { rows } = await client.query<{ one: number }>('select 1 as one');
    client.release();
    return [rows, events, pool.totalCount, pool.idleCount, pool.waitingCount];
  },
  'connect(callback)': ({ pool, events }) =>
    new Promise((resolve) => {
      pool.connect((error, client, done) => {
        client?.query('select 1 as one', (failure, result) => {
          done();
          resolve([error, failure ?? null, result.rows, events]);
        });
      });
    }),
  'connect(callback) with done(error)': ({ pool, events }) =>
    new Promise((resolve) => {
      pool.on('remove', () => setImmediate(() => resolve([events, pool.totalCount])));
      pool.connect((_error, _client, done) => done(new Error('broken')));
    }),
  'release(true) destroys': async ({ pool, events }) => {
    const removed = new Promise((resolve) => pool.once('remove', resolve));
    (await pool.connect()).release(true);
    await removed;
    return [events, pool.totalCount];
  },
  'release without its object': async ({ pool }) => {
    const borrowed: { release(this: void): void } = await pool.connect();
    const { release } = borrowed;
    release();
    return pool.idleCount;
  },
  'release twice throws': async ({ pool }) => {
    const client = await pool.connect();
    client.release();
    try {
      client.release();
      return 'nothing was thrown';
    } catch (error) {
      return error instanceof Error;
    }
  },
  'the release event has the error': async ({ pool }) => {
    const released: unknown[] = [];
    pool.on('release', (error: unknown) => released.push(error));
    (await pool.connect()).release();
    const broken = new Error('broken');
    (await pool.connect()).release(broken);
    return [released[0], released[1] === broken];
  },
  'the acquire event has the client that connect gives': async ({ pool }) => {
    const acquired: unknown[] = [];
    pool.on('acquire', (client) => acquired.push(client));
    const client = await pool.connect();
    client.release();
    return [acquired[0] === client, acquired.length];
  },
  'events of a query': async ({ pool, events }) => {
    await pool.query('select 1');
    await pool.query('select 1');
    return events;
  },
  'a listener of connect may set the session': async ({ pool }) => {
    pool.on('connect', (client) => void client.query("set search_path = 'pg_catalog'"));
    return (await pool.query('show search_path')).rows;
  },
  'a client is a pg.Client': async ({ pool }) => {
    const client = await pool.connect();
    const snapshot = [
      client instanceof pg.Client,
      client.escapeIdentifier('a"b'),
      client.escapeLiteral("a'b"),
      typeof (client as unknown as { processID: number }).processID,
      client.database === database.name,
      typeof client.connection.stream.write,
      client.getTypeParser(23, 'text')('7'),
    ];
    client.release();
    return snapshot;
  },
  'a pool is a pg.Pool': ({ pool }) =>
    Promise.resolve([pool instanceof pg.Pool, pool.constructor.name.includes('Pool')]),
  'a client’s queries run in order': async ({ pool }) => {
    const client = await pool.connect();
    const results = await Promise.all([1, 2, 3].map((number) => client.query('select $1::int as n', [number])));
    client.release();
    return results.flatMap(({ rows }) => rows as unknown[]);
  },
  'a client’s query with an SQL error leaves it usable': async ({ pool }) => {
    const client = await pool.connect();
    const code = await codeOf(client.query('select 1/0'));
    const { rows } = await client.query<{ one: number }>('select 1 as one');
    client.release();
    return [code, rows];
  },
  'a client of another type parser': async ({ pool }) => {
    const client = await pool.connect();
    client.setTypeParser(23, 'text', (text: string) => `int ${text}`);
    const { rows } = await client.query<{ one: string }>('select 1 as one');
    client.release(true);
    return rows;
  },
  'a client hears notices': async ({ pool }) => {
    const client = await pool.connect();
    const notices: unknown[] = [];
    client.on('notice', ({ message }) => notices.push(message));
    await client.query("do $$ begin raise notice 'hello'; end $$");
    client.release();
    return notices;
  },
  'a client hears notifications': async ({ pool }) => {
    const client = await pool.connect();
    await client.query('listen news');
    const heard = new Promise((resolve) => client.on('notification', ({ payload }) => resolve(payload)));
    await pool.query("notify news, 'extra'");
    const payload = await heard;
    client.release(true);
    return payload;
  },
  'a client hears drain': async ({ pool }) => {
    const client = await pool.connect();
    const drained = new Promise((resolve) => client.once('drain', () => resolve('drained')));
    await client.query('select 1');
    client.release();
    return drained;
  },
  'a cursor on a client': async ({ pool }) => {
    const client = await pool.connect();
    const cursor = client.query(new Cursor<{ id: number }>('select id from item order by id'));
    const chunks = [(await cursor.read(100)).length, (await cursor.read(100)).length, (await cursor.read(100)).length];
    await cursor.close();
    client.release();
    return [chunks, (await pool.query('select 1 as one')).rows];
  },
  'a stream on a client': async ({ pool }) => {
    const client = await pool.connect();
    const stream = client.query(new QueryStream('select id from item order by id'));
    let rows = 0;
    for await (const row of stream) if (row !== undefined) rows++;
    client.release();
    return [rows, (await pool.query('select 1 as one')).rows];
  },
  'a Query object on a client': async ({ pool }) => {
    const client = await pool.connect();
    const rows: unknown[] = [];
    const query = client.query(new pg.Query('select id from item where id < 4 order by id'));
    query.on('row', (row) => rows.push(row));
    await new Promise<void>((resolve) => query.on('end', () => resolve()));
    client.release();
    return rows;
  },
  'connect on a connected client is refused': async ({ pool }) => {
    const client = await pool.connect();
    const message = await messageOf(client.connect());
    client.release();
    return message;
  },
  'an idle connection that the server ends is replaced, and reported': async ({ pool, events }) => {
    const client = await pool.connect();
    const { processID } = client as unknown as { processID: number };
    client.release();
    const reported = new Promise<[Error & { code?: string; client?: unknown }, unknown]>((resolve) =>
      pool.once('error', (error, failed) => resolve([error, failed])),
    );
    const removed = new Promise((resolve) => pool.once('remove', resolve));
    await database.query('select pg_terminate_backend($1)', [processID]);
    const [error, failed] = await reported;
    await removed;
    return [error.code, error.client === failed, failed instanceof pg.Client, events, pool.totalCount];
  },
  'end() with a callback': ({ pool }) =>
    new Promise((resolve) => {
      void pool.query('select 1').then(() => {
        const returned = pool.end(() =>
          setImmediate(() => resolve([returned, pool.ended, pool.ending, pool.totalCount])),
        );
      });
    }),
  'end() waits for who holds a connection': async ({ pool, events }) => {
    const client = await pool.connect();
    const order: string[] = [];
    const ended = pool.end().then(() => order.push('ended'));
    await client.query('select pg_sleep(0.05)');
    order.push('released');
    client.release();
    await ended;
    return [order, events, pool.ending, pool.ended, pool.totalCount, pool.idleCount];
  },
  'connect after end() is refused': async ({ pool }) => {
    await pool.end();
    return pool.connect().then(
      () => 'connected',
      (error: unknown) => error instanceof Error,
    );
  },
  'counters while connections are held and waited for': async ({ pool }) => {
    const clients: PoolClient[] = [];
    for (let at = 0; at < pool.options.max; at++) clients.push(await pool.connect());
    const waiting = [pool.connect(), pool.connect()];
    const counters = [pool.totalCount, pool.idleCount, pool.waitingCount, pool.expiredCount];
    for (const client of clients) client.release();
    for (const client of await Promise.all(waiting)) client.release();
    return [counters, pool.totalCount, pool.idleCount, pool.waitingCount];
  },
  'options by the names of pg': ({ pool }) =>
    Promise.resolve([pool.options.max, pool.options.maxUses, (pool as unknown as DatabasePool).Client === pg.Client]),
};

/** Cases of what `pg.Pool` can only do from some version on, and `DatabasePool` with every one. */
const LATER_CASES: Record<string, { since: Record<string, string>; run: (typeof CASES)[string]; outcome: unknown }> = {
  'query works after a value’s own error': {
    since: { pg: '8.22.0' },
    outcome: [{ one: 1 }],
    run: async ({ pool }) => {
      await messageOf(
        pool.query('select $1::json', [
          {
            toPostgres: () => {
              throw new Error('no');
            },
          },
        ]),
      );
      return (await pool.query('select 1 as one')).rows;
    },
  },
  'query(new Query)': {
    since: { pg: '8.19.0' },
    outcome: [{ one: 1 }],
    run: async ({ pool }) => {
      const result = await (pool.query(new pg.Query('select 1 as one')) as unknown as Promise<pg.QueryResult>);
      return result.rows as unknown;
    },
  },
  'query(new QueryStream) frees the connection at its end': {
    since: { pg: '8.19.0', 'pg-query-stream': '4.13.0' },
    outcome: [250, 1, 1],
    run: async ({ pool }) => {
      const stream = new QueryStream('select id from item order by id');
      const done = pool.query(stream as unknown as Submittable) as unknown as Promise<unknown>;
      let rows = 0;
      for await (const row of stream) if (row !== undefined) rows++;
      await done;
      return [rows, pool.idleCount, pool.totalCount];
    },
  },
  'a client tells the status of its transaction': {
    since: { pg: '8.21.0' },
    outcome: ['I', 'T', 'E', 'I'],
    run: async ({ pool }) => {
      const client = await pool.connect();
      const statuses = [client.getTransactionStatus()];
      await client.query('begin');
      statuses.push(client.getTransactionStatus());
      // The error may arrive in a packet of its own, before the status.
      const drained = new Promise((resolve) => client.once('drain', resolve));
      await codeOf(client.query('select 1/0'));
      await drained;
      statuses.push(client.getTransactionStatus());
      await client.query('rollback');
      statuses.push(client.getTransactionStatus());
      client.release();
      return statuses;
    },
  },
};

describe('DatabasePool in the place of pg.Pool', () => {
  it.each(Object.entries(CASES))('does the same: %s', async (_name, run) => {
    const { theirs, ours } = await onBothPools(database.url, run);
    expect(ours).toEqual(theirs);
  });

  it.each(Object.entries(LATER_CASES))('does with every pg: %s', async (_name, { since, run, outcome }) => {
    expect(await onDatabasePool(database.url, run)).toEqual(outcome);
    const theirsCan = Object.entries(since).every(([name, version]) => isAtLeast(name, version));
    if (theirsCan) expect(await onPgPool(database.url, run)).toEqual(outcome);
  });

  // Not compared: pg itself writes into configs before 8.23.1.
  it('leaves a query’s config as it was, so that it can be used again', async () => {
    await using pool = new DatabasePool('frozen', { url: database.url });
    const config = Object.freeze({ text: 'select $1::int as one', values: Object.freeze([1]) as unknown as number[] });
    class Statement {
      readonly values = [2];
      get text(): string {
        return 'select $1::int as two';
      }
    }
    const statement = new Statement();
    for (let use = 0; use < 2; use++) {
      expect((await pool.query(config)).rows).toEqual([{ one: 1 }]);
      expect((await pool.query({ name: 'named', text: config.text }, [3])).rows).toEqual([{ one: 3 }]);
      expect((await pool.query(statement)).rows).toEqual([{ two: 2 }]);
    }
    expect(config).toEqual({ text: 'select $1::int as one', values: [1] });
    expect(Object.keys(statement)).toEqual(['values']);
  });

  it('is assignable to pg.Pool', async () => {
    await using pool = new DatabasePool('assignable', { url: database.url });
    const asPgPool: Pool = pool;
    expect(asPgPool.totalCount).toBe(0);
  });
});
