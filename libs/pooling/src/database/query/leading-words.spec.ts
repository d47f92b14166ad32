import pg from 'pg';
import { useTestDatabase } from '#test/support/database.js';
import { beginsWith, firstWord } from './leading-words.js';
import { transactionCommandOf } from './transaction-commands.js';

const database = useTestDatabase('create table item (id int)');

let client: pg.Client;
beforeAll(async () => {
  client = new pg.Client(database.url);
  await client.connect();
});
afterAll(() => client.end());

/** What the server makes of a text in a transaction: the first word of its tag, or the code of its error. */
async function tagOf(text: string): Promise<string | null | undefined> {
  await client.query('begin');
  try {
    await client.query('savepoint judged');
    const answers = [await client.query(text)].flat();
    return answers.at(-1)?.command;
  } catch (error) {
    return (error as { code?: string }).code;
  } finally {
    await client.query('rollback');
  }
}

const SYNTAX_ERROR = '42601';

describe('the first word of a text', () => {
  it.each([
    ['select 1', 'SELECT', 'SELECT'],
    ['SeLeCt 1', 'SELECT', 'SELECT'],
    [' \t\r\n\f\v select 1', 'SELECT', 'SELECT'],
    ['select/**/1', 'SELECT', 'SELECT'],
    ['-- insert\nselect 1', 'SELECT', 'SELECT'],
    ['-- insert\rselect 1', 'SELECT', 'SELECT'],
    ['-- insert\r\nselect 1', 'SELECT', 'SELECT'],
    ['--\n--\n\n--x\nselect 1', 'SELECT', 'SELECT'],
    ['-- insert /*\nselect 1 -- */', 'SELECT', 'SELECT'],
    ['/* insert -- */ select 1', 'SELECT', 'SELECT'],
    ['/* a /* b */ insert */ select 1', 'SELECT', 'SELECT'],
    ['/*/* a *//* b */*/ select 1', 'SELECT', 'SELECT'],
    ['/*/ insert */ select 1', 'SELECT', 'SELECT'],
    ['/***/ /**/ /* **/ select 1', 'SELECT', 'SELECT'],
    ['/*+ SeqScan(item) */ select 1', 'SELECT', 'SELECT'],
    [';; ; /* a */ ; -- b\n; select 1', 'SELECT', 'SELECT'],
    ['((select 1))', 'SELECT', 'SELECT'],
    ['; /* a */ ( -- b\n (select 1) union select 2)', 'SELECT', 'SELECT'],
    ['with a as (select 1) select * from a', 'WITH', 'SELECT'],
    ['with a as (select 1) insert into item select * from a', 'WITH', 'INSERT'],
    ['values (1)', 'VALUES', 'SELECT'],
    ['(values (1))', 'VALUES', 'SELECT'],
    ['table item', 'TABLE', 'SELECT'],
    ['explain analyze insert into item values (1)', 'EXPLAIN', 'EXPLAIN'],
    ['explain (analyze) select 1', 'EXPLAIN', 'EXPLAIN'],
    ['insert into item values (1)', 'INSERT', 'INSERT'],
    ['/* /* */ */ create table other ()', 'CREATE', 'CREATE'],
    ['start transaction', 'START', 'START'],
    ['end', 'END', 'COMMIT'],
    ['abort', 'ABORT', 'ROLLBACK'],
    // No white space, and so a part of the word.
    ['\ufeffselect 1', '\ufeffSELECT', SYNTAX_ERROR],
    ['\u00a0select 1', '\u00a0SELECT', SYNTAX_ERROR],
    ['selectée 1', 'SELECTÉE', SYNTAX_ERROR],
    ['select$ 1', 'SELECT$', SYNTAX_ERROR],
    ['(insert into item values (1))', 'INSERT', SYNTAX_ERROR],
    ['/* a /* b */ select 1', '', SYNTAX_ERROR],
    ['/* a */ */ select 1', '', SYNTAX_ERROR],
    ['"select" 1', '', SYNTAX_ERROR],
    ['1', '', SYNTAX_ERROR],
    ['', '', null],
    ['-- select 1', '', null],
    [' ; ', '', null],
  ])('is read as the server reads it: %j', async (text, word, tag) => {
    expect(firstWord(text)).toBe(word);
    expect(await tagOf(text)).toBe(tag);
  });

  it.each([
    ['copy item to stdout', true],
    ['-- with items\r\n COPY item from stdin', true],
    ['/* a /* b */ c */ ;copy(select 1) to stdout', true],
    ['copy', true],
    ['copying item', false],
    ['copy_1', false],
    ['copy1', false],
    ['copy$', false],
    ['copyé', false],
    ['cop', false],
    ['', false],
    ['/* copy */ select 1', false],
  ])('is COPY, or is not: %j', (text, is) => {
    expect(beginsWith(text, 'COPY')).toBe(is);
  });
});

describe('what a text does to its transaction', () => {
  it.each([
    ['begin', 'begin', 'BEGIN'],
    ['/* a /* b */ c */ start -- d\r transaction read write', 'start transaction', 'START'],
    ['-- a\rCOMMIT', 'commit', 'COMMIT'],
    [' ; commit and chain', 'commit', 'COMMIT'],
    ['End work', 'end', 'COMMIT'],
    ['abort', 'abort', 'ROLLBACK'],
    ['rollback', 'rollback', 'ROLLBACK'],
    ['rollback/**/work', 'rollback', 'ROLLBACK'],
    ['rollback to judged', 'rollback to', 'ROLLBACK'],
    ['rollback/* a */to savepoint judged', 'rollback to', 'ROLLBACK'],
    ['rollback work -- a\r to judged', 'rollback to', 'ROLLBACK'],
    ['rollback transaction to judged', 'rollback to', 'ROLLBACK'],
    ['savepoint a', 'savepoint', 'SAVEPOINT'],
    ['release judged', 'release', 'RELEASE'],
    ['prepare a as select 1', undefined, 'PREPARE'],
    ['set transaction read only', undefined, 'SET'],
    ['select 1', undefined, 'SELECT'],
    ['analyze item', undefined, 'ANALYZE'],
    ['starting', undefined, SYNTAX_ERROR],
    ['commit_it', undefined, SYNTAX_ERROR],
  ])('is read as the server reads it: %j', async (text, command, tag) => {
    expect(transactionCommandOf(text)).toBe(command);
    expect(await tagOf(text)).toBe(tag);
  });
});
