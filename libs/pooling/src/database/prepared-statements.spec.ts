import type { QueryConfig } from 'pg';
import { inject } from 'vitest';
import { DatabasePool } from './database-pool.js';
import { createKysely } from './kysely/kysely.js';
import type { DatabaseOptions } from './options/options.js';
import { prepareQuery } from './kysely/prepare-query.js';
import { UnpreparedPlugin } from './kysely/unprepared-plugin.js';

const url = inject('databaseUrl');

function poolOf(options: DatabaseOptions = {}): DatabasePool {
  return new DatabasePool('prepared', { url, size: 1, maxOverflow: 0, ...options });
}

async function preparedTexts(pool: DatabasePool): Promise<string[]> {
  const { rows } = await pool.query<{ statement: string }>('select statement from pg_prepared_statements order by 1');
  return rows.map(({ statement }) => statement);
}

describe('prepared statements', () => {
  it('prepares a text on its second use, and finds it from the third on', async () => {
    await using pool = poolOf();
    const text = 'select $1::int + 1 as sum';
    for (let use = 1; use <= 4; use++) {
      const { rows, fields, rowCount, command } = await pool.query<{ sum: number }>(text, [use]);
      expect({ rows, rowCount, command }).toEqual({ rows: [{ sum: use + 1 }], rowCount: 1, command: 'SELECT' });
      expect(fields.map(({ name }) => name)).toEqual(['sum']);
      expect(await preparedTexts(pool)).toEqual(use === 1 ? [] : [text]);
    }
    expect(pool.statistics()).toMatchObject({ preparedStatementHits: 2, preparedStatementMisses: 2 });
  });

  it('prepares nothing when it is turned off, for the pool or for a query', async () => {
    await using off = poolOf({ preparedStatements: false });
    await using pool = poolOf();
    for (let use = 0; use < 3; use++) {
      await off.query('select $1::int', [use]);
      await pool.query<{ int4: number }>({ text: 'select $1::int', values: [use], prepare: false } as QueryConfig);
    }
    expect(await preparedTexts(off)).toEqual([]);
    expect(await preparedTexts(pool)).toEqual([]);
  });

  it("prepares none of Kysely's queries behind the plugin, in transactions neither", async () => {
    await using pool = poolOf();
    const db = createKysely<{ pg_class: { oid: number; relname: string } }>(pool);
    const unprepared = db.withPlugin(new UnpreparedPlugin());
    const byId = prepareQuery(unprepared, (p: { oid: number }) =>
      unprepared.selectFrom('pg_class').select('relname').where('oid', '=', p.oid),
    );
    for (let use = 0; use < 3; use++) {
      await unprepared.selectFrom('pg_class').select('oid').where('oid', '=', 1259).execute();
      expect(await byId.execute({ oid: 1259 })).toEqual([{ relname: 'pg_class' }]);
      await db.transaction().execute(async (transaction) => {
        const single = transaction.withPlugin(new UnpreparedPlugin()).selectFrom('pg_class').select('oid');
        expect(await single.where('relname', '=', 'pg_class').execute()).toEqual([{ oid: 1259 }]);
      });
    }
    expect(await preparedTexts(pool)).toEqual([]);
    for (let use = 0; use < 2; use++) await db.selectFrom('pg_class').select('oid').where('oid', '=', 1).execute();
    expect(await preparedTexts(pool)).toHaveLength(1);
  });

  it('keeps the most recently used ones and closes the others on the server', async () => {
    await using pool = poolOf({ preparedStatements: { max: 2 } });
    for (const column of ['a', 'b', 'c']) {
      for (let use = 0; use < 3; use++) await pool.query(`select $1::int as ${column}`, [use]);
    }
    expect(await preparedTexts(pool)).toEqual(['select $1::int as b', 'select $1::int as c']);
  });

  it('runs a statement again, unseen, when its table was altered under it', async () => {
    await using pool = poolOf();
    await pool.query('create temp table altered (id int)');
    await pool.query('insert into altered values (1)');
    const read = async (): Promise<unknown[]> =>
      (await pool.query('select * from altered where id = $1', [1])).rows as unknown[];
    for (let use = 0; use < 3; use++) expect(await read()).toEqual([{ id: 1 }]);
    await pool.query("alter table altered add column name text default 'one'");
    for (let use = 0; use < 3; use++) expect(await read()).toEqual([{ id: 1, name: 'one' }]);
    expect(await preparedTexts(pool)).toHaveLength(1);
  });

  it('prepares a statement again that somebody has deallocated', async () => {
    await using pool = poolOf();
    for (let use = 0; use < 3; use++) await pool.query('select $1::int as n', [use]);
    for (const forget of ['deallocate all', 'discard all']) {
      await pool.query(forget);
      expect((await pool.query('select $1::int as n', [7])).rows).toEqual([{ n: 7 }]);
    }
    expect(await preparedTexts(pool)).toEqual(['select $1::int as n']);
  });

  it('runs a function once that raises the error of a forgotten, taken or outdated statement', async () => {
    await using pool = poolOf();
    await pool.query('create temp sequence runs');
    await pool.query('create temp table shown (a int)');
    await pool.query('prepare all_shown as select * from shown');
    await pool.query('alter table shown add b int');
    await pool.query(`create function pg_temp.failing(command text) returns int language plpgsql as
      $$ begin perform nextval('pg_temp.runs'); execute command; return 1; end $$`);
    const commands = {
      'execute nothing': '26000',
      'prepare all_shown as select 1': '42P05',
      'execute all_shown': '0A000',
    };
    let runs = 0;
    for (const [command, code] of Object.entries(commands)) {
      for (let use = 0; use < 4; use++) {
        await expect(pool.query('select pg_temp.failing($1)', [command])).rejects.toMatchObject({ code });
        expect((await pool.query('select last_value::int as runs from pg_temp.runs')).rows).toEqual([{ runs: ++runs }]);
      }
    }
  });

  it('goes on after errors: of a text, of a value, of a parser', async () => {
    await using pool = poolOf();
    const wrong = 'select $1::int as n from nowhere';
    for (let use = 0; use < 3; use++) await expect(pool.query(wrong, [1])).rejects.toMatchObject({ code: '42P01' });
    const text = 'select 1 / $1::int as n';
    for (let use = 0; use < 3; use++) await expect(pool.query(text, [0])).rejects.toMatchObject({ code: '22012' });
    const unsendable = {
      toPostgres: () => {
        throw new Error('unsendable');
      },
    };
    await expect(pool.query(text, [unsendable])).rejects.toThrow('unsendable');
    expect((await pool.query(text, [1])).rows).toEqual([{ n: 1 }]);
    expect((await pool.query(text, [1])).rows).toEqual([{ n: 1 }]);
    expect(pool.totalCount).toBe(1);
  });

  it('says in a failed transaction what pg says there, whatever is wrong with a query besides', async () => {
    await using pool = poolOf();
    await pool.withConnection(async (client) => {
      const text = 'select $1::int as n';
      for (let use = 0; use < 3; use++) await client.query(text, [use]);
      await client.query('begin');
      await expect(client.query(text, ['no number'])).rejects.toMatchObject({ code: '22P02' });
      for (let use = 0; use < 3; use++)
        await expect(client.query(text, [1, 2])).rejects.toMatchObject({ code: '25P02' });
      await client.query('rollback');
      await client.query('begin');
      for (let use = 0; use < 3; use++) expect((await client.query(text, [use])).rows).toEqual([{ n: use }]);
      await client.query('select 1/0').catch(() => undefined);
      await expect(client.query(text, [1, 2])).rejects.toMatchObject({ code: '25P02' });
      await client.query('rollback');
    });
  });

  it('sends parameters of changing types as they are', async () => {
    await using pool = poolOf();
    const read = async (value: unknown): Promise<unknown> =>
      ((await pool.query('select $1::text as value', [value])).rows as { value: unknown }[])[0]?.value;
    expect(await read(null)).toBe(null);
    expect(await read(7)).toBe('7');
    expect(await read('seven')).toBe('seven');
    expect(await read(null)).toBe(null);
    expect(await read({ a: 1 })).toBe('{"a":1}');
  });

  it('reports rows that a statement without columns has changed', async () => {
    await using pool = poolOf();
    await pool.query('create temp table changed (id int)');
    for (let use = 1; use <= 4; use++) {
      const { command, rowCount, rows } = await pool.query('insert into changed values ($1)', [use]);
      expect({ command, rowCount, rows }).toEqual({ command: 'INSERT', rowCount: 1, rows: [] });
    }
    expect((await pool.query('update changed set id = $1 where id > 1', [9])).rowCount).toBe(3);
  });
});
