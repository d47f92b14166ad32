import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { TcpProxy } from 'nestjs-pooling/testing';
import type { PoolClient } from 'pg';
import { from, to } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { DatabasePool } from './database-pool.js';
import { createKysely } from './kysely/kysely.js';
import type { DatabaseOptions } from './options/options.js';

let database: TestDatabase;
let proxy: TcpProxy;
const pools: DatabasePool[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  await database.query('create table copied (n int)');
});
afterAll(() => database.drop());
beforeEach(async () => {
  proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
});
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
  await proxy.close();
});

function createPool(options: DatabaseOptions = {}): DatabasePool {
  const url = new URL(database.url);
  url.port = String(proxy.port);
  const pool = new DatabasePool('streams', { url: url.href, size: 1, maxOverflow: 0, ...options });
  pools.push(pool);
  return pool;
}

/** More than fits into the buffers of a cursor's batch or of a socket. */
const ROWS = 4;
const TEXT = `select n, repeat('x', 2000000) as wide from generate_series(1, ${ROWS}) as n`;
/** How long a statement may take. Long enough for every other statement of a test, on whatever machine. */
const LIMIT_MS = 4_000;

/** A consumer that takes longer, with the first row, than the whole statement may. */
function slowConsumer(): () => Promise<unknown> {
  let rows = 0;
  return async () => (rows++ === 0 ? delay(LIMIT_MS + 500) : undefined);
}

/** Each way to read rows as they are wanted; gives how many came. `pause` is the consumer's work for each of them. */
const READERS: Readonly<Record<string, (client: PoolClient, pause: () => Promise<unknown>) => Promise<number>>> = {
  async cursor(client, pause) {
    const cursor = client.query(new Cursor(TEXT));
    let count = 0;
    for (;;) {
      const rows = await cursor.read(1);
      if (rows.length === 0) break;
      count += rows.length;
      await pause();
    }
    await cursor.close();
    return count;
  },
  async stream(client, pause) {
    let count = 0;
    for await (const _ of client.query(new QueryStream(TEXT, [], { batchSize: 1 }))) {
      count++;
      await pause();
    }
    return count;
  },
  async copyOut(client, pause) {
    let length = 0;
    for await (const chunk of client.query(to(`copy (${TEXT}) to stdout`))) {
      const before = Math.floor(length / 2_000_000);
      length += (chunk as Buffer).length;
      if (Math.floor(length / 2_000_000) > before) await pause();
    }
    return Math.round(length / 2_000_000);
  },
  async copyIn(client, pause) {
    async function* lines(): AsyncGenerator<string> {
      for (let n = 0; n < ROWS; n++) {
        yield `${n}\n`;
        await pause();
      }
    }
    const copy = client.query(from('copy copied from stdin'));
    await pipeline(Readable.from(lines()), copy);
    return copy.rowCount;
  },
};

const KINDS = Object.entries(READERS);

const showTimeout = async (client: PoolClient): Promise<unknown> => (await client.query('show statement_timeout')).rows;

describe('a consumer that takes longer than statementTimeoutMs and queryTimeoutMs', () => {
  const limits = { statementTimeoutMs: LIMIT_MS, queryTimeoutMs: LIMIT_MS };

  const limited = [{ statement_timeout: `${LIMIT_MS / 1_000}s` }];

  it('reads to the end, in each way', async () => {
    const reads = async ([kind, read]: (typeof KINDS)[number], preparedStatements: boolean): Promise<void> => {
      const pool = createPool({ ...limits, preparedStatements });
      const client = await pool.connect();
      expect(await read(client, slowConsumer()), kind).toBe(ROWS);
      expect(await showTimeout(client), kind).toEqual(limited);
      client.release();
      expect(pool.statistics().opened, kind).toBe(1);
    };
    await Promise.all(KINDS.flatMap((each) => [reads(each, true), reads(each, false)]));
  });

  it('reads to the end in a transaction, whose other statements stay limited, in each way', async () => {
    const reads = async ([kind, read]: (typeof KINDS)[number]): Promise<void> => {
      const pool = createPool(limits);
      const client = await pool.connect();
      await client.query('begin');
      expect(await read(client, slowConsumer()), kind).toBe(ROWS);
      expect(await showTimeout(client), kind).toEqual(limited);
      expect(await read(client, slowConsumer()), kind).toBe(ROWS);
      const slow = client.query({ text: 'select pg_sleep(60)', query_timeout: 30_000 } as never);
      await expect(slow, kind).rejects.toMatchObject({ code: '57014' });
      await client.query('rollback');
      expect(await showTimeout(client), kind).toEqual(limited);
      client.release();
      expect(pool.statistics().opened, kind).toBe(1);
    };
    await Promise.all(KINDS.map(reads));
  });

  it('reads to the end through Kysely, outside of a transaction and in one', async () => {
    const db = createKysely<Record<string, never>>(createPool({ ...limits, size: 2 }));
    const rows = async (of: typeof db): Promise<number> => {
      let count = 0;
      const pause = slowConsumer();
      const query = of.selectFrom(sql<{ n: number }>`(${sql.raw(TEXT)})`.as('wide')).selectAll();
      for await (const _ of query.stream(1)) {
        count++;
        await pause();
      }
      return count;
    };
    const inside = db.transaction().execute((transaction) => rows(transaction));
    expect(await Promise.all([rows(db), inside])).toEqual([ROWS, ROWS]);
  });

  it.each([
    ['by hand', 'begin', `set local statement_timeout = 3900`, {}],
    ['by hand for the session', 'select 1', `set statement_timeout = 3900`, {}],
    ['in the session’s settings', 'select 1', 'select 1', { session: { statement_timeout: 3_900 } }],
  ])('is ended by a limit that was set %s', async (_where, begin, set, options) => {
    const client = await createPool({ ...limits, ...options }).connect();
    await client.query(begin);
    await client.query(set);
    const cursor = client.query(new Cursor(TEXT));
    await cursor.read(1);
    await delay(4_200);
    await expect(cursor.read(ROWS)).rejects.toMatchObject({ code: '57014' });
    client.release(true);
  });

  it('leaves the error of a failed transaction and of a failing stream as it is', async () => {
    const pool = createPool(limits);
    const client = await pool.connect();
    for (const [kind, read] of Object.entries(READERS)) {
      await client.query('begin');
      await expect(client.query('select 1 / 0')).rejects.toMatchObject({ code: '22012' });
      await expect(
        read(client, async () => {}),
        kind,
      ).rejects.toMatchObject({ code: '25P02' });
      await client.query('rollback');
    }
    await expect(client.query(new Cursor('select 1 / 0')).read(1)).rejects.toMatchObject({ code: '22012' });
    const copy = client.query(to('copy nothing to stdout'));
    copy.resume();
    expect(await once(copy, 'error')).toMatchObject([{ code: '42P01' }]);
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    client.release();
    expect(pool.statistics().opened).toBe(1);
  });

  it('is rolled back with a transaction that was left open right behind its stream', async () => {
    const pool = createPool(limits);
    const client = await pool.connect();
    await client.query('begin');
    const cursor = client.query(new Cursor('select 1 as one'));
    expect(await cursor.read(2)).toEqual([{ one: 1 }]);
    await cursor.close();
    client.release();
    expect((await pool.query('select 2 as two')).rows).toEqual([{ two: 2 }]);
    expect(pool.statistics()).toMatchObject({ opened: 1, transactionsLeftOpen: 1 });
  });
});

it.each([true, false])('is committed with its end, with its time limit lifted (%s)', async (lifted) => {
  await database.query('truncate copied');
  const pool = createPool({ statementTimeoutMs: lifted ? 60_000 : 0 });
  const client = await pool.connect();
  await pipeline(Readable.from(['1\n']), client.query(from('copy copied from stdin')));
  expect(await database.query('select n from copied')).toEqual([{ n: 1 }]);
  const copy = client.query(
    to('copy (with added as (insert into copied values (2) returning n) select * from added) to stdout'),
  );
  copy.resume();
  await once(copy, 'end');
  await client.query('select 1 / 0').catch(() => {});
  expect(await database.query('select n from copied order by n')).toEqual([{ n: 1 }, { n: 2 }]);
  for (const read of Object.values(READERS)) await read(client, async () => {});
  const failing = client.query(from('copy copied from stdin'));
  await expect(pipeline(Readable.from(['3\n', 'x\n']), failing)).rejects.toMatchObject({ code: '22P02' });
  await client.query('create temporary table late (n int unique deferrable initially deferred)');
  const refused = client.query(from('copy late from stdin'));
  await expect(pipeline(Readable.from(['1\n1\n']), refused)).rejects.toMatchObject({ code: '23505' });
  expect(await showTimeout(client)).toEqual([{ statement_timeout: lifted ? '1min' : '0' }]);
  client.release();
  expect(pool.statistics()).toMatchObject({ opened: 1, size: 1, transactionsLeftOpen: 0 });
  expect(await database.query('select count(*)::int from copied')).toEqual([{ count: 2 + ROWS }]);
});

it('lifts the time limit in one flight with a COPY that writes: it waits for no answer', async () => {
  const pool = createPool();
  const client = await pool.connect();
  const writes: string[] = [];
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  const { write } = stream;
  let answers = 0;
  stream.prependListener('data', () => answers++);
  stream.write = function (this: Socket, ...given: [never]) {
    if (answers === 0) writes.push(String(given[0]));
    return write.apply(this, given);
  };
  await pipeline(Readable.from(['1\n']), client.query(from('/* all */ copy copied from stdin')));
  expect(writes.join('')).toMatch(/set_config.*copy copied/s);
  client.release();
});

it.each(Object.keys(READERS))(
  'ends with the error of what lifts the time limit, and leaves the connection fit: %s',
  async (kind) => {
    await database.query(`create schema if not exists refusing;
    create or replace function refusing.current_setting(text) returns text language plpgsql as $$begin
      raise 'not now' using errcode = 'insufficient_privilege';
    end$$`);
    const pool = createPool();
    const client = await pool.connect();
    await client.query('set search_path = refusing, pg_catalog, public');
    const read = READERS[kind] as (typeof READERS)[string];
    await expect(read(client, async () => {})).rejects.toMatchObject({ code: '42501' });
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    client.release();
    expect(pool.statistics()).toMatchObject({ opened: 1, closed: { broken: 0 } });
  },
);

it('leaves alone what is neither a cursor nor a COPY, and may not run in a transaction', async () => {
  const client = await createPool().connect();
  const ran = await new Promise<unknown>((resolve) => {
    client.query({
      text: 'vacuum copied',
      submit(connection: { query(text: string): void }) {
        connection.query('vacuum copied');
      },
      handleCommandComplete: () => undefined,
      handleError: resolve,
      handleReadyForQuery: () => resolve('vacuumed'),
    } as never);
  });
  expect(ran).toBe('vacuumed');
  client.release();
});

describe('streamIdleTimeoutMs', () => {
  const READING = KINDS.filter(([kind]) => kind !== 'copyIn');

  it.each(READING)(
    'ends what waits for a server that fell silent in mid-stream, and frees its slot: %s',
    async (_kind, read) => {
      const pool = createPool({ streamIdleTimeoutMs: 400 });
      const client = await pool.connect();
      const reading = read(client, async () => proxy.blackhole());
      await expect(reading).rejects.toMatchObject({
        code: 'ERR_POOL_QUERY_TIMEOUT',
        message: expect.stringContaining('silent for 400 ms in the middle of an answer (streamIdleTimeoutMs): '),
      });
      client.release();
      await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ size: 0, closed: { 'query-timeout': 1 } }));
    },
  );

  it('waits for a consumer that takes longer, in each way', async () => {
    const reads = async ([kind, read]: (typeof KINDS)[number]): Promise<void> => {
      const client = await createPool({ streamIdleTimeoutMs: LIMIT_MS }).connect();
      expect(await read(client, slowConsumer()), kind).toBe(ROWS);
      client.release();
    };
    await Promise.all(KINDS.map(reads));
  });
});

describe('a connection that is killed under a stream', () => {
  const kill = async (): Promise<void> => {
    await database.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name <> 'test support' and datname = current_database()",
    );
  };

  it.each(['stream', 'cursor'])('ends it with an error and frees its slot: %s', async (kind) => {
    const pool = createPool();
    const client = await pool.connect();
    let killed = false;
    const reading = (READERS[kind] as (typeof READERS)[string])(client, async () => {
      if (killed) return;
      killed = true;
      await kill();
      await delay(50);
    });
    await expect(reading).rejects.toThrow(/terminat/i);
    client.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('ends a COPY with an error and frees its slot', async () => {
    const pool = createPool();
    const client = await pool.connect();
    // More than there is room for on the way.
    const rows = "select repeat('x', 20000), pg_sleep(0.01) from generate_series(1, 2000)";
    const reading = async (): Promise<void> => {
      let killed: Promise<void> | undefined;
      for await (const _ of client.query(to(`copy (${rows}) to stdout`))) killed ??= kill();
    };
    await expect(reading()).rejects.toThrow(/terminat/i);
    client.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('ends a stream that is destroyed later', async () => {
    const pool = createPool();
    const client = await pool.connect();
    const stream = client.query(new QueryStream(TEXT, [], { batchSize: 1 }));
    await once(stream, 'readable');
    const lost = once(client, 'error');
    await kill();
    await lost;
    stream.on('error', () => {}).destroy();
    await once(stream, 'close');
    client.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });
});
