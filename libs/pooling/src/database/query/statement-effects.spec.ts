import { effectOf, mayChangeReading, type StatementEffect } from './statement-effects.js';

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
