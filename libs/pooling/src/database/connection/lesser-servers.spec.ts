import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { refusedAfterDial } from '#test/support/turned-time.js';
import { ManualClock } from '../../testing/manual-clock.js';
import { DatabasePool } from '../database-pool.js';
import type { DatabasePoolDependencies } from '../database-parts.js';
import type { DatabaseOptions } from '../options/options.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  // Found before the functions of the server itself, when the path says so.
  await database.query(`create schema lesser;
    create function lesser.pg_backend_pid() returns int language plpgsql as $$begin
      raise 'function pg_backend_pid() does not exist' using errcode = 'undefined_function';
    end$$;
    create function lesser.generate_series(int, int) returns setof int language plpgsql as $$begin
      raise 'set-returning functions are not supported' using errcode = 'feature_not_supported';
    end$$;
    create schema unaware;
    create function unaware.pg_is_in_recovery() returns bool language plpgsql as $$begin
      raise 'function pg_is_in_recovery() does not exist' using errcode = 'undefined_function';
    end$$;
    create function unaware.pg_backend_pid() returns int language sql as 'select 0';
    create schema moments;
    create function moments.pg_backend_pid() returns int language plpgsql as $$begin
      raise 'canceling statement due to user request' using errcode = 'query_canceled';
    end$$;`);
});
afterAll(() => database.drop());

/** A pool whose server has no functions but those of a schema, where that has them. */
function poolOn(
  schema: string,
  options: DatabaseOptions = {},
  dependencies: DatabasePoolDependencies = {},
): DatabasePool {
  const url = new URL(database.url);
  url.searchParams.set('options', `-c search_path=${schema},pg_catalog,public`);
  return new DatabasePool('lesser', { url: url.href, size: 2, maxOverflow: 0, ...options }, dependencies);
}

const NO_SETTINGS = { statementTimeoutMs: 0, lockTimeoutMs: 0, idleInTransactionTimeoutMs: 0, session: {} };

describe('a server that can’t say which backend it is', () => {
  it.each([
    ['with settings of its sessions', {}],
    ['without any', NO_SETTINGS],
    ['with pipelining', { pipelining: {} }],
  ])('is connected to and used with prepared statements, %s', async (_what, options) => {
    await using pool = poolOn('lesser', options);
    for (let use = 0; use < 5; use++) {
      const answers = await Promise.all([1, 2, 3, 4].map((n) => pool.query('select $1::int + 1 as more', [n])));
      expect(answers.map(({ rows }) => rows)).toEqual([[{ more: 2 }], [{ more: 3 }], [{ more: 4 }], [{ more: 5 }]]);
    }
    const { connectErrors, preparedStatementHits } = pool.statistics();
    expect(connectErrors).toBe(0);
    expect(preparedStatementHits).toBeGreaterThan(0);
    const [setting] = (await pool.query("select current_setting('statement_timeout') as ms")).rows;
    expect(setting).toEqual({ ms: options === NO_SETTINGS ? '0' : '1min' });
  });

  it('has rows described with each use, as behind a pooler: they may be of another backend’s statement', async () => {
    await database.query('create table shape (a int, b text); insert into shape values (1, $$x$$)');
    await using pool = poolOn('lesser', { size: 1 });
    const text = 'select * from shape where a >= $1';
    for (let use = 0; use < 4; use++) expect((await pool.query(text, [0])).rows).toEqual([{ a: 1, b: 'x' }]);
    await database.query('alter table shape drop column b; alter table shape add column c text default $$y$$');
    expect((await pool.query(text, [0])).rows).toEqual([{ a: 1, c: 'y' }]);
  });

  it('still hears which setting it refuses', async () => {
    await using pool = poolOn('lesser', { session: { timezone: 'Nowhere/At/All' } });
    await expect(pool.query('select 1')).rejects.toMatchObject({
      code: 'ERR_POOL_CONNECT_FAILED',
      cause: { code: '22023' },
    });
  });

  it.each([
    ['has no series to count by', 'lesser'],
    ['doesn’t know of recovery, and is what it has reported', 'unaware'],
  ])('is judged by its role all the same: one that %s', async (_what, schema) => {
    await using pool = poolOn(schema, { targetSessionAttrs: 'read-write' });
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics()).toMatchObject({ connectErrors: 0, hosts: { states: [{ role: 'primary' }] } });
    await using other = poolOn(schema, { targetSessionAttrs: 'standby', acquireTimeoutMs: 500 });
    await expect(other.query('select 1')).rejects.toThrow('is a primary and standby is wanted');
  });

  it('hears of a setting that can’t be changed', async () => {
    await using pool = poolOn('lesser', { session: { max_connections: '10' } });
    await expect(pool.query('select 1')).rejects.toMatchObject({
      code: 'ERR_POOL_CONNECT_FAILED',
      message: expect.stringContaining('refuses a setting') as string,
      cause: { code: '55P02' },
    });
  });

  it('is not taken for one because the question was cancelled', async () => {
    const clock = new ManualClock();
    await using pool = poolOn('moments', { acquireTimeoutMs: 1_000 }, { clock });
    const refused = await refusedAfterDial(pool, clock);
    expect(refused).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT', cause: { code: '57014' } });
    // Nothing is wrong with a setting: waiting may help.
    expect(refused.message).not.toContain('setting');
  });
});
