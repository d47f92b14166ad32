import { commandOf, withoutLiterals, withoutQuoted } from './query-words.js';

describe('what a statement does', () => {
  it.each([
    ['select 1', 'SELECT'],
    ['  (select 1) union all select 2', 'SELECT'],
    ['/* why */ -- who\n insert into t values (1)', 'INSERT'],
    ['with a as (select 1) select * from a', 'WITH'],
    [';create table t ()', 'CREATE'],
    ['/* a /* b */ c */ select 1', 'SELECT'],
    ['-- insert\rselect 1', 'SELECT'],
    ['sleect 1', ''],
    ['secret', ''],
    ['', ''],
  ])('is said by its first word: %s', (text, command) => {
    expect(commandOf(text)).toBe(command);
  });
});

describe('a text without its literals', () => {
  it.each([
    [`select * from t1 where a = 'it''s' and b = 7`, 'select * from t1 where a = ? and b = ?'],
    [`select e'it\\'s', 'x\\', 'y'`, 'select ?, ?, ?'],
    [`select b'01', x'ff', n'n', u&'d\\0061t'`, 'select ?, ?, ?, ?'],
    [`select $$a 'b' $$, $tag$ $$ $tag$, $1`, 'select ?, ?, $1'],
    [`select "we're 7", table1.c2, "a""b" from "5"`, `select "we're 7", table1.c2, "a""b" from "5"`],
    [`select 1.5e-3, .5, 1_000, 0xff, -4`, 'select ?, ?, ?, ?, -?'],
    [`select 1 -- secret 7\n, 2 /* 'secret */`, 'select ? \n, ? '],
    [`select /* a /* b */ secret */ 1`, 'select  ?'],
    [`select 1 -- secret\r, 2`, 'select ? \r, ?'],
    [`commit/* secret */and/**/chain`, 'commit and chain'],
    [`select 'never closed`, 'select ?'],
    [`select /* never closed`, 'select '],
    [`select 'é' as größe2`, 'select ? as größe2'],
    ['limit 20', 'limit ?'],
  ])('has a question mark in the place of each: %s', (text, expected) => {
    expect(withoutLiterals(text)).toBe(expected);
  });
});

describe('a long text', () => {
  const LENGTH = 25_000_000;
  const long = 'x'.repeat(LENGTH);

  it.each([
    ['a literal', `select '${long}' into t`, 'select ? into t', 'select   into t'],
    ['a literal with escapes', `select e'${long}' into t`, 'select ? into t', 'select   into t'],
    [
      'a literal with quotes',
      `select '${`it''s ${'x'.repeat(95)}`.repeat(LENGTH / 100)}' into t`,
      'select ? into t',
      'select   into t',
    ],
    ['a text between dollars', `select $a$${long}$a$ into t`, 'select ? into t', 'select   into t'],
    ['a literal that is not closed', `select '${long}`, 'select ?', undefined],
  ])('is read, however long %s in it is', (_what, text, bare, unquoted) => {
    expect(withoutLiterals(text)).toBe(bare);
    if (unquoted !== undefined) expect(withoutQuoted(text)).toBe(unquoted);
    else expect(withoutQuoted(text).length).toBe(text.length);
  });

  it('keeps a long quoted name', () => {
    const text = `select 1 as "${long}"`;
    expect(withoutLiterals(text) === `select ? as "${long}"`).toBe(true);
    expect(withoutQuoted(text)).toBe('select 1 as  ');
  });
});
