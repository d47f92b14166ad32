import { Client } from 'pg';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { findPgBouncer, PgBouncer, preparesByItself, versionOf } from './pgbouncer.js';
import { PreparingPooler } from './preparing-pooler.js';

const found = findPgBouncer();
const program = found !== undefined && preparesByItself(versionOf(found)) ? found : undefined;
if (program === undefined) {
  process.stderr.write(
    '\nNOT TESTED: no PgBouncer from 1.21 on is installed: test/pgbouncer tries what prepares by itself with its own small pooler alone\n',
  );
}

/** A pooler that prepares by itself. */
interface Pooler extends AsyncDisposable {
  readonly url: string;
  reconnect(): void | Promise<unknown>;
}

/** What an ALTER does to the rows of `select * from entry where id = $1`. */
const CHANGES: readonly [name: string, statement: string][] = [
  [
    'a column dropped and another added',
    'alter table entry drop column first, add column third text default $$three$$',
  ],
  ['a column dropped', 'alter table entry drop column second'],
  ['a column added', 'alter table entry add column third int default 3'],
  ['a type changed', 'alter table entry alter column first type numeric using 12.5'],
  [
    'two names exchanged',
    'alter table entry rename column first to x; alter table entry rename column second to first; alter table entry rename column x to second',
  ],
];

const TEXT = 'select * from entry where id = $1';

function poolers(): [name: string, start: (url: string) => Promise<Pooler>][] {
  const own: [string, (url: string) => Promise<Pooler>] = [
    'a small pooler of the tests’ own',
    (url) => PreparingPooler.start(url, 1),
  ];
  if (program === undefined) return [own];
  return [
    own,
    [
      `PgBouncer ${versionOf(program)}`,
      async (url) => {
        const bouncer = await PgBouncer.start(program, url, 1);
        return {
          url: bouncer.url,
          reconnect: () => bouncer.command('RECONNECT'),
          [Symbol.asyncDispose]: () => bouncer[Symbol.asyncDispose](),
        };
      },
    ],
  ];
}

describe.each(poolers())('behind %s, which prepares by itself', (_name, start) => {
  let database: TestDatabase;
  let pooler: Pooler;

  beforeAll(async () => {
    database = await createTestDatabase();
    pooler = await start(database.url);
  });
  beforeEach(async () => {
    await database.query('drop table if exists entry');
    await database.query('create table entry (id int primary key, first int, second text)');
    await database.query("insert into entry values (1, 1, 'two'), (2, 10, 'twenty')");
    await pooler.reconnect();
  });
  afterAll(async () => {
    await pooler[Symbol.asyncDispose]();
    await database.drop();
  });

  function createPool(options: DatabaseOptions = {}): DatabasePool {
    return new DatabasePool('pooled', { url: pooler.url, size: 2, maxOverflow: 0, ...options });
  }

  /** What pg gives for the same text, when it is named. */
  async function expected(id: number): Promise<unknown[]> {
    const client = new Client({ connectionString: database.url });
    await client.connect();
    try {
      return (await client.query({ name: 'named', text: TEXT, values: [id] })).rows;
    } finally {
      await client.end();
    }
  }

  for (const [way, pipelining] of [
    ['one query at a time', false],
    ['with pipelining', {}],
  ] as const) {
    it.each(CHANGES)(`reads rows by the description of now, ${way}: %s`, async (_change, statement) => {
      await using pool = createPool({ pipelining });
      for (let use = 0; use < 6; use++) await Promise.all([pool.query(TEXT, [1]), pool.query(TEXT, [2])]);
      await database.query(statement);
      await pooler.reconnect();
      for (let use = 0; use < 3; use++) {
        const [one, two] = await Promise.all([pool.query(TEXT, [1]), pool.query(TEXT, [2])]);
        expect(one.rows).toEqual(await expected(1));
        expect(two.rows).toEqual(await expected(2));
        expect(one.fields.map(({ name }) => name)).toEqual(Object.keys(one.rows[0] as object));
      }
      expect(pool.statistics()).toMatchObject({ closed: { broken: 0 } });
    });
  }

  it('runs what the pooler has prepared for others before the schema changed', async () => {
    {
      await using before = createPool();
      for (let use = 0; use < 3; use++) await before.query(TEXT, [1]);
    }
    await database.query('alter table entry add column third int default 3');
    await using pool = createPool();
    for (let use = 0; use < 3; use++) expect((await pool.query(TEXT, [1])).rows).toEqual(await expected(1));
    await pool.withConnection(async (client) => {
      await client.query('begin');
      for (let use = 0; use < 3; use++) expect((await client.query(TEXT, [1])).rows).toEqual(await expected(1));
      await client.query('commit');
    });
  });

  it('runs many queries and transactions over fewer connections than it has', async () => {
    await using pool = createPool({ size: 5 });
    await Promise.all(
      Array.from({ length: 40 }, async (_, task) => {
        const { rows } = await pool.query('select $1::int as task, pg_sleep(0.001)', [task]);
        expect(rows[0]).toMatchObject({ task });
        if (task % 4 !== 0) return;
        await pool.withConnection(async (client) => {
          await client.query('begin');
          for (let use = 0; use < 3; use++) {
            expect((await client.query(TEXT, [1 + (use % 2)])).rows[0]).toMatchObject({ id: 1 + (use % 2) });
          }
          await client.query('commit');
        });
        if (task % 8 === 0) await pooler.reconnect();
      }),
    );
    expect(pool.statistics()).toMatchObject({ closed: { broken: 0 } });
    expect(pool.statistics().preparedStatementHits).toBeGreaterThan(20);
  });
});

it('knows a direct connection from one through a pooler, and asks for no description there', async () => {
  await using database = await createTestDatabase();
  await using pooler = await PreparingPooler.start(database.url, 1);
  for (const [url, pooled] of [
    [database.url, false],
    [pooler.url, true],
  ] as const) {
    const sessions: NonNullable<DatabaseOptions['session']>[] = [{ timezone: 'UTC' }, {}];
    for (const session of sessions) {
      await using pool = new DatabasePool('asked', { url, size: 1, session, statementTimeoutMs: 0 });
      await using lease = { client: await pool.connect(), [Symbol.asyncDispose]: () => Promise.resolve() };
      const { connection } = lease.client as unknown as { connection: { stream: { write(bytes: Buffer): boolean } } };
      const sent: string[] = [];
      const write = connection.stream.write.bind(connection.stream);
      connection.stream.write = (bytes) => {
        sent.push(bytes.toString('latin1'));
        return write(bytes);
      };
      for (let use = 0; use < 4; use++) await lease.client.query('select $1::int as n', [use]);
      lease.client.release();
      // Describe of the unnamed portal.
      expect(sent.at(-1)?.includes('D\0\0\0\x06P\0')).toBe(pooled);
    }
  }
});
