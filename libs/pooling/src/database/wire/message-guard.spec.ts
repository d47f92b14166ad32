import { constants } from 'node:buffer';
import { Query } from 'pg';
import Cursor from 'pg-cursor';
import { inject } from 'vitest';
import { AlteringProxy, type Alteration } from '#test/support/altering-proxy.js';
import { message, type ServerMessage } from '#test/support/server-messages.js';
import { DatabasePool } from '../database-pool.js';
import type { DatabaseOptions } from '../options/options.js';
import { parseMessage } from '../pg-internals.js';
import { checkForm } from './message-form.js';

const url = new URL(inject('databaseUrl'));

const EMPTY = Buffer.alloc(0);
const READY = message('Z', Buffer.from('I'));

/** One column `x` of type `int4`. */
const DESCRIPTION = message(
  'T',
  Buffer.concat([Buffer.from([0, 1, 0x78, 0]), Buffer.alloc(6), int32(23), Buffer.alloc(8)]),
);

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** A row of texts. */
function row(...values: string[]): Buffer {
  const columns = values.map((value) => Buffer.concat([int32(value.length), Buffer.from(value)]));
  return message('D', Buffer.concat([Buffer.from([0, values.length]), ...columns]));
}

/** Something that no server sends at that place. */
interface Lie {
  readonly name: string;
  /** The type of the message that is altered, the first of its kind in the query's answer. */
  readonly at: string;
  readonly alter: (bytes: Buffer) => Alteration;
  /** Those that only one way to the server can tell. */
  readonly only?: 'prepared';
}

const instead =
  (...send: Buffer[]) =>
  (): Alteration => ({ send });
const before =
  (...extra: Buffer[]) =>
  (bytes: Buffer): Alteration => ({ send: [...extra, bytes] });
const behind =
  (...extra: Buffer[]) =>
  (bytes: Buffer): Alteration => ({ send: [bytes, ...extra] });
const dropped = (): Alteration => ({ send: [] });

/** The bytes with another number at a place. */
function withInt(at: number, value: number) {
  return (bytes: Buffer): Alteration => {
    const changed = Buffer.from(bytes);
    changed.writeInt32BE(value, at);
    return { send: [changed] };
  };
}

const LIES: readonly Lie[] = [
  { name: 'a row before BindComplete', at: '2', alter: before(row('1', '2')) },
  { name: 'no BindComplete', at: '2', alter: dropped },
  { name: 'BindComplete twice', at: '2', alter: behind(message('2', EMPTY)) },
  { name: 'ParseComplete twice', at: '2', alter: behind(message('1', EMPTY)) },
  { name: 'a description after the first row', at: 'D', alter: behind(DESCRIPTION) },
  { name: 'a row of fewer columns', at: 'D', alter: instead(row('1')) },
  { name: 'a row of more columns', at: 'D', alter: instead(row('1', '2', '3')) },
  { name: 'a row with a negative count of columns', at: 'D', alter: instead(message('D', Buffer.from([0xff, 0xff]))) },
  { name: 'a row without a count of columns', at: 'D', alter: instead(message('D', Buffer.from([0]))) },
  { name: 'a value that is longer than its row', at: 'D', alter: withInt(7, 1_000) },
  { name: 'a value of a negative length', at: 'D', alter: withInt(7, -2) },
  { name: 'a value that is shorter than it should be', at: 'D', alter: withInt(7, 0) },
  { name: 'a row twice', at: 'D', alter: (bytes) => ({ send: [bytes, bytes] }) },
  { name: 'no row', at: 'D', alter: dropped },
  { name: 'no CommandComplete', at: 'C', alter: dropped },
  { name: 'CommandComplete twice', at: 'C', alter: (bytes) => ({ send: [bytes, bytes] }) },
  { name: 'a tag without its end', at: 'C', alter: instead(message('C', Buffer.from('SELECT 1'))) },
  { name: 'a suspended portal', at: 'C', alter: instead(message('s', EMPTY)) },
  { name: 'a row behind the end', at: 'C', alter: behind(row('1', '2')) },
  { name: 'data of a COPY', at: 'C', alter: before(message('d', Buffer.from('x'))) },
  {
    name: 'the beginning of a COPY with a negative count',
    at: 'D',
    alter: before(message('G', Buffer.from([0, 0xff, 0xff]))),
  },
  { name: 'the beginning of replication', at: 'D', alter: before(message('W', Buffer.from([0, 0, 0]))) },
  { name: 'a description of parameters', at: 'D', alter: before(message('t', Buffer.from([0xff, 0xff]))) },
  { name: 'ReadyForQuery without an answer', at: '2', alter: before(READY) },
  { name: 'ReadyForQuery before the end', at: 'C', alter: before(READY) },
  { name: 'a status that isn’t one', at: 'Z', alter: instead(message('Z', Buffer.from('?'))) },
  { name: 'an error without its end', at: 'D', alter: instead(message('E', Buffer.from('SERROR\0Mno end\0'))) },
  { name: 'an error that is cut off', at: 'D', alter: instead(message('E', Buffer.from('S'))) },
  { name: 'a notice without its end', at: 'D', alter: before(message('N', Buffer.from('SNOTICE\0Mno end'))) },
  { name: 'a notification that is cut off', at: 'D', alter: before(message('A', Buffer.from([0, 0]))) },
  { name: 'a setting without a value', at: 'D', alter: before(message('S', Buffer.from('name\0'))) },
  { name: 'a request for authentication', at: 'D', alter: before(message('R', int32(7))) },
  { name: 'a key', at: 'D', alter: before(message('K', Buffer.alloc(8))) },
  { name: 'a type that doesn’t exist', at: 'D', alter: before(message('!', EMPTY)) },
  { name: 'a length below a message’s own', at: 'D', alter: withInt(1, 3) },
  { name: 'a negative length', at: 'D', alter: withInt(1, -1) },
  { name: 'a tag of a gigabyte', at: 'C', alter: withInt(1, 0x3fff_fff0) },
  { name: 'a notice of a gigabyte', at: 'D', alter: before(Buffer.from([0x4e, 0x3f, 0xff, 0xff, 0xf0])) },
];

describe('a guard over what a server sends', () => {
  let proxy: AlteringProxy;
  let target: URL;
  const crashes: unknown[] = [];
  const crash = (error: unknown): void => void crashes.push(error);

  beforeAll(async () => {
    proxy = await AlteringProxy.before(Number(url.port));
    target = new URL(url);
    target.port = String(proxy.port);
    process.on('uncaughtException', crash);
  });
  afterEach(() => {
    proxy.alter = () => undefined;
    expect(crashes.splice(0)).toEqual([]);
  });
  afterAll(async () => {
    process.off('uncaughtException', crash);
    await proxy[Symbol.asyncDispose]();
  });

  function createPool(options: DatabaseOptions = {}): DatabasePool {
    return new DatabasePool('guarded', { url: target.href, size: 1, maxOverflow: 0, ...options });
  }

  /** Alters the first message of a type that comes from now on. */
  function lieOnce(at: string, alter: (bytes: Buffer) => Alteration): void {
    proxy.alter = ({ type, bytes }: ServerMessage) => {
      if (type !== at) return undefined;
      proxy.alter = () => undefined;
      return alter(bytes);
    };
  }

  const TEXT = 'select $1::int as a, $2::text as b';

  for (const [way, pipelining] of [
    ['one query at a time', false],
    ['with pipelining', {}],
  ] as const) {
    describe(`${way}`, () => {
      it.each(LIES)('ends the connection on which comes, to a prepared query: $name', async ({ at, alter }) => {
        await using pool = createPool({ pipelining });
        for (let use = 0; use < 3; use++) await pool.query(TEXT, [use, 'before']);
        lieOnce(at, alter);
        const answers = await Promise.allSettled([pool.query(TEXT, [1, 'first']), pool.query(TEXT, [2, 'second'])]);
        expect(answers[0]).toMatchObject({ status: 'rejected', reason: { code: 'EBADMSG' } });
        if (answers[1].status === 'fulfilled') expect(answers[1].value.rows).toEqual([{ a: 2, b: 'second' }]);
        expect((await pool.query(TEXT, [3, 'after'])).rows).toEqual([{ a: 3, b: 'after' }]);
        expect(pool.statistics()).toMatchObject({ closed: { broken: 1 }, opened: 2 });
      });
    });
  }

  it.each(LIES)('ends the connection on which comes, to a query of pg’s own: $name', async ({ at, alter }) => {
    await using pool = createPool({ preparedStatements: false });
    await pool.query(TEXT, [0, 'before']);
    lieOnce(at, alter);
    const answers = await Promise.allSettled([pool.query(TEXT, [1, 'first']), pool.query(TEXT, [2, 'second'])]);
    expect(answers[0]).toMatchObject({ status: 'rejected', reason: { code: 'EBADMSG' } });
    expect(answers[1]).toMatchObject({ status: 'fulfilled', value: { rows: [{ a: 2, b: 'second' }] } });
    expect(pool.statistics()).toMatchObject({ closed: { broken: 1 }, opened: 2 });
  });

  it.each(['select 1 as a', 'select 1 as a; select 2 as a'])('knows the order of a simple query: %s', async (text) => {
    await using pool = createPool();
    await pool.query(text);
    const lies: [string, (bytes: Buffer) => Alteration][] = [
      ['T', dropped],
      ['T', behind(DESCRIPTION)],
      ['T', before(message('2', EMPTY))],
      ['D', dropped],
      ['C', before(READY)],
      ['Z', before(row('1'))],
    ];
    for (const [at, alter] of lies) {
      lieOnce(at, alter);
      await expect(pool.query(text)).rejects.toMatchObject({ code: 'EBADMSG' });
      await pool.query(text);
    }
    expect(pool.statistics()).toMatchObject({ closed: { broken: lies.length } });
  });

  it('gives nobody another’s row for one ReadyForQuery too many, with 16 queries under way', async () => {
    await using pool = createPool({ pipelining: {} });
    for (let use = 0; use < 3; use++) await pool.query(TEXT, [use, 'before']);
    for (let at = 1; at < 16; at++) {
      // A connection that is logged in: in a dial it would be another test.
      await pool.query(TEXT, [at, 'warm']);
      let ready = 0;
      proxy.alter = ({ type, bytes }) => (type === 'Z' && ++ready === at ? { send: [bytes, bytes] } : undefined);
      const answers = await Promise.allSettled(
        Array.from({ length: 16 }, (_, task) => pool.query(TEXT, [task, 'shared'])),
      );
      proxy.alter = () => undefined;
      answers.forEach((answer, task) => {
        if (answer.status === 'fulfilled') expect(answer.value.rows).toEqual([{ a: task, b: 'shared' }]);
        else expect(answer.reason).toMatchObject({ code: 'EBADMSG' });
      });
      // It may come when the others wait for their turn still: then it is nobody's.
      await expect.poll(() => pool.statistics().closed.broken).toBe(at);
    }
  });

  it.each<[string, Buffer]>([
    ['ReadyForQuery', READY],
    ['a row', row('1', '2')],
    ['CommandComplete', message('C', Buffer.from('SELECT 1\0'))],
    ['a description', DESCRIPTION],
    ['an unknown request for authentication', message('R', int32(99))],
    ['an error without its end', message('E', Buffer.from('SERROR\0'))],
    ['nonsense', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ])('ends an idle connection that is sent %s, and opens another', async (_name, bytes) => {
    for (const preparedStatements of [true, false]) {
      await using pool = createPool({ preparedStatements });
      await pool.query(TEXT, [0, 'before']);
      proxy.say(bytes);
      await expect.poll(() => pool.statistics().closed.broken).toBe(1);
      expect((await pool.query(TEXT, [3, 'after'])).rows).toEqual([{ a: 3, b: 'after' }]);
    }
  });

  it('lets through what a server may say while nothing runs', async () => {
    await using pool = createPool();
    await pool.query('select 1');
    proxy.say(message('N', Buffer.from('SNOTICE\0C00000\0Mhello\0\0')));
    proxy.say(message('S', Buffer.from('application_name\0other\0')));
    proxy.say(message('A', Buffer.concat([int32(1), Buffer.from('channel\0payload\0')])));
    await pool.query('select 1');
    expect(pool.statistics()).toMatchObject({ opened: 1, closed: { broken: 0 } });
  });

  it('takes an error at the end of a transaction for the query’s own: a constraint that was deferred', async () => {
    await using pool = createPool();
    await pool.query('create temporary table later (id int unique deferrable initially deferred)');
    await pool.query('insert into later values (1)');
    for (let use = 0; use < 4; use++) {
      await expect(pool.query('insert into later values ($1) returning id', [1])).rejects.toMatchObject({
        code: '23505',
      });
    }
    expect(pool.statistics()).toMatchObject({ opened: 1 });
  });

  it('knows COPY, cursors, portals in pieces, empty queries and statements without rows', async () => {
    await using pool = createPool();
    for (let use = 0; use < 3; use++) {
      await pool.query('create temporary table if not exists entry (id int)');
      await pool.query('insert into entry select generate_series(1, $1::int)', [10]);
      expect((await pool.query('', [])).rows).toEqual([]);
      await expect(pool.query('copy entry from stdin')).rejects.toMatchObject({ code: '57014' });
      expect((await pool.query('copy entry to stdout')).rows).toEqual([]);
      const inPieces = { text: 'select id from entry limit $1', values: [7], rows: 2 };
      expect((await pool.query<{ id: number }>(inPieces)).rows).toHaveLength(7);
      await pool.withConnection(async (client) => {
        const cursor = client.query(new Cursor<{ id: number }>('select id from entry limit 7'));
        expect(await cursor.read(3)).toHaveLength(3);
        expect(await cursor.read(9)).toHaveLength(4);
        await cursor.close();
        const unread = client.query(new Cursor('select id from entry'));
        await unread.close();
        const wrong = client.query(new Cursor('select 1 / 0 as wrong'));
        await expect(wrong.read(1)).rejects.toMatchObject({ code: '22012' });
        await wrong.close();
        expect((await client.query('select $1::int as n', [use])).rows).toEqual([{ n: use }]);
        const own = new Query('select 3 as n');
        const rows: unknown[] = [];
        own.on('row', (each) => rows.push(each));
        client.query(own);
        await new Promise((resolve) => own.on('end', resolve));
        expect(rows).toEqual([{ n: 3 }]);
      });
      await pool.query('drop table entry');
    }
    expect(pool.statistics()).toMatchObject({ opened: 1 });
  });

  it.each<[string, string, (bytes: Buffer) => Alteration, RegExp]>([
    ['GSS authentication', 'R', instead(message('R', int32(7))), /GSSAPI/],
    ['an authentication that nobody knows', 'R', instead(message('R', int32(99))), /number 99/],
    ['a request for authentication that is cut off', 'R', instead(message('R', Buffer.from([0]))), /malformed/],
    [
      'SASL without mechanisms that end',
      'R',
      instead(message('R', Buffer.concat([int32(10), Buffer.from('SCRAM')]))),
      /malformed/,
    ],
    [
      'the end of SASL before its beginning',
      'R',
      instead(message('R', Buffer.concat([int32(12), Buffer.from('v=x')]))),
      /out of order/,
    ],
    ['a salt that is cut off', 'R', instead(message('R', Buffer.concat([int32(5), Buffer.from([1])]))), /malformed/],
    ['ReadyForQuery before it has let anybody in', 'R', instead(READY), /login/],
    ['a row', 'R', before(row('1')), /login/],
    ['an error without its end', 'R', instead(message('E', Buffer.from('SFATAL\0Mno end'))), /malformed/],
    ['an error of many megabytes', 'R', instead(Buffer.from([0x45, 0x01, 0, 0, 0])), /ErrorResponse of/],
    ['a web page', 'R', instead(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')), /no message of its protocol/],
    ['a key that is cut off', 'K', instead(message('K', Buffer.from([0]))), /malformed/],
    ['a setting that is cut off', 'S', instead(message('S', Buffer.from('x'))), /malformed/],
  ])('fails a dial to a server that begins with %s, and the next one is served', async (_name, at, alter, cause) => {
    await using pool = createPool({ acquireTimeoutMs: 20_000 });
    let lies = 0;
    proxy.alter = ({ type, bytes }) => (type === at && lies++ === 0 ? alter(bytes) : undefined);
    const error = await pool.ping({ timeoutMs: 10_000 }).then(
      () => undefined,
      (reason: Error) => reason.cause as Error,
    );
    expect(error).toMatchObject({ code: 'EBADMSG' });
    expect(error?.message).toMatch(cause);
    // What waiting doesn't heal fails at once until a dial has found that it is healed.
    await expect
      .poll(async () => (await pool.query('select 1 as one').catch(() => undefined))?.rows)
      .toEqual([{ one: 1 }]);
    expect(pool.statistics().connectErrors).toBeGreaterThan(0);
  });

  it('reads no further into the process’s own parser than one message', () => {
    expect(() => parseMessage(message('T', Buffer.from([0x7f, 0xff, 0x78, 0])))).toThrow(RangeError);
    expect(parseMessage(message('C', Buffer.from('SELECT 1\0')))).toMatchObject({
      name: 'commandComplete',
      text: 'SELECT 1',
    });
  });
});

it('refuses to read a value that is longer than a string may be, before anybody makes one of it', () => {
  // Nobody reads what is in it: it takes no memory.
  const length = constants.MAX_STRING_LENGTH + 1;
  const bytes = Buffer.alloc(11 + length);
  bytes.write('D');
  bytes.writeInt32BE(bytes.length - 1, 1);
  bytes.writeInt16BE(1, 5);
  bytes.writeInt32BE(length, 7);
  const check = (): void => checkForm(0x44, bytes, 0, bytes.length);
  expect(check).toThrow(`a value of ${length} bytes can't be read as a text: a string holds ${length - 1} at most`);
});
