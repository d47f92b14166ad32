import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { sql, type Kysely } from 'kysely';
import {
  batch,
  createKysely,
  DatabasePool,
  InjectDb,
  PoolingModule,
  spansFor,
  Transactional,
  transactional,
  type DatabaseOptions,
} from 'nestjs-pooling';
import { Client } from 'pg';
import { blockUntilEnded } from '#test/support/block.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { SpanRecorder, unknownAttributes } from '#test/support/spans.js';

interface Shop {
  orders: { id: number };
}

let database: TestDatabase;
let recorder: SpanRecorder;
let pool: DatabasePool;
let db: Kysely<Shop>;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.query('create table orders (id int primary key)');
});
beforeEach(async () => {
  await database.query('truncate orders');
  recorder = new SpanRecorder();
  pool = poolOf();
  db = createKysely<Shop>(pool);
});
afterEach(async () => {
  await pool.close();
  recorder[Symbol.dispose]();
});
afterAll(() => database.drop());

function poolOf(options: DatabaseOptions = {}): DatabasePool {
  const given = { url: database.url, size: 2, maxOverflow: 0, ...options };
  return new DatabasePool('shop', given, { spans: spansFor() });
}

interface Seen {
  readonly name: string;
  readonly parent: string | undefined;
  readonly attempts?: unknown;
  readonly outcome?: unknown;
  readonly batch?: unknown;
  readonly error?: unknown;
}

/** What there was but waits, as far as it isn't the same for all. */
function spans(): Seen[] {
  expect(recorder.open).toBe(0);
  const taken = recorder.take();
  expect(unknownAttributes(taken)).toEqual([]);
  return taken
    .filter(({ name }) => !name.startsWith('acquire'))
    .map(({ name, parent, attributes }) => {
      const seen = {
        name,
        parent,
        attempts: attributes['nestjs_pooling.transaction.attempts'],
        outcome: attributes['nestjs_pooling.transaction.outcome'],
        batch: attributes['db.operation.batch.size'],
        error: attributes['error.type'],
      };
      return Object.fromEntries(Object.entries(seen).filter(([, value]) => value !== undefined)) as unknown as Seen;
    });
}

const select = (): Promise<unknown> => db.selectFrom('orders').select('id').execute();
const insert = (id: number): Promise<unknown> => db.insertInto('orders').values({ id }).execute();
const SELECT = { name: 'SELECT orders', parent: 'transaction' };
const INSERT = { name: 'INSERT orders', parent: 'transaction' };
const COMMITTED = { name: 'transaction', parent: 'caller', attempts: 1, outcome: 'committed' };
const ROLLED_BACK = { ...COMMITTED, outcome: 'rolled back' };

const rejects = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

describe('a transaction that travels with its caller', () => {
  it('has one span, and its statements are the children', async () => {
    await recorder.run('caller', () =>
      transactional(db, async () => {
        await insert(1);
        await select();
        await recorder.run('inner', select);
      }),
    );
    expect(spans()).toEqual([INSERT, SELECT, { ...SELECT, parent: 'inner' }, COMMITTED]);
  });

  it('has one span for all that have joined it, and savepoints are part of it', async () => {
    await recorder.run('caller', () =>
      transactional(db, async () => {
        await transactional(db, () => insert(1));
        await rejects(
          transactional(db, { propagation: 'nested' }, async () => {
            await insert(2);
            throw new Error('undone');
          }),
        );
        await transactional(db, { propagation: 'nested' }, () => insert(3));
      }),
    );
    expect(spans()).toEqual([INSERT, INSERT, INSERT, COMMITTED]);
    expect(await database.query('select id from orders order by id')).toEqual([{ id: 1 }, { id: 3 }]);
  });

  it('has one that says that it was rolled back', async () => {
    const failed = recorder.run('caller', () =>
      transactional(db, async () => {
        await insert(1);
        throw new Error('no');
      }),
    );
    await rejects(failed);
    expect(spans()).toEqual([INSERT, ROLLED_BACK]);
  });

  it('has a span of its own inside another one, and what runs outside of it belongs to none', async () => {
    await recorder.run('caller', () =>
      transactional(db, async () => {
        await insert(1);
        await transactional(db, { propagation: 'requires-new' }, select);
        await transactional(db, { propagation: 'not-supported' }, select);
      }),
    );
    expect(spans()).toEqual([INSERT, SELECT, COMMITTED, { ...SELECT, parent: 'caller' }, COMMITTED]);
  });

  it('that begins again on another connection has one, which says so', async () => {
    await using alone = poolOf({ size: 1, maxOverflow: 0 });
    const kysely = createKysely<Shop>(alone);
    await recorder.run('caller', () =>
      kysely.transaction().execute(async (transaction) => {
        const [holder] = alone.holders();
        await database.query('select pg_terminate_backend($1)', [holder?.serverId]);
        await vi.waitFor(() => expect(alone.holders()[0]?.lost).toBe(true));
        await transaction.insertInto('orders').values({ id: 1 }).execute();
      }),
    );
    const taken = recorder.take().filter(({ name }) => name === 'transaction');
    expect(taken).toMatchObject([
      {
        failed: false,
        events: ['nestjs_pooling.retried_elsewhere'],
        attributes: { 'nestjs_pooling.transaction.attempts': 2, 'nestjs_pooling.transaction.outcome': 'committed' },
      },
    ]);
    expect(await database.query('select id from orders')).toEqual([{ id: 1 }]);
  });

  it('that is tried again has one, which counts', async () => {
    let tries = 0;
    await recorder.run('caller', () =>
      transactional(db, { retry: { baseDelayMs: 1, attempts: 3 } }, async () => {
        await insert(7);
        if (++tries < 3) throw Object.assign(new Error('again'), { code: '40001' });
      }),
    );
    expect(spans()).toEqual([INSERT, INSERT, INSERT, { ...COMMITTED, attempts: 3 }]);
  });

  it('has one where it is a decorated method that begins it', async () => {
    @Injectable()
    class Orders {
      constructor(@InjectDb() private readonly kysely: Kysely<Shop>) {}

      @Transactional({ isolationLevel: 'serializable' })
      async place(id: number): Promise<void> {
        await this.kysely.insertInto('orders').values({ id }).execute();
        await this.check();
      }

      @Transactional()
      async check(): Promise<void> {
        await this.kysely.selectFrom('orders').select('id').execute();
      }
    }

    @Module({
      imports: [PoolingModule.forRoot({ database: { url: database.url }, http: false, health: false, metrics: false })],
      providers: [Orders],
    })
    class Application {}

    const application = await Test.createTestingModule({ imports: [Application] }).compile();
    await application.init();
    recorder.take();
    await recorder.run('caller', () => application.get(Orders).place(9));
    await application.close();
    const taken = recorder.take().filter(({ name }) => !name.startsWith('acquire'));
    expect(taken.map(({ name, parent }) => ({ name, parent }))).toEqual([
      INSERT,
      SELECT,
      { name: 'transaction', parent: 'caller' },
    ]);
    expect(taken.at(-1)?.attributes).toMatchObject({
      'nestjs_pooling.transaction.isolation_level': 'serializable',
      'nestjs_pooling.transaction.outcome': 'committed',
    });
  });
});

describe('a batch', () => {
  const three = (): Promise<unknown> =>
    batch(db, [
      db.insertInto('orders').values({ id: 1 }),
      db.selectFrom('orders').select('id'),
      sql`select ${1}::int as one`,
    ]);
  const ITS_STATEMENTS = [INSERT, SELECT, { name: 'SELECT', parent: 'transaction' }];

  it('has the span of its transaction, which says how many it has, with one for each of them', async () => {
    await recorder.run('caller', three);
    expect(spans()).toEqual([...ITS_STATEMENTS, { ...COMMITTED, batch: 3 }]);
  });

  it('of one query is none, by the conventions', async () => {
    await recorder.run('caller', () => batch(db, [db.selectFrom('orders').select('id')]));
    expect(spans()).toEqual([SELECT, COMMITTED]);
  });

  it('in a transaction has the span of each of its statements, in that', async () => {
    await recorder.run('caller', () => transactional(db, three));
    expect(spans()).toEqual([...ITS_STATEMENTS, COMMITTED]);
  });

  it('that fails says which error, on the statement and on the whole', async () => {
    const failed = recorder.run('caller', () =>
      batch(db, [sql`select 1 / ${0}::int`, db.selectFrom('orders').select('id')]),
    );
    await rejects(failed);
    const taken = spans();
    expect(taken).toContainEqual({ name: 'SELECT', parent: 'transaction', error: '22012' });
    expect(taken.at(-1)).toEqual({ ...ROLLED_BACK, batch: 2, error: '22012' });
    expect(taken).toHaveLength(3);
  });

  it('that is sent again over another connection is one transaction of two tries', async () => {
    await using lossy = poolOf({ size: 1 });
    const own = createKysely<Shop>(lossy);
    const { rows } = await lossy.query<{ pid: number }>('select pg_backend_pid() as pid');
    const pid = rows[0]?.pid as number;
    const control = new Client({ connectionString: database.url });
    await control.connect();
    spans();
    const terminated = control.query('select pg_terminate_backend($1)', [pid]);
    blockUntilEnded(pid);
    await recorder.run('caller', () =>
      batch(own, [own.insertInto('orders').values({ id: 4 }), own.selectFrom('orders').select('id')]),
    );
    await terminated;
    await control.end();
    const taken = spans();
    expect(taken.at(-1)).toEqual({ ...COMMITTED, attempts: 2, batch: 2 });
    expect(taken.filter(({ name }) => name === 'transaction')).toHaveLength(1);
    expect(await database.query('select id from orders')).toEqual([{ id: 4 }]);
  });
});
