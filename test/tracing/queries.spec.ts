import {
  createKysely,
  DatabasePool,
  retryTransaction,
  spansFor,
  type DatabaseOptions,
  type SpanSink,
  type Tracing,
} from 'nestjs-pooling';
import { sql, type Generated, type Kysely } from 'kysely';
import { Client } from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { pipeline } from 'node:stream/promises';
import { Readable, Writable } from 'node:stream';
import { blockUntilEnded } from '#test/support/block.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { SpanRecorder, unknownAttributes, type RecordedSpan } from '#test/support/spans.js';

interface Shop {
  orders: { id: Generated<number>; customer_id: number; note: string | null };
  customers: { id: number; name: string };
}

let database: TestDatabase;
let recorder: SpanRecorder;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.query('create table customers (id int primary key, name text)');
  await database.query('create table orders (id int generated always as identity, customer_id int, note text unique)');
});
beforeEach(() => {
  recorder = new SpanRecorder();
});
afterEach(() => recorder[Symbol.dispose]());
afterAll(() => database.drop());

function poolOf(options: DatabaseOptions = {}, tracing: Tracing = 'auto'): DatabasePool {
  const given = { url: database.url, size: 2, maxOverflow: 0, ...options };
  return new DatabasePool('shop', given, { spans: spansFor(tracing) });
}

/** All spans but those of waits. */
function spans(): RecordedSpan[] {
  expect(recorder.open).toBe(0);
  const taken = recorder.take();
  expect(unknownAttributes(taken)).toEqual([]);
  return taken.filter(({ name }) => !name.startsWith('acquire'));
}

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: { code?: unknown }) => error.code,
  );

describe('a statement', () => {
  it('has a span under the caller, by the conventions', async () => {
    await using pool = poolOf();
    await recorder.run('caller', () => pool.query('select $1::int as n', [7]));
    const { port } = new URL(database.url);
    expect(spans()).toEqual([
      expect.objectContaining({
        name: 'SELECT',
        parent: 'caller',
        kind: 'client',
        failed: false,
        attributes: {
          'db.system.name': 'postgresql',
          'db.namespace': database.name,
          'db.query.summary': 'SELECT',
          'db.query.text': 'select $1::int as n',
          'server.address': '127.0.0.1',
          'server.port': Number(port),
        },
      }),
    ]);
  });

  it.each(['simple', 'prepared', 'pipelined'] as const)('that is %s has one each time', async (kind) => {
    await using pool = poolOf({
      preparedStatements: kind !== 'simple',
      ...(kind === 'pipelined' ? { size: 1, pipelining: {} } : undefined),
    });
    await Promise.all(
      Array.from({ length: 20 }, (_, n) => recorder.run(`caller ${n}`, () => pool.query('select $1::int as n', [n]))),
    );
    const parents = spans().map(({ parent }) => parent);
    expect(parents).toHaveLength(20);
    expect(new Set(parents)).toEqual(new Set(Array.from({ length: 20 }, (_, n) => `caller ${n}`)));
  });

  it('of a client, a cursor, a stream or a COPY has one that ends with it', async () => {
    await using pool = poolOf();
    const client = await pool.connect();
    await recorder.run('client', () => client.query('select 1'));
    await recorder.run('cursor', async () => {
      const cursor = client.query(new Cursor('select generate_series(1, $1::int)', [5]));
      expect(await cursor.read(2)).toHaveLength(2);
      expect(recorder.open).toBe(2);
      await cursor.close();
    });
    await recorder.run('stream', async () => {
      for await (const _ of client.query(new QueryStream('select generate_series(1, 5)')));
    });
    await recorder.run('copy to', async () => {
      const rows = client.query(copyTo('copy (select generate_series(1, 5)) to stdout'));
      await pipeline(rows, new Writable({ write: (_chunk, _encoding, done) => done() }));
    });
    await recorder.run('copy from', () =>
      pipeline(Readable.from(['1\tAnn\n']), client.query(copyFrom('copy customers from stdin'))),
    );
    client.release();
    expect(spans().map(({ name, parent, failed }) => [name, parent, failed])).toEqual([
      ['SELECT', 'client', false],
      ['SELECT', 'cursor', false],
      ['SELECT', 'stream', false],
      ['COPY', 'copy to', false],
      ['COPY', 'copy from', false],
    ]);
  });

  it('that fails, times out or is cancelled says how, and never with whose values', async () => {
    await using pool = poolOf();
    await pool.query("insert into orders (note) values ('taken')");
    spans();
    const client = await pool.connect();
    expect(await codeOf(pool.query("select 'secret'::int"))).toBe('22P02');
    expect(await codeOf(pool.query('insert into orders (note) values ($1)', ['taken']))).toBe('23505');
    expect(await codeOf(pool.query({ text: 'select pg_sleep(20)', query_timeout: 50 } as never))).toBe(
      'ERR_POOL_QUERY_TIMEOUT',
    );
    const stream = client.query(new QueryStream('select 1 / generate_series(-1, 1)'));
    expect(await codeOf(stream.toArray())).toBe('22012');
    client.release();
    const taken = spans();
    expect(taken.map(({ attributes }) => [attributes['error.type'], attributes['db.response.status_code']])).toEqual([
      ['22P02', '22P02'],
      ['23505', '23505'],
      ['ERR_POOL_QUERY_TIMEOUT', undefined],
      ['22012', '22012'],
    ]);
    expect(taken.every(({ failed, message }) => failed && message === undefined)).toBe(true);
    expect(JSON.stringify(taken)).not.toMatch(/secret|taken/);
  });

  it('shows the message of its error where that is wanted, and no text where that is not', async () => {
    await using pool = poolOf({}, { errorMessages: true, queryText: false });
    await codeOf(pool.query("select 'secret'::int"));
    const [span] = spans();
    expect(span?.message).toMatch(/invalid input syntax/);
    expect(span?.attributes).not.toHaveProperty('db.query.text');
  });

  it('of several statements says how many', async () => {
    await using pool = poolOf();
    await pool.query("select 1; select 'two'; select 3");
    expect(spans()).toMatchObject([
      { attributes: { 'db.operation.batch.size': 3, 'db.query.text': 'select ?; select ?; select ?' } },
    ]);
  });

  it('of a query builder is named after what it does to which tables', async () => {
    await using pool = poolOf();
    const db = createKysely<Shop>(pool);
    await db
      .selectFrom('orders')
      .innerJoin('customers', 'customers.id', 'orders.customer_id')
      .select('orders.id')
      .where('customers.name', '=', 'Ann')
      .execute();
    await db.insertInto('customers').values({ id: 70, name: 'Bob' }).execute();
    await db
      .insertInto('orders')
      .columns(['customer_id'])
      .expression(db.selectFrom('customers').select('id'))
      .execute();
    await db.updateTable('customers').set({ name: 'Eve' }).where('id', '=', 70).execute();
    await db
      .with('gone', (qb) => qb.deleteFrom('orders').where('id', '>', 0).returning('customer_id'))
      .selectFrom('gone')
      .selectAll()
      .execute();
    await db
      .deleteFrom('customers')
      .where('id', 'in', (eb) => eb.selectFrom('orders').select('id'))
      .execute();
    await db.schema.createIndex('by_name').on('customers').column('name').execute();
    await sql`select 1`.execute(db);
    expect(
      spans().map(({ name, attributes }) => [name, attributes['db.operation.name'], attributes['db.collection.name']]),
    ).toEqual([
      ['SELECT orders customers', 'SELECT', undefined],
      ['INSERT customers', 'INSERT', 'customers'],
      ['INSERT orders SELECT customers', 'INSERT', undefined],
      ['UPDATE customers', 'UPDATE', 'customers'],
      ['SELECT DELETE orders gone', 'SELECT', undefined],
      ['DELETE customers SELECT orders', 'DELETE', undefined],
      ['CREATE INDEX customers', 'CREATE INDEX', 'customers'],
      ['SELECT', undefined, undefined],
    ]);
  });

  it('that is sent again over another connection has one span that says so', async () => {
    await using pool = poolOf({ size: 1 });
    const text = 'select pg_backend_pid() as pid, $1::int';
    for (let n = 0; n < 3; n++) await pool.query(text, [n]);
    const { rows } = await pool.query<{ pid: number }>(text, [3]);
    const control = new Client({ connectionString: database.url });
    await control.connect();
    spans();
    const terminated = control.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
    blockUntilEnded(rows[0]?.pid as number);
    await recorder.run('caller', () => pool.query(text, [4]));
    await terminated;
    await control.end();
    expect(spans()).toMatchObject([{ parent: 'caller', failed: false, events: ['nestjs_pooling.retried_elsewhere'] }]);
  });

  it('that is prepared again has one span that says so', async () => {
    await using pool = poolOf({ size: 1 });
    const text = 'select * from customers where id = $1';
    for (let n = 0; n < 3; n++) await pool.query(text, [n]);
    spans();
    await database.query('alter table customers add column added int');
    await recorder.run('caller', () => pool.query(text, [1]));
    await database.query('alter table customers drop column added');
    expect(spans()).toMatchObject([{ parent: 'caller', failed: false, events: ['nestjs_pooling.prepared_again'] }]);
  });

  it("of the pool's own has none", async () => {
    await using pool = poolOf({ prePing: { idleMs: 0 }, session: { timezone: 'UTC' } });
    await pool.ping();
    (await pool.connect()).release();
    (await pool.connect()).release();
    expect(spans()).toEqual([]);
  });

  it('has none within a span that the sampler has left out', async () => {
    await using pool = poolOf({ size: 1 });
    const db = createKysely<Shop>(pool);
    await recorder.unsampled(async () => {
      await Promise.all([pool.query('select 1'), pool.query('select 1')]);
      await db.transaction().execute((trx) => trx.selectFrom('orders').select('id').execute());
      expect(recorder.open).toBe(0);
    });
    expect(recorder.take()).toEqual([]);
  });

  it('asks once whether a tracer is there, however it is run', async () => {
    let asked = 0;
    const spansOfNobody = {
      get active(): boolean {
        asked++;
        return false;
      },
    } as SpanSink;
    const given = { url: database.url, size: 1, maxOverflow: 0 };
    await using pool = new DatabasePool('shop', given, { spans: spansOfNobody });
    const db = createKysely<Shop>(pool);
    const asking = async (run: () => Promise<unknown>): Promise<number> => {
      asked = 0;
      await run();
      return asked;
    };
    await pool.query('select 1');
    const text = 'select $1::int';
    expect(await asking(() => pool.query(text, [1]))).toBe(1);
    expect(await asking(() => db.selectFrom('orders').select('id').execute())).toBe(1);
    // The others wait for the only connection.
    expect(await asking(() => Promise.all([1, 2, 3, 4].map((n) => pool.query(text, [n]))))).toBe(4);
    await pool.withConnection(async (client) => {
      expect(await asking(() => client.query(text, [1]))).toBe(1);
    });
  });

  it('has none when tracing is off, or when nobody has set up a provider', async () => {
    await using off = poolOf({}, false);
    await off.query('select 1');
    expect(spans()).toEqual([]);
    await using pool = poolOf();
    recorder[Symbol.dispose]();
    await pool.query('select 1');
    recorder = new SpanRecorder();
    await pool.query('select 1');
    expect(spans()).toHaveLength(1);
  });
});

describe('a transaction', () => {
  let pool: DatabasePool;
  let db: Kysely<Shop>;
  beforeEach(() => {
    pool = poolOf();
    db = createKysely<Shop>(pool);
  });
  afterEach(() => pool.close());

  const ATTEMPTS = 'nestjs_pooling.transaction.attempts';
  const OUTCOME = 'nestjs_pooling.transaction.outcome';

  it('has a span that its statements belong to, and whose beginning, savepoints and end have none', async () => {
    await recorder.run('caller', () =>
      db
        .transaction()
        .setIsolationLevel('serializable')
        .execute(async (trx) => {
          await trx.selectFrom('orders').select('id').execute();
          await recorder.run('inner', () => trx.selectFrom('customers').select('id').execute());
        }),
    );
    const controlled = await db.startTransaction().execute();
    const saved = await controlled.savepoint('here').execute();
    await saved.selectFrom('orders').select('id').execute();
    await saved.rollbackToSavepoint('here').execute();
    await controlled.rollback().execute();
    expect(
      spans().map(({ name, parent, attributes }) => [name, parent, attributes[ATTEMPTS], attributes[OUTCOME]]),
    ).toEqual([
      ['SELECT orders', 'transaction', undefined, undefined],
      ['SELECT customers', 'inner', undefined, undefined],
      ['transaction', 'caller', 1, 'committed'],
      ['SELECT orders', 'transaction', undefined, undefined],
      ['transaction', undefined, 1, 'rolled back'],
    ]);
  });

  it('that is tried again has one, which counts', async () => {
    let tries = 0;
    await recorder.run('caller', () =>
      retryTransaction(
        db,
        async (trx) => {
          await trx.selectFrom('orders').select('id').execute();
          await db.transaction().execute((other) => other.selectFrom('customers').select('id').execute());
          if (++tries < 3) throw Object.assign(new Error('again'), { code: '40001' });
        },
        { baseDelayMs: 1, isolationLevel: 'serializable' },
      ),
    );
    const taken = spans();
    const transactions = taken.filter(({ name }) => name === 'transaction');
    expect(transactions.map(({ attributes }) => attributes[ATTEMPTS])).toEqual([1, 1, 1, 3]);
    expect(transactions.at(-1)).toMatchObject({
      parent: 'caller',
      failed: false,
      attributes: { [OUTCOME]: 'committed', 'nestjs_pooling.transaction.isolation_level': 'serializable' },
    });
    expect(taken).toHaveLength(4 + 6);
  });

  it('that fails at its end says so', async () => {
    const failed = codeOf(
      db.transaction().execute(async (trx) => {
        await codeOf(sql`select 1 / 0`.execute(trx));
      }),
    );
    expect(await failed).toBe('25P02');
    expect(spans().at(-1)).toMatchObject({
      name: 'transaction',
      failed: true,
      attributes: { [OUTCOME]: 'rolled back', 'error.type': '25P02' },
    });
  });

  it('whose commit was not answered is unknown', async () => {
    const failed = codeOf(
      db.transaction().execute(async (trx) => {
        await sql`create temporary table t (id int primary key deferrable initially deferred) on commit drop`.execute(
          trx,
        );
        await sql`create function pg_temp.dies() returns trigger language plpgsql as 'begin perform pg_terminate_backend(pg_backend_pid()); return null; end'`.execute(
          trx,
        );
        await sql`create constraint trigger dies after insert on t deferrable initially deferred for each row execute function pg_temp.dies()`.execute(
          trx,
        );
        await sql`insert into t values (1)`.execute(trx);
      }),
    );
    expect(await failed).toBe('ERR_POOL_COMMIT_UNKNOWN');
    expect(spans().at(-1)).toMatchObject({ failed: true, attributes: { [OUTCOME]: 'unknown' } });
  });
});
