/** Queries that are known beforehand: in one transaction and one round trip, all of them or none. */
import { sql, type Generated, type Kysely } from 'kysely';
import { TcpProxy } from 'nestjs-pooling/testing';
import { urlAt, useTestDatabase } from '#test/support/database.js';
import { FlightCounter } from '#test/support/flight-counter.js';
import { rejection } from '#test/support/outcomes.js';
import { usePools } from '#test/support/pools.js';
import type { DatabasePool } from '../database-pool.js';
import type { DatabaseOptions } from '../options/options.js';
import { batch } from './batch.js';
import { createKysely, type CreateKyselyOptions } from './kysely.js';
import { prepareQuery } from './prepare-query.js';

interface Tables {
  entry: { id: Generated<number>; name: string };
  strict: { id: number };
}

const database = useTestDatabase(
  'create table entry (id serial primary key, name text)',
  'create table strict (id int, constraint once unique (id) deferrable initially deferred)',
);
const createPool = usePools('batch', () => ({ size: 1, maxOverflow: 0, prePing: false }));
let counter: FlightCounter;
let proxy: TcpProxy;

beforeAll(async () => {
  const port = Number(new URL(database.url).port);
  counter = await FlightCounter.before(port);
  proxy = await TcpProxy.listen({ port });
});
beforeEach(() => database.query('truncate entry, strict restart identity'));
afterAll(async () => {
  await counter[Symbol.asyncDispose]();
  await proxy.close();
});

async function open(
  options: DatabaseOptions = {},
  through: { readonly port: number } = counter,
  kysely: CreateKyselyOptions = {},
): Promise<{ pool: DatabasePool; db: Kysely<Tables> }> {
  const pool = createPool({ url: urlAt(database.url, through.port), ...options });
  await pool.query('select 1');
  counter.reset();
  return { pool, db: createKysely<Tables>(pool, kysely) };
}

const named = (db: Kysely<Tables>, name: string) => db.insertInto('entry').values({ name });

async function names(): Promise<string[]> {
  return (await database.query<{ name: string }>('select name from entry order by id')).map(({ name }) => name);
}

describe.each([
  ['with prepared statements', {}],
  ['without prepared statements', { preparedStatements: false }],
  ['with pipelining', { pipelining: {} }],
] as [string, DatabaseOptions][])('%s', (_way, options) => {
  it('gives what each query gives by itself, in one flight', async () => {
    const { db, pool } = await open(options);
    const byId = prepareQuery(db, (p: { id: number }) => db.selectFrom('entry').select('name').where('id', '=', p.id));
    for (let round = 0; round < 3; round++) {
      await database.query('truncate entry restart identity');
      counter.reset();
      const results = await batch(db, [
        named(db, 'one').returning('id'),
        named(db, 'two'),
        db.updateTable('entry').set({ name: 'second' }).where('id', '=', 2),
        db.selectFrom('entry').select(['id', 'name']).orderBy('id'),
        sql<{ sum: number }>`select ${1}::int + ${2}::int as sum`,
        sql<{ one: number }>`select 1 as one`.compile(db),
        () => byId.executeTakeFirst({ id: 2 }),
        db.deleteFrom('entry').where('id', '=', 1),
      ]);
      expect(counter.flights).toBe(1);
      expect(results).toEqual([
        [{ id: 1 }],
        [expect.objectContaining({ numInsertedOrUpdatedRows: 1n })],
        [expect.objectContaining({ numUpdatedRows: 1n })],
        [
          { id: 1, name: 'one' },
          { id: 2, name: 'second' },
        ],
        { rows: [{ sum: 3 }] },
        { rows: [{ one: 1 }] },
        { name: 'second' },
        [expect.objectContaining({ numDeletedRows: 1n })],
      ]);
    }
    expect(await names()).toEqual(['second']);
    expect(pool.statistics()).toMatchObject({ opened: 1, inUse: 0, transactionsLeftOpen: 0 });
  });

  it.each([0, 1, 3])('keeps nothing when number %s fails, and says which it was', async (index) => {
    const { db, pool } = await open(options);
    for (let round = 0; round < 3; round++) {
      const queries = [named(db, 'a'), named(db, 'b'), named(db, 'c')] as Parameters<typeof batch>[1][number][];
      queries.splice(index, 0, sql`select 1/0`);
      const error = await rejection(batch(db, queries));
      expect(error).toMatchObject({ code: '22012', details: { index } });
    }
    expect(await names()).toEqual([]);
    expect(await batch(db, [named(db, 'later').returning('name')])).toEqual([[{ name: 'later' }]]);
    expect(pool.statistics()).toMatchObject({ opened: 1, inUse: 0, transactionsLeftOpen: 0 });
  });

  it('keeps nothing when the commit fails', async () => {
    const { db } = await open(options);
    const twice = db.insertInto('strict').values({ id: 1 });
    const error = await rejection(batch(db, [twice, twice, named(db, 'a')]));
    expect(error).toMatchObject({ code: '23505', constraint: 'once' });
    expect(error).not.toHaveProperty('details');
    expect(await names()).toEqual([]);
  });

  it('sends nothing when a value can’t be sent', async () => {
    const { db } = await open(options);
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    expect(await rejection(batch(db, [named(db, 'a'), sql`select ${cyclic}`]))).toMatchObject({
      details: { index: 1 },
    });
    expect(counter.sent).toBe('');
    expect(await names()).toEqual([]);
  });

  it('runs what may be several statements in order as well', async () => {
    const { db } = await open(options);
    const several = sql`insert into entry (name) values ('x'); insert into entry (name) values ('y')`;
    await batch(db, [named(db, 'a'), several, named(db, 'b')]);
    expect(await names()).toEqual(['a', 'x', 'y', 'b']);
    const failing = sql`insert into entry (name) values ('z'); select 1/0`;
    expect(await rejection(batch(db, [named(db, 'c'), failing, named(db, 'd')]))).toMatchObject({
      code: '22012',
      details: { index: 1 },
    });
    expect(await names()).toEqual(['a', 'x', 'y', 'b']);
  });

  it('runs in a transaction that it is given, in one flight', async () => {
    const { db } = await open(options);
    await db.transaction().execute(async (trx) => {
      await named(trx, 'first').execute();
      counter.reset();
      const [, rows] = await batch(trx, [named(trx, 'second'), trx.selectFrom('entry').select('name').orderBy('id')]);
      expect(rows).toEqual([{ name: 'first' }, { name: 'second' }]);
      expect(counter.flights).toBe(1);
    });
    const undone = db.transaction().execute((trx) => batch(trx, [named(trx, 'a'), sql`select 1/0`, named(trx, 'b')]));
    expect(await rejection(undone)).toMatchObject({ code: '22012', details: { index: 1 } });
    expect(await names()).toEqual(['first', 'second']);
  });

  it.each([false, true])('cut at its commit (delivered: %s): nobody can know, and it says so', async (deliver) => {
    const { db, pool } = await open(options, proxy);
    const cut = proxy.cutWhen(deliver ? { bytes: 'COMMIT\0', direction: 'toClient' } : { bytes: 'commit\0' });
    const error = await rejection(batch(db, [named(db, 'perhaps')]));
    await cut;
    expect(error).toMatchObject({ code: 'ERR_POOL_COMMIT_UNKNOWN', pool: 'batch' });
    await vi.waitFor(async () => expect(await names()).toEqual(deliver ? ['perhaps'] : []));
    expect(await batch(db, [sql`select 1`])).toHaveLength(1);
    expect(pool.statistics().inUse).toBe(0);
  });

  it('is sent again when the server has ended the connection before it was', async () => {
    const { db, pool } = await open(options, proxy);
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    await database.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
    // What may be behind a pooler is sent once only: there the pool has to have seen the end.
    if ('preparedStatements' in options) await vi.waitFor(() => expect(pool.totalCount).toBe(0));
    await batch(db, [named(db, 'kept')]);
    expect(await names()).toEqual(['kept']);
  });
});

it('refuses what would end its transaction, and what isn’t a query of its database', async () => {
  const { db } = await open();
  const { db: other } = await open();
  for (const query of [
    sql`commit`,
    sql`select 1; rollback`,
    named(other, 'a'),
    () => Promise.resolve(1),
    () => Promise.all([named(db, 'a').execute(), named(db, 'b').execute()]),
  ]) {
    counter.reset();
    expect(await rejection(batch(db, [named(db, 'x'), query]))).toBeInstanceOf(TypeError);
    expect(counter.sent).toBe('');
  }
  expect(await rejection(db.connection().execute((connection) => batch(connection, [sql`select 1`])))).toBeInstanceOf(
    TypeError,
  );
  expect(await batch(db, [])).toEqual([]);
  expect(await names()).toEqual([]);
});

it('lets plugins and the log see its queries', async () => {
  const log: string[] = [];
  const { db } = await open({}, counter, {
    log: ({ level, query }) => void log.push(`${level}: ${query.sql}`),
    plugins: [
      {
        transformQuery: ({ node }) => node,
        transformResult: ({ result }) => Promise.resolve({ ...result, rows: [...result.rows, { name: 'plugged' }] }),
      },
    ],
  });
  const [rows] = await batch(db, [db.selectFrom('entry').select('name')]);
  expect(rows).toEqual([{ name: 'plugged' }]);
  await rejection(batch(db, [sql`select 1/0`]));
  expect(log).toEqual(['query: select "name" from "entry"', 'query: commit', 'error: select 1/0', 'query: commit']);
});
