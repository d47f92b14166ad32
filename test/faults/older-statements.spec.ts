/** What was prepared before the schema changed must hurt nobody: nobody asked for it to be prepared. */
import pg, { type PoolClient, type QueryConfig } from 'pg';
import type { Clock } from '#pooling/core/clock.js';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { codeOf } from '#test/support/both-pools.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { noneLost, slotsOf } from '#test/support/slots.js';

let database: TestDatabase;
const open: DatabasePool[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(async () => {
  await database.query(`alter database ${database.name} reset search_path`);
  await database.query('drop schema if exists public, one, two cascade; create schema public');
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((pool) => pool.close({ deadlineMs: 0 })));
});
afterAll(() => database.drop());

function createPool(options: DatabaseOptions = {}, clock?: Clock): DatabasePool {
  const dependencies = clock === undefined ? {} : { clock };
  const pool = new DatabasePool('older', { url: database.url, size: 2, maxOverflow: 0, ...options }, dependencies);
  open.push(pool);
  return pool;
}

/** Both connections of a pool. */
async function both(pool: DatabasePool): Promise<[PoolClient, PoolClient]> {
  return Promise.all([pool.connect(), pool.connect()]);
}

interface SchemaChange {
  readonly before: string;
  readonly text: string;
  readonly value: unknown;
  readonly ddl: string;
  /** Means something only after the change. */
  readonly later: unknown;
  /** By this an old statement fails in a transaction; `undefined`: it doesn't. */
  readonly code: string | undefined;
  readonly rows: readonly object[];
}

const CHANGES: Readonly<Record<string, SchemaChange>> = {
  'int has become bigint': {
    before: 'create table item (a int)',
    text: 'insert into item values ($1) returning a > 4 as large',
    value: '5',
    ddl: 'alter table item alter a type bigint',
    later: '5000000000',
    code: '22003',
    rows: [{ large: true }],
  },
  'int has become text': {
    before: 'create table item (a int)',
    text: 'insert into item values ($1)',
    value: '5',
    ddl: 'alter table item alter a type text',
    later: 'five',
    code: '22P02',
    rows: [],
  },
  'int has become text in a condition': {
    before: 'create table item (a int)',
    text: 'select count(*)::int as n from item where a = $1',
    value: '5',
    ddl: 'alter table item alter a type text',
    later: '6',
    code: '42883',
    rows: [{ n: 0 }],
  },
  'text has become uuid': {
    before: 'create table item (a text)',
    text: 'select count(*)::int as n from item where a = $1',
    value: '5',
    ddl: 'alter table item alter a type uuid using gen_random_uuid()',
    later: 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    code: '42883',
    rows: [{ n: 0 }],
  },
  'text has become an enum': {
    before: "create type mood as enum ('good'); create table item (a text)",
    text: 'insert into item values ($1)',
    value: 'good',
    ddl: 'alter table item alter a type mood using a::mood',
    later: 'good',
    code: '42804',
    rows: [],
  },
  'an enum was made anew': {
    before: "create type mood as enum ('good')",
    text: 'select $1::mood as mood',
    value: 'good',
    ddl: "drop type mood; create type mood as enum ('good', 'bad')",
    later: 'bad',
    code: 'XX000',
    rows: [{ mood: 'bad' }],
  },
  'an enum in the text was made anew': {
    before: "create type mood as enum ('good')",
    text: "select 'good'::mood as mood, $1::int as n",
    value: 1,
    ddl: "drop type mood; create type mood as enum ('bad', 'good')",
    later: 2,
    code: 'XX000',
    rows: [{ mood: 'good', n: 2 }],
  },
  'a domain was made anew': {
    before: 'create domain digit as int check (value < 10)',
    text: 'select $1::digit as digit',
    value: 1,
    ddl: 'drop domain digit; create domain digit as int check (value < 100)',
    later: 50,
    code: 'XX000',
    rows: [{ digit: 50 }],
  },
  'a range was made anew': {
    before: 'create type span as range (subtype = int)',
    text: 'select upper($1::span) as upper',
    value: '[1,2)',
    ddl: 'drop type span; create type span as range (subtype = int)',
    later: '[1,9)',
    code: 'XX000',
    rows: [{ upper: 9 }],
  },
  'a composite was made anew': {
    before: 'create type pair as (a int, b int)',
    text: 'select ($1::pair).b as b',
    value: '(1,2)',
    ddl: 'drop type pair; create type pair as (a int, b text)',
    later: '(1,two)',
    code: 'XX000',
    rows: [{ b: 'two' }],
  },
  'a field of a composite has another type, found when the statement runs already': {
    before: 'create type pair as (a int, b int)',
    text: 'select ($1::pair).b as b',
    value: '(1,2)',
    ddl: 'alter type pair alter attribute b type text',
    later: '(1,two)',
    code: '42804',
    rows: [{ b: 'two' }],
  },
  'a function takes another type': {
    before: "create function twice(int) returns int language plpgsql as 'begin return 2 * $1; end'",
    text: 'select twice($1) as twice',
    value: 1,
    ddl: `drop function twice(int);
      create function twice(text) returns text language plpgsql as 'begin return $1 || $1; end'`,
    later: 'one',
    code: '22P02',
    rows: [{ twice: 'oneone' }],
  },
  'a view was made anew': {
    before: 'create table item (a int); create view shown as select a from item',
    text: 'select * from shown where a = $1',
    value: 1,
    ddl: 'drop view shown; create view shown as select a::text from item',
    later: '6',
    code: '42883',
    rows: [],
  },
  'an operator was made anew': {
    before: `create function near(int, int) returns bool language plpgsql as 'begin return abs($1 - $2) < 2; end';
      create operator ~~~~ (function = near, leftarg = int, rightarg = int)`,
    text: 'select $1 ~~~~ 1 as near',
    value: 1,
    ddl: `drop operator ~~~~ (int, int); drop function near(int, int);
      create function near(text, int) returns bool language plpgsql as 'begin return length($1) = $2; end';
      create operator ~~~~ (function = near, leftarg = text, rightarg = int)`,
    later: 'x',
    code: '22P02',
    rows: [{ near: true }],
  },
  'a table has a column more': {
    before: 'create table item (a int)',
    text: 'select * from item where a = $1',
    value: 1,
    ddl: "alter table item add b text default 'b'; insert into item values (2)",
    later: 2,
    code: '0A000',
    rows: [{ a: 2, b: 'b' }],
  },
};

describe.each(Object.entries(CHANGES))('%s, by somebody else', (_name, change) => {
  const use = async (client: PoolClient | DatabasePool, value: unknown): Promise<unknown[]> =>
    (await (client as PoolClient).query<object>(change.text, [value])).rows;

  async function prepareOnBoth(pool: DatabasePool): Promise<[PoolClient, PoolClient]> {
    await database.query(change.before);
    const clients = await both(pool);
    for (const client of clients) for (let at = 0; at < 3; at++) await use(client, change.value);
    await database.query(change.ddl);
    return clients;
  }

  it('is seen by nobody outside a transaction, and found out once for the whole pool', async () => {
    const pool = createPool();
    const [first, second] = await prepareOnBoth(pool);
    expect(await use(first, change.later)).toEqual(change.rows);
    // In a transaction it would be seen.
    await second.query('begin');
    expect(await use(second, change.later)).toEqual(change.rows);
    await second.query('commit');
    const { preparedStatementHits } = pool.statistics();
    for (const client of [first, second]) expect(await use(client, change.later)).toEqual(change.rows);
    expect(pool.statistics().preparedStatementHits).toBeGreaterThan(preparedStatementHits);
    first.release();
    second.release();
    expect(await slotsOf(pool)).toEqual(noneLost(2));
    expect(pool.statistics()).toMatchObject({ opened: 2 });
  });

  it('is an error in a transaction, and the next use works, on whichever connection', async () => {
    const pool = createPool();
    const [first, second] = await prepareOnBoth(pool);
    await first.query('begin');
    expect(await codeOf(use(first, change.later))).toBe(change.code);
    await first.query('rollback');
    for (const client of [first, second]) {
      await client.query('begin');
      expect(await use(client, change.later)).toEqual(change.rows);
      await client.query('commit');
    }
    first.release();
    second.release();
  });

  it('is seen by nobody among queries that share a connection', async () => {
    await database.query(change.before);
    const pool = createPool({ size: 1, pipelining: {} });
    const other = 'select $1::int as n';
    for (let at = 0; at < 30; at++) await Promise.all([use(pool, change.value), pool.query(other, [at])]);
    await database.query(change.ddl);
    const numbers = Array.from({ length: 10 }, (_, at) => at);
    const answers = await Promise.all(
      numbers.map(async (n) => [(await pool.query<object>(other, [n])).rows, await use(pool, change.later)]),
    );
    // The first of those that insert a row make no difference to the others: none of these texts reads what they insert.
    expect(answers).toEqual(numbers.map((n) => [[{ n }], change.rows]));
    expect(await slotsOf(pool)).toEqual(noneLost(1));
  });
});

describe('an old statement', () => {
  it('runs again before the queries that its borrower has asked for after it', async () => {
    await database.query('create table item (a int)');
    const pool = createPool({ size: 1 });
    const insert = 'insert into item values ($1)';
    await pool.withConnection(async (client) => {
      for (let at = 0; at < 3; at++) await client.query(insert, [at]);
      await database.query('alter table item alter a type text');
      const [, counted] = await Promise.all([
        client.query(insert, ['three']),
        client.query<{ n: number }>('select count(*)::int as n from item'),
      ]);
      expect(counted.rows).toEqual([{ n: 4 }]);
    });
  });

  it('is dropped once a failed value turns out to be right, not for each bad value', async () => {
    await database.query('create table item (a int)');
    const pool = createPool({ size: 1 });
    const text = 'select a from item where a = $1';
    for (let at = 0; at < 3; at++) await pool.query(text, [at]);
    for (let at = 0; at < 20; at++) expect(await codeOf(pool.query(text, ['bad']))).toBe('22P02');
    const { preparedStatementMisses } = pool.statistics();
    await pool.query(text, [1]);
    // Bad values have cost nobody else their statement.
    expect(pool.statistics().preparedStatementMisses).toBe(preparedStatementMisses);
    const { rows } = await pool.query<{ n: number }>('select count(*)::int as n from pg_prepared_statements');
    expect(rows).toEqual([{ n: 1 }]);
  });

  it('is dropped by the whole pool at most once a second for bad values in transactions', async () => {
    await database.query('create table item (a int)');
    const clock = new ManualClock();
    const pool = createPool({}, clock);
    const [first, second] = await both(pool);
    const text = 'select a from item where a = $1';
    for (const client of [first, second]) for (let at = 0; at < 3; at++) await client.query(text, [at]);
    const prepared = async (): Promise<unknown> => {
      const times = 'select prepare_time::text as at from pg_prepared_statements where statement = $1';
      return (await second.query<object>({ text: times, values: [text], prepare: false } as QueryConfig)).rows;
    };
    const fail = async (): Promise<void> => {
      await first.query('begin');
      expect(await codeOf(first.query(text, ['bad']))).toBe('22P02');
      await first.query('rollback');
      await second.query(text, [1]);
    };
    await fail();
    const after = await prepared();
    for (let at = 0; at < 5; at++) await fail();
    expect(await prepared()).toEqual(after);
    await clock.advance(1_000);
    await fail();
    expect(await prepared()).not.toEqual(after);
    first.release();
    second.release();
  });

  it('whose error is of the moment isn’t run again: a lock that isn’t had in time', async () => {
    await database.query('create table item (a int)');
    const pool = createPool({ size: 1 });
    const text = 'select a from item where a = $1';
    await pool.withConnection(async (client) => {
      for (let at = 0; at < 3; at++) await client.query(text, [at]);
      await using locker = new DatabasePool('locker', { url: database.url });
      await locker.withConnection(async (other) => {
        await other.query('begin; lock table item in access exclusive mode');
        await client.query("set lock_timeout = '50ms'");
        const { preparedStatementMisses } = pool.statistics();
        expect(await codeOf(client.query(text, [1]))).toBe('55P03');
        expect(pool.statistics()).toMatchObject({ preparedStatementMisses });
        await other.query('rollback');
      });
    });
  });
});

describe('what a statement means without an error', () => {
  const INSERT = 'insert into event values ($1)';
  const VALUE = '2020-01-01T00:00:00+05:00';
  const ALTER = "alter table event alter at type timestamptz using at at time zone 'UTC'";

  /** A text that is prepared on both connections, and would be stored as another moment once the column has another type. */
  async function prepareInsert(pool: DatabasePool): Promise<void> {
    await database.query('create table event (at timestamp)');
    const clients = await both(pool);
    for (const client of clients) for (let at = 0; at < 3; at++) await client.query(INSERT, [VALUE]);
    await database.query('truncate event');
    for (const client of clients) client.release();
  }

  /** What each connection stores now. */
  async function stored(pool: DatabasePool): Promise<string[]> {
    const clients = await both(pool);
    for (const client of clients) await client.query(INSERT, [VALUE]);
    for (const client of clients) client.release();
    const rows = await database.query<{ at: string }>("select (at at time zone 'UTC')::text as at from event");
    return rows.map(({ at }) => at);
  }

  const RIGHT = ['2019-12-31 19:00:00', '2019-12-31 19:00:00'];
  const WRONG = ['2020-01-01 00:00:00', '2020-01-01 00:00:00'];

  const WAYS: Readonly<Record<string, (pool: DatabasePool) => Promise<unknown>>> = {
    'a query': (pool) => pool.query(ALTER),
    'several statements in one text': (pool) => pool.query(`select 1; ${ALTER}; select 2`),
    'a transaction': (pool) =>
      pool.withConnection(async (client) => {
        await client.query('begin');
        await client.query(ALTER);
        await client.query('select 1');
        await client.query('commit');
      }),
    'a transaction in one text': (pool) => pool.query(`begin; ${ALTER}; commit; begin; select 1; rollback`),
    'a transaction that goes on with another one': (pool) =>
      pool.withConnection(async (client) => {
        await client.query('begin');
        await client.query(ALTER);
        await client.query('commit and chain');
        await client.query('rollback');
      }),
    'a DO block': (pool) => pool.query(`do $$ begin execute $a$${ALTER}$a$; end $$`),
    'a procedure': async (pool) => {
      await database.query(`create procedure change() language sql as $$ ${ALTER} $$`);
      await pool.query('call change()');
    },
    'a named query of pg’s': (pool) => pool.query({ name: 'alter', text: ALTER }),
    'a Query object': (pool) =>
      new Promise((resolve, reject) => {
        const query = new pg.Query(ALTER);
        query.on('end', resolve);
        query.on('error', reject);
        pool.query(query);
      }),
    'Kysely’s schema builder': (pool) =>
      createKysely(pool)
        .schema.alterTable('event')
        .alterColumn('at', (column) => column.setDataType('timestamptz'))
        .execute(),
  };

  it.each(Object.entries(WAYS))('is right after a change that this pool has made itself: by %s', async (_way, run) => {
    const pool = createPool();
    await prepareInsert(pool);
    await run(pool);
    expect(await stored(pool)).toEqual(RIGHT);
  });

  it('is right after a change that another statement has found out', async () => {
    const pool = createPool();
    await prepareInsert(pool);
    const read = 'select at from event where $1::int = 1';
    for (let at = 0; at < 3; at++) await pool.query(read, [1]);
    await database.query(ALTER);
    await pool.query(read, [1]);
    expect(await stored(pool)).toEqual(RIGHT);
  });

  it('is right half a minute after a change that nobody here knows of', async () => {
    const clock = new ManualClock();
    const pool = createPool({}, clock);
    await prepareInsert(pool);
    await database.query(ALTER);
    expect(await stored(pool)).toEqual(WRONG);
    await database.query('truncate event');
    await clock.advance(30_000);
    expect(await stored(pool)).toEqual(RIGHT);
  });

  it('is as it was after a change that was rolled back', async () => {
    const pool = createPool();
    await prepareInsert(pool);
    await pool.withConnection(async (client) => {
      await client.query('begin');
      await client.query(ALTER);
      await client.query(INSERT, [VALUE]);
      expect((await client.query("select (at at time zone 'UTC')::text as at from event")).rows).toEqual([
        { at: RIGHT[0] },
      ]);
      await client.query('rollback');
    });
    const rows = async (): Promise<unknown> => database.query('select at::text as at from event');
    await stored(pool);
    expect(await rows()).toEqual(WRONG.map((at) => ({ at })));
  });
});

describe('another search_path, with a type of its own', () => {
  const TEXT = 'select * from item where kind = $1';

  async function prepareInTenant(pool: DatabasePool): Promise<PoolClient> {
    for (const tenant of ['one', 'two']) {
      await database.query(`create schema ${tenant}`);
      await database.query(`create type ${tenant}.kind as enum ('${tenant}')`);
      await database.query(`create table ${tenant}.item (kind ${tenant}.kind, of_${tenant} int)`);
      await database.query(`insert into ${tenant}.item values ('${tenant}', 1)`);
    }
    // What a reset goes back to.
    await database.query(`alter database ${database.name} set search_path = 'two'`);
    const client = await pool.connect();
    await client.query("set search_path = 'one'");
    for (let at = 0; at < 3; at++) await client.query(TEXT, ['one']);
    return client;
  }

  const WAYS: Readonly<Record<string, string>> = {
    'set search_path': "set search_path = 'two'",
    'set schema': "set schema 'two'",
    'set session': "set session search_path to 'two'",
    set_config: "select set_config('search_path', 'two', false)",
    'a DO block': "do $$ begin perform set_config('search_path', 'two', false); end $$",
    reset: 'reset search_path',
    'reset all': 'reset all',
    'discard all': 'discard all',
  };

  it.each(Object.entries(WAYS))('is obeyed in a transaction, after %s', async (_way, text) => {
    const pool = createPool({ size: 1 });
    const client = await prepareInTenant(pool);
    await client.query(text);
    await client.query('begin');
    expect((await client.query(TEXT, ['two'])).rows).toEqual([{ kind: 'two', of_two: 1 }]);
    await client.query('commit');
    client.release();
  });

  it('is obeyed until the end of its transaction or savepoint, committed or not', async () => {
    const pool = createPool({ size: 1 });
    const client = await prepareInTenant(pool);
    const read = async (kind: string): Promise<unknown> => {
      const { rows } = await client.query<object>(TEXT, [kind]);
      return rows;
    };
    const ofOne = [{ kind: 'one', of_one: 1 }];
    const ofTwo = [{ kind: 'two', of_two: 1 }];
    for (const end of ['commit', 'rollback']) {
      await client.query('begin');
      await client.query("set local search_path = 'two'");
      expect(await read('two')).toEqual(ofTwo);
      await client.query(end);
      await client.query('begin');
      expect(await read('one')).toEqual(ofOne);
      await client.query('savepoint before');
      await client.query("set search_path = 'two'");
      expect(await read('two')).toEqual(ofTwo);
      await client.query('rollback to before');
      expect(await read('one')).toEqual(ofOne);
      await client.query('commit');
    }
    client.release();
  });

  it('that is the same as before costs no statement where the server reports it', async () => {
    const pool = createPool({ size: 1 });
    const client = await prepareInTenant(pool);
    await client.query(TEXT, ['one']);
    const { preparedStatementMisses } = pool.statistics();
    await client.query("set search_path = 'one'");
    await client.query("set application_name = 'other'");
    await client.query(TEXT, ['one']);
    expect(pool.statistics().preparedStatementMisses).toBe(preparedStatementMisses);
    client.release();
  });
});

it('a temporary table that hides another one is what a text means from then on', async () => {
  await database.query('create table item (a int)');
  await database.query('insert into item values (1)');
  const pool = createPool({ size: 1 });
  const text = 'select a from item where a > $1';
  const first = 'create temp table other (a int)';
  await pool.query(first);
  for (const make of [
    'create temp table item (a int)',
    'create temp table item as select 2 as a',
    'select 2 as a into temp item',
  ]) {
    await pool.withConnection(async (client) => {
      for (let at = 0; at < 3; at++) expect((await client.query(text, [0])).rows).toEqual([{ a: 1 }]);
      await client.query(make);
      expect((await client.query(text, [0])).rows).toEqual(make.includes('2') ? [{ a: 2 }] : []);
      await client.query('drop table item');
      expect((await client.query(text, [0])).rows).toEqual([{ a: 1 }]);
    });
  }
});

it('a literal is read by the settings of its session, however they were changed', async () => {
  const pool = createPool({ size: 1 });
  const text = "select (timestamptz '2025-01-01 12:00' at time zone 'UTC')::text as at, $1::int as n";
  await pool.withConnection(async (client) => {
    const read = async (): Promise<string | undefined> => (await client.query<{ at: string }>(text, [1])).rows[0]?.at;
    for (let at = 0; at < 3; at++) expect(await read()).toBe('2025-01-01 12:00:00');
    await client.query("set timezone = 'Asia/Kolkata'");
    expect(await read()).toBe('2025-01-01 06:30:00');
    await client.query("select set_config('timezone', 'UTC', false)");
    expect(await read()).toBe('2025-01-01 12:00:00');
    await client.query('begin');
    await client.query("set local time zone 'Asia/Kolkata'");
    expect(await read()).toBe('2025-01-01 06:30:00');
    await client.query('commit');
    expect(await read()).toBe('2025-01-01 12:00:00');
  });
});
