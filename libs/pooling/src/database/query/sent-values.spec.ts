import type { Socket } from 'node:net';
import { Query } from 'pg';
import Cursor from 'pg-cursor';
import { inject } from 'vitest';
import { DatabasePool } from '../database-pool.js';
import { serialiseQuery } from './sent-values.js';
import { MessageWriter } from '../wire/message-writer.js';

const url = inject('databaseUrl');
const TEXT = 'select $1::text as value';

/** Values whose conversion throws, or gives no text. */
const BAD: readonly [name: string, value: () => unknown, error: RegExp][] = [
  [
    'toPostgres that throws',
    () => ({
      toPostgres: () => {
        throw new Error('not today');
      },
    }),
    /not today/,
  ],
  [
    'toString that gives a number',
    () => Object.assign(() => undefined, { toString: () => 5 }),
    /parameter 1 can't be sent|string/,
  ],
  [
    'toJSON that throws',
    () => ({
      toJSON: () => {
        throw new Error('no JSON');
      },
    }),
    /no JSON/,
  ],
  [
    'a circle',
    () => {
      const circle: Record<string, unknown> = {};
      circle['self'] = circle;
      return circle;
    },
    /circular/i,
  ],
];

describe('a query that can’t be sent', () => {
  const crashes: unknown[] = [];
  const crash = (error: unknown): void => void crashes.push(error);
  beforeAll(() => void process.on('uncaughtException', crash));
  afterAll(() => void process.off('uncaughtException', crash));
  afterEach(() => expect(crashes.splice(0)).toEqual([]));

  for (const [way, options] of [
    ['prepared', {}],
    ['with pipelining', { pipelining: {} }],
    ['unprepared', { preparedStatements: false as const }],
  ] as const) {
    it.each(BAD)(`is its caller’s alone, ${way}: %s`, async (_name, value, error) => {
      await using pool = new DatabasePool('one', { url, size: 1, maxOverflow: 0, ...options });
      await using other = new DatabasePool('other', { url, size: 1, maxOverflow: 0, ...options });
      for (let use = 0; use < 3; use++) await Promise.all([pool.query(TEXT, ['a']), other.query(TEXT, ['b'])]);
      const answers = await Promise.allSettled([
        pool.query(TEXT, ['first']),
        pool.query(TEXT, [value()]),
        pool.query(TEXT, ['third']),
        other.query(TEXT, ['elsewhere']),
      ]);
      expect(answers).toMatchObject([
        { status: 'fulfilled', value: { rows: [{ value: 'first' }] } },
        { status: 'rejected', reason: { message: expect.stringMatching(error) as string } },
        { status: 'fulfilled', value: { rows: [{ value: 'third' }] } },
        { status: 'fulfilled', value: { rows: [{ value: 'elsewhere' }] } },
      ]);
      expect(pool.statistics()).toMatchObject({ opened: 1, closed: { broken: 0 } });
    });

    it(`is refused with the number of its parameters when the protocol can’t count them, ${way}`, async () => {
      await using pool = new DatabasePool('one', { url, size: 1, maxOverflow: 0, ...options });
      const text = 'select cardinality($1::int[]) as n';
      for (let use = 0; use < 3; use++) await pool.query(text, [[1]]);
      for (const count of [65_536, 70_000, 131_072]) {
        const values = Array.from({ length: count }, () => 1);
        await expect(pool.query(text, values)).rejects.toThrow(`65535 parameters at most, and this one has ${count}`);
      }
      expect((await pool.query(text, [[1, 2]])).rows).toEqual([{ n: 2 }]);
      expect(pool.statistics()).toMatchObject({ opened: 1, closed: { broken: 0 } });
    });
  }

  it('takes as many parameters as the protocol can count', async () => {
    await using pool = new DatabasePool('one', { url, size: 1 });
    const count = 65_535;
    const text = `select array_length(array[${Array.from({ length: count }, (_, at) => `$${at + 1}::int`).join(',')}], 1) as n`;
    const values = Array.from({ length: count }, () => 1);
    expect((await pool.query(text, values)).rows).toEqual([{ n: count }]);
  });

  it('is refused when a message would be longer than the server takes', () => {
    // The same bytes many times over: nothing of it is copied.
    const bytes = Buffer.alloc(300_000_000);
    expect(() => serialiseQuery('select $1, $2, $3, $4', [bytes, bytes, bytes, bytes])).toThrow(
      /take \d+ bytes at most/,
    );
    expect(serialiseQuery('select $1, $2', [bytes, bytes])).toHaveLength(2);
  });

  it.each([
    ['prepared', {}],
    ['unprepared', { preparedStatements: false as const }],
  ])(
    'is refused before anything is sent when its values are longer than a message may be, %s',
    async (_way, options) => {
      await using pool = new DatabasePool('one', { url, size: 1, maxOverflow: 0, ...options });
      const text = 'select octet_length($1::bytea) + octet_length($2::bytea) as bytes';
      const short = Buffer.from('a');
      for (let use = 0; use < 3; use++) await pool.query(text, [short, short]);
      const { stream } = await pool.withConnection(
        async (client) => (client as unknown as { connection: { stream: Socket } }).connection,
      );
      const before = stream.bytesWritten;
      // The same bytes twice, which nobody ever reads: they take no memory.
      const bytes = Buffer.alloc(540_000_000);
      const long = { toPostgres: () => bytes };
      const failed = pool.query(text, [long, long]).catch((error: unknown) => error as Error);
      expect(((await failed) as Error).message).toMatch(
        /take \d+ bytes at most, and these 1080000016: it was not sent/,
      );
      expect(stream.bytesWritten).toBe(before);
      expect((await pool.query(text, [short, short])).rows).toEqual([{ bytes: 2 }]);
      expect(pool.statistics()).toMatchObject({ opened: 1, closed: { broken: 0 } });
    },
  );

  it('of a class of its own says so as pg does, and leaves nothing behind', async () => {
    await using pool = new DatabasePool('one', { url, size: 1, maxOverflow: 0 });
    await using other = new DatabasePool('other', { url, size: 1, maxOverflow: 0 });
    const bad = {
      toPostgres: () => {
        throw new Error('not today');
      },
    };
    await pool.withConnection(async (client) => {
      const query = new Query('select $1::text', [bad]);
      const failed = new Promise((resolve) => query.on('error', resolve));
      client.query(query);
      expect(await failed).toMatchObject({ message: 'not today' });
      const values = Array.from({ length: 70_000 }, () => 1);
      await expect(client.query(new Cursor('select 1', values)).read(1)).rejects.toThrow('70000');
      expect((await client.query(TEXT, ['after'])).rows).toEqual([{ value: 'after' }]);
    });
    // A text that is none throws while half of the message is written.
    const half = Object.assign(new Query('select 1', ['x']), { name: 'half a message', text: {} });
    await expect(pool.withConnection((client) => client.query(half))).rejects.toThrow(TypeError);
    expect((await other.query(TEXT, ['elsewhere'])).rows).toEqual([{ value: 'elsewhere' }]);
    expect((await pool.query(TEXT, ['again'])).rows).toEqual([{ value: 'again' }]);
  });

  it('leaves nothing of itself in the writer that all connections share', () => {
    const writer = new MessageWriter();
    const name = Buffer.from('name\0');
    writer.parse(name, 'select 1');
    writer.mark();
    writer.parse(name, 'select 2');
    expect(() => writer.bind(name, ['a', 5 as never])).toThrow(RangeError);
    writer.cutToMark();
    writer.sync();
    const expected = new MessageWriter();
    expected.parse(name, 'select 1');
    expected.sync();
    expect(writer.take()).toEqual(expected.take());
  });
});
