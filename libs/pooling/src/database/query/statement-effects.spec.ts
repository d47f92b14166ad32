import pg from 'pg';
import { useTestDatabase } from '#test/support/database.js';
import { effectOf, effectWhenSent, mayChangeReading, type StatementEffect } from './statement-effects.js';

const database = useTestDatabase('create table item (a int)');

const REPORTED = new Set(['search_path', 'timezone']);

describe('what a command may have changed', () => {
  it.each<[effect: StatementEffect, tag: string, text: string, values?: readonly unknown[]]>([
    ['none', 'SELECT 1', 'select 1'],
    ['none', 'SELECT 1', "select 'create table into set_config' as text"],
    ['none', 'SELECT 1', 'select "into" from item -- into'],
    ['none', 'SELECT 1', 'with made as (insert into item values ($1) returning *) select * from made'],
    ['unsure', 'SELECT 3', 'select 1 as a into other'],
    ['unsure', 'SELECT 3', 'select 1 as a -- insert\n into other'],
    ['unsure', 'SELECT 3', 'with a as (select 1) select * into other from a'],
    ['schema', 'SELECT 3', 'create table other as select 1 as a'],
    ['session', 'SELECT 3', 'create temporary table other as select 1 as a'],
    ['schema', 'SELECT 3', '; create table other as select 1 as a'],
    ['schema', 'SELECT 3', 'select 1; /* a */ create table other as select 1 as a'],
    ['schema', 'EXPLAIN', 'explain analyze create table other as select 1 as a'],
    ['session', 'EXPLAIN', 'explain (analyze) create temp table other as select 1 as a'],
    ['session', 'EXPLAIN', "explain analyze select set_config('search_path', 'x', false)"],
    ['session', 'COPY 1', "copy (select set_config('search_path', 'x', false)) to stdout"],
    ['session', 'SET', 'set local /* a */ search_path = x'],
    ['none', 'INSERT 0 1', 'insert into item values ($1)'],
    ['session', 'INSERT 0 1', "insert into item select set_config('search_path', 'x', false)"],
    ['none', 'UPDATE 1', 'update item set a = 1'],
    ['session', 'SELECT 1', "select set_config('search_path', $1, true)"],
    ['session', 'SELECT 1', "select SET_CONFIG ('role', $1, true)"],
    ['literals', 'SELECT 1', "select set_config('timezone', 'UTC', true)"],
    ['none', 'SELECT 1', "select set_config('app.tenant', $1, true)"],
    ['session', 'SELECT 1', "select set_config('app.tenant', $1, true), set_config('search_path', $1, true)"],
    ['session', 'SELECT 1', 'select set_config($1, $2, true)'],
    ['session', 'SELECT 1', 'select set_config($1, $2, true)', ['search_path', 'x']],
    ['none', 'SELECT 1', 'select set_config($1, $2, true)', ['app.tenant', 'x']],
    ['session', 'INSERT 0 1', "insert into log values (set_config('search_path', 'x', false))"],
    ['none', 'SET', 'set statement_timeout = 5'],
    ['none', 'SET', "set local app.tenant = 'search_path'"],
    ['session', 'SET', 'set search_path to x'],
    ['session', 'SET', 'begin; set statement_timeout = 5; set local search_path = x'],
    ['session', 'SET', "SET SCHEMA 'x'"],
    ['session', 'SET', 'set "search_path" = x'],
    ['session', 'SET', 'set role other'],
    ['session', 'SET', 'set session authorization other'],
    ['none', 'SET', 'set session characteristics as transaction read only'],
    ['literals', 'SET', "set time zone 'UTC'"],
    ['literals', 'SET', 'set xml option document'],
    ['session', 'SET', ''],
    ['session', 'RESET', 'reset all'],
    ['session', 'RESET', 'reset role'],
    ['none', 'RESET', 'reset statement_timeout'],
    ['schema', 'CREATE TABLE', 'create table a (b int)'],
    ['schema', 'ALTER TABLE', 'alter table a add b int'],
    ['schema', 'DROP TYPE', 'drop type a'],
    ['schema', 'IMPORT FOREIGN SCHEMA', 'import foreign schema a from server b into c'],
    ['session', 'CREATE TABLE', 'create local temp table a (b int)'],
    ['schema', 'CREATE TABLE', 'create temp table a (b int); create table c (d int)'],
    ['session', 'CREATE TABLE', '/* a /* b */ c */ create temp table a (b int)'],
    ['schema', 'CREATE TABLE', '/* create temp */ create table a (b int)'],
    ['unsure', 'DO', 'do $$ begin end $$'],
    ['unsure', 'CALL', 'call a($1)'],
    ['unsure', 'COMMIT PREPARED', "commit prepared 'a'"],
    ['none', 'COMMIT', 'commit'],
    ['none', 'COPY 3', 'copy a from stdin'],
    ['none', 'DEALLOCATE', 'deallocate a'],
    ['forgotten', 'DEALLOCATE ALL', 'deallocate all'],
    ['forgotten', 'DISCARD ALL', 'discard all'],
    ['session', 'DISCARD TEMP', 'discard temp'],
  ])('is %s for %s of: %s', (effect, tag, text, values) => {
    expect(effectOf(tag, text, values)).toBe(effect);
  });

  it('is unsure of a text that is too long to be read, if it has words that may change something', () => {
    const long = `${'x'.repeat(25_000_000)}${`''`.repeat(500_000)}`;
    expect(effectOf('INSERT', `insert into t values ('into ${long}')`, undefined)).toBe('unsure');
    expect(effectOf('INSERT', `insert into t values ('${long}')`, undefined)).toBe('none');
    expect(effectWhenSent(`select set_config('app.x', '${long}', true)`, [])).toBe('unsure');
  });

  it('leaves to the server what the server reports by itself', () => {
    expect(effectOf('SET', 'set search_path to x', undefined, REPORTED)).toBe('none');
    expect(effectOf('SET', "set time zone 'UTC'", undefined, REPORTED)).toBe('none');
    expect(effectOf('SELECT 1', "select set_config('search_path', 'x', false)", undefined, REPORTED)).toBe('none');
    expect(effectOf('SET', 'set role other', undefined, REPORTED)).toBe('session');
  });

  it('is asked of few of the texts that are prepared', () => {
    expect(mayChangeReading('insert into item (a) values ($1) returning a')).toBe(false);
    expect(mayChangeReading('select a from item where a = $1')).toBe(false);
    expect(mayChangeReading('select a into other from item where a = $1')).toBe(true);
    expect(mayChangeReading("select set_config('search_path', $1, true)")).toBe(true);
  });
});

describe('what a text that is sent may change', () => {
  let client: pg.Client;
  beforeAll(async () => {
    client = new pg.Client(database.url);
    await client.connect();
  });
  afterAll(() => client.end());

  const reading = async (): Promise<unknown> => {
    const facts =
      "current_setting('search_path') as path, current_setting('timezone') as zone, to_regclass('made') as made";
    return (await client.query(`select ${facts}`)).rows[0];
  };

  /** Whether the server looks names up otherwise after a text, in a transaction that has a schema and a savepoint of its own. */
  async function changes(text: string): Promise<boolean> {
    await client.query('begin');
    try {
      await client.query(
        "create schema other; savepoint a; set local search_path = other, public; set local timezone = 'UTC'",
      );
      const before = await reading();
      await client.query(text);
      return JSON.stringify(await reading()) !== JSON.stringify(before);
    } finally {
      await client.query('rollback');
      await client.query('drop table if exists made; drop schema if exists other');
    }
  }

  it.each([
    ['set local search_path = public'],
    ['-- of the tenant\r\nset local search_path = public'],
    ['-- of the tenant\rset local search_path = public'],
    ['/* a /* b */ c */ set local search_path = public'],
    ['; set local search_path = public'],
    ['set local /* a */ search_path = public'],
    ['set /* a */ "search_path" = public'],
    ['set local -- a\rsearch_path = public'],
    ['set local statement_timeout = 5000; set local/**/search_path = public'],
    ["select set_config('search_path', 'public', true)"],
    ["select set_config/**/('search_path', 'public', true)"],
    ["select set_config -- a\r('search_path', 'public', true)"],
    [`select "set_config"('search_path', 'public', true)`],
    ["explain analyze select set_config('search_path', 'public', true)"],
    ["explain (analyze, costs off) select set_config('search_path', 'public', true)"],
    ["copy (select set_config('search_path', 'public', true)) to stdout"],
    ["( -- a\n(select set_config('search_path', 'public', true)))"],
    ["with a as (select set_config('search_path', 'public', true)) select * from a"],
    ["values (set_config('search_path', 'public', true))"],
    ["select set_config('timezone', 'Asia/Tokyo', true)"],
    ["set local time zone 'Asia/Tokyo'"],
    ['rollback to a'],
    ['/* a /* b */ c */ rollback to a'],
    ['abort'],
    ['commit'],
    ['end'],
    ['create table made ()'],
    ['create table made as select 1 as a'],
    ['; create table made as select 1 as a'],
    ['/* a /* b */ c */ create table made as select 1 as a'],
    ['explain analyze create table made as select 1 as a'],
    ['explain (analyze) /* a */ create table made as select 1 as a'],
    ['explain analyze select 1 as a into made'],
    ['select 1 as a into made'],
    ['select 1 as a -- why\rinto made'],
    ['select 1 as a /* a /* b */ */ into made'],
    [`select e'\\'', a into made from item where '' = ''`],
    ['select a$$, b$$ into made from (select 1 as a$$, 2 as b$$) as c'],
    [`select 1 as "a""b", 'c' as d into made`],
  ])('is seen before its answer is there: %j', async (text) => {
    expect(await changes(text)).toBe(true);
    expect(effectWhenSent(text, [])).not.toBe('none');
  });

  it.each([
    ['select 1'],
    ['select a into_ from item'],
    ['/* set search_path = public */ select 1'],
    ['select 1 /* a /* b */ into made */'],
    ["select $$ into made $$, $a$ create $$ $a$, 'set_config'"],
    ['insert into item select 1'],
    ['explain analyze insert into item select 1'],
    ['explain select 1'],
    ['copy item to stdout'],
    ['set local statement_timeout = 5000'],
    ["set local /* search_path */ app.tenant = 'search_path'"],
    ['savepoint b'],
  ])('is nothing, and known to be: %j', async (text) => {
    expect(await changes(text)).toBe(false);
    expect(effectWhenSent(text, [])).toBe('none');
  });
});
