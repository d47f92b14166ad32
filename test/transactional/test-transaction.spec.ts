import { Body, Controller, Get, Injectable, Module, Post, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { sql, type Kysely } from 'kysely';
import { setTimeout as sleep } from 'node:timers/promises';
import Cursor from 'pg-cursor';
import request from 'supertest';
import {
  afterCommit,
  afterRollback,
  batch,
  currentTransaction,
  DatabasePool,
  getDbPoolToken,
  InjectDb,
  PoolingModule,
  retryTransaction,
  Transactional,
  transactional,
  withoutTransaction,
} from 'nestjs-pooling';
import { beginTestTransaction, type TestRollback } from 'nestjs-pooling/testing';
import { Laboratory, rejection, undone, type Tables } from './laboratory.js';

let laboratory: Laboratory;
let db: Kysely<Tables>;
let pool: DatabasePool;
beforeAll(async () => {
  laboratory = await Laboratory.open();
  ({ db, pool } = laboratory);
});
afterAll(() => laboratory[Symbol.asyncDispose]());

let rollback: TestRollback;
beforeEach(async () => {
  rollback = await beginTestTransaction(pool);
});
afterEach(async () => {
  await rollback();
  // Whatever a test does: nothing of it stays, and the connection is back.
  expect(await laboratory.committed()).toEqual([]);
  expect(pool.statistics()).toMatchObject({ inUse: 0, waiting: 0 });
});

async function names(): Promise<string[]> {
  const rows = await db.selectFrom('entry').select('name').orderBy('name').execute();
  return rows.map(({ name }) => name);
}

const insert = (name: string): string => `insert into entry values ('${name}')`;

describe('in the transaction of a test', () => {
  it.each<[string, () => Promise<unknown>]>([
    ['a query', () => laboratory.write('one')],
    ['raw SQL', () => sql`insert into entry values ('one')`.execute(db)],
    ['pool.query', () => pool.query('insert into entry values ($1)', ['one'])],
    ['a client', () => pool.withConnection((client) => client.query(insert('one')))],
    [
      'a client with BEGIN and COMMIT',
      async () => {
        const client = await pool.connect();
        await client.query('BEGIN');
        await client.query(insert('one'));
        await client.query('COMMIT');
        client.release();
      },
    ],
    [
      'db.transaction()',
      () => db.transaction().execute((own) => own.insertInto('entry').values({ name: 'one' }).execute()),
    ],
    [
      'db.startTransaction()',
      async () => {
        const own = await db.startTransaction().execute();
        await own.insertInto('entry').values({ name: 'one' }).execute();
        await own.commit().execute();
      },
    ],
    [
      'retryTransaction()',
      () => retryTransaction(db, (own) => own.insertInto('entry').values({ name: 'one' }).execute()),
    ],
    ['transactional()', () => transactional(db, () => laboratory.write('one'))],
    ['a batch', () => batch(db, [db.insertInto('entry').values({ name: 'one' })])],
    ['several statements in one text', () => pool.query(`${insert('two')}; delete from entry; ${insert('one')}`)],
  ])('%s is seen by everybody, and gone with the end', async (_, write) => {
    await write();
    expect(await names()).toEqual(['one']);
    expect((await pool.query('select name from entry')).rows).toEqual([{ name: 'one' }]);
    expect(await laboratory.committed()).toEqual([]);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['transactional()', () => transactional(db, () => failing(db))],
    ['db.transaction()', () => db.transaction().execute((own) => failing(own as Kysely<Tables>))],
    [
      'a client with ROLLBACK',
      async () => {
        const client = await pool.connect();
        await client.query('begin');
        await client.query(insert('two'));
        await client.query('rollback');
        client.release();
        throw new Error('rolled back');
      },
    ],
    [
      'a client that leaves it open',
      async () => {
        await pool.withConnection(async (client) => {
          await client.query('begin');
          await client.query(insert('two'));
        });
        throw new Error('rolled back');
      },
    ],
    ['a batch', () => batch(db, [db.insertInto('entry').values({ name: 'two' }), sql`select 1 / 0`])],
  ])('what %s rolls back is gone, and what was there before stays', async (_, fail) => {
    await laboratory.write('one');
    await rejection(fail());
    expect(await names()).toEqual(['one']);
    await laboratory.write('two');
    expect(await names()).toEqual(['one', 'two']);
  });

  async function failing(on: Kysely<Tables>): Promise<void> {
    await on.insertInto('entry').values({ name: 'two' }).execute();
    throw new Error('rolled back');
  }

  it('a statement that fails undoes itself alone', async () => {
    await laboratory.write('one');
    expect(await rejection(laboratory.write('one'))).toMatchObject({ code: '23505' });
    expect(await rejection(pool.query(insert('one')))).toMatchObject({ code: '23505' });
    const client = await pool.connect();
    await client.query(insert('two'));
    expect(await rejection(client.query(insert('two')))).toMatchObject({ code: '23505' });
    await client.query(insert('three'));
    client.release();
    expect(await names()).toEqual(['one', 'three', 'two']);
  });

  it('a statement that fails in a transaction makes the rest of that fail, and its COMMIT a ROLLBACK', async () => {
    await laboratory.write('one');
    const client = await pool.connect();
    await client.query('begin');
    await rejection(client.query(insert('one')));
    expect(client.getTransactionStatus()).toBe('E');
    expect(await rejection(client.query('select 1'))).toMatchObject({ code: '25P02' });
    expect(await client.query('commit')).toMatchObject({ command: 'ROLLBACK' });
    expect(client.getTransactionStatus()).toBe('I');
    client.release();
    const swallowed = transactional(db, async () => {
      await rejection(laboratory.write('one'));
    });
    expect(await rejection(swallowed)).toMatchObject({ code: '25P02' });
    expect(await names()).toEqual(['one']);
  });

  it('savepoints of the application’s own work, and heal', async () => {
    const client = await pool.connect();
    await client.query('begin');
    await client.query(insert('one'));
    await client.query('savepoint mine');
    await rejection(client.query(insert('one')));
    await client.query('rollback to savepoint mine');
    expect(client.getTransactionStatus()).toBe('T');
    await client.query(insert('two'));
    await client.query('commit and chain');
    await client.query(insert('three'));
    await client.query('rollback');
    client.release();
    await transactional(db, async () => {
      await rejection(transactional(db, { propagation: 'nested' }, () => laboratory.write('two')));
      await laboratory.write('four');
    });
    expect(await names()).toEqual(['four', 'one', 'two']);
  });

  it('hooks run with the end of the application’s own transaction, as they would', async () => {
    const calls: string[] = [];
    await transactional(db, async () => {
      await laboratory.write('one');
      afterCommit(async () => {
        expect(currentTransaction(db)).toBeUndefined();
        calls.push(`committed with ${String(await names())}`);
      });
      afterRollback(() => void calls.push('never'));
    });
    await rejection(
      transactional(db, () => {
        afterRollback(() => void calls.push('rolled back'));
        afterCommit(() => void calls.push('never'));
        throw new Error('rolled back');
      }),
    );
    expect(calls).toEqual(['committed with one', 'rolled back']);
    expect(currentTransaction(db)).toBeUndefined();
  });

  it('transactions at the same time run one after the other', async () => {
    const order: string[] = [];
    await Promise.all(
      ['a', 'b', 'c'].map((name) =>
        transactional(db, async () => {
          await laboratory.write(name);
          order.push(`${name} begins`);
          await sleep(2);
          await laboratory.write(`${name}, too`);
          order.push(`${name} ends`);
          if (name === 'b') throw new Error('rolled back');
        }).catch(() => undefined),
      ),
    );
    expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
    expect(await names()).toEqual(['a', 'a, too', 'c', 'c, too']);
  });

  it('what is asked for at the same time is done, whoever asks', async () => {
    await Promise.all([
      ...['a', 'b', 'c'].map((name) => laboratory.write(name)),
      pool.query(insert('d')),
      db.transaction().execute((own) => own.insertInto('entry').values({ name: 'e' }).execute()),
      transactional(db, () => Promise.all([laboratory.write('f'), laboratory.write('g')])),
    ]);
    expect((await names()).join('')).toBe('abcdefg');
  });

  it.each<[string, () => Promise<unknown>]>([
    ['requires-new', () => transactional(db, { propagation: 'requires-new' }, () => laboratory.write('inner'))],
    ['not-supported', () => transactional(db, { propagation: 'not-supported' }, () => laboratory.write('inner'))],
    ['withoutTransaction()', () => withoutTransaction(() => laboratory.write('inner'))],
    ['pool.query', () => pool.query(insert('inner'))],
    ['another client', () => pool.withConnection((client) => client.query(insert('inner')))],
    ['another of Kysely’s', () => withoutTransaction(() => db.transaction().execute(() => laboratory.write('inner')))],
  ])('%s within a transaction comes in between, and holds nobody up', async (_, inner) => {
    await transactional(db, async () => {
      await laboratory.write('before');
      await Promise.all([inner(), laboratory.write('beside')]);
      await laboratory.write('after');
    });
    expect(await names()).toEqual(['after', 'before', 'beside', 'inner']);
  });

  it('what is made beside a transaction of Kysely’s own, in its callback, holds nobody up', async () => {
    await undone(
      db.transaction().execute(async (own) => {
        await own.insertInto('entry').values({ name: 'own' }).execute();
        expect(currentTransaction(db)).toBeUndefined();
        await laboratory.write('beside');
        throw new Error('rolled back');
      }),
    );
    await pool.withConnection(async (client) => {
      await client.query(insert('own'));
      await laboratory.write('beside');
    });
    expect(await names()).toEqual(['beside', 'own']);
  });

  it('isolation levels of the application are ignored, and who only reads may not write', async () => {
    await transactional(db, { isolationLevel: 'serializable' }, () => laboratory.write('one'));
    await pool.withConnection(async (client) => {
      await client.query('start transaction isolation level repeatable read');
      await client.query('set transaction isolation level serializable');
      await client.query(insert('two'));
      await client.query('commit');
    });
    const reading = transactional(db, { accessMode: 'read only' }, () => laboratory.write('three'));
    expect(await rejection(reading)).toMatchObject({ code: '25006' });
    await transactional(db, { accessMode: 'read only' }, () => names());
    await laboratory.write('four');
    expect(await names()).toEqual(['four', 'one', 'two']);
  });

  it('the isolation level of the whole is the test’s', async () => {
    await rollback();
    rollback = await beginTestTransaction(pool, { isolationLevel: 'repeatable read' });
    const { rows } = await pool.query("select current_setting('transaction_isolation') as level");
    expect(rows).toEqual([{ level: 'repeatable read' }]);
    await rollback();
    expect(await rejection(beginTestTransaction(pool, { isolationLevel: 'none' as never }))).toMatchObject({
      code: 'ERR_POOL_OPTIONS_INVALID',
    });
    rollback = await beginTestTransaction(pool);
  });

  it('settings of a transaction end with it', async () => {
    const tenant = async (): Promise<unknown> => {
      const { rows } = await sql<{
        tenant: string | null;
      }>`select current_setting('app.tenant', true) as tenant`.execute(db);
      return rows[0]!.tenant;
    };
    expect(await transactional(db, { settings: { 'app.tenant': 7 } }, tenant)).toBe('7');
    expect((await tenant()) ?? '').toBe('');
    await pool.withConnection(async (client) => {
      await client.query('begin');
      await client.query("set local app.tenant = '8'");
      await client.query("select set_config('app.other', $1, true)", ['9']);
      await client.query('commit');
    });
    expect((await tenant()) ?? '').toBe('');
    const { rows } = await pool.query("select current_setting('app.other', true) as other");
    expect((rows[0] as { other: string | null }).other ?? '').toBe('');
    const failing = transactional(db, { settings: { 'no such setting': 1 } }, () => laboratory.write('one'));
    expect((await rejection(failing)).message).toMatch(/no such setting/);
    expect(await names()).toEqual([]);
  });

  it('a commit checks what is deferred', async () => {
    await pool.query('create table twice (id int unique deferrable initially deferred)');
    const twice = transactional(db, () => sql`insert into twice values (1), (1)`.execute(db));
    expect(await rejection(twice)).toMatchObject({ code: '23505' });
    await transactional(db, async () => {
      await sql`insert into twice values (2), (2)`.execute(db);
      await sql`delete from twice`.execute(db);
    });
    await pool.withConnection(async (client) => {
      await client.query('begin');
      await client.query('insert into twice values (3), (3)');
      expect(await rejection(client.query('commit'))).toMatchObject({ code: '23505' });
      expect(client.getTransactionStatus()).toBe('I');
    });
    expect((await pool.query('select * from twice')).rows).toEqual([]);
  });

  it('streams and cursors are read, to the end and not', async () => {
    await batch(
      db,
      ['a', 'b', 'c'].map((name) => db.insertInto('entry').values({ name })),
    );
    const seen: string[] = [];
    for await (const { name } of db.selectFrom('entry').select('name').orderBy('name').stream(1)) seen.push(name);
    for await (const { name } of db.selectFrom('entry').select('name').orderBy('name').stream(1)) {
      seen.push(name);
      break;
    }
    await transactional(db, async () => {
      for await (const { name } of db.selectFrom('entry').select('name').orderBy('name').stream(2)) seen.push(name);
    });
    const client = await pool.connect();
    const cursor = client.query(new Cursor<{ name: string }>('select name from entry order by name'));
    seen.push(...(await cursor.read(2)).map(({ name }) => name));
    // It is given back with the cursor open.
    client.release();
    const failing = db
      .selectFrom('entry')
      .select(sql`1 / 0`.as('name'))
      .stream();
    expect(await rejection(failing.next())).toMatchObject({ code: '22012' });
    expect(seen.join('')).toBe('abcaabcab');
    expect(await names()).toEqual(['a', 'b', 'c']);
  });

  it.each([
    ['create database another', /CREATE DATABASE/],
    ['vacuum entry', /VACUUM/],
    ['listen news', /LISTEN/],
    ["prepare transaction 'one'", /PREPARE TRANSACTION/],
    [`begin; ${insert('one')}; commit`, /BEGIN/],
  ])('%s fails, and says so', async (text, words) => {
    const error = await rejection(pool.query(text));
    expect(error).toMatchObject({ code: 'ERR_POOL_TRANSACTION_FORBIDDEN', pool: 'default' });
    expect(error.message).toMatch(words);
    expect(error.message).toMatch(/cloneDatabase/);
    await laboratory.write('one');
  });

  it('a time limit cancels what runs, and undoes that alone', async () => {
    await laboratory.write('one');
    const limited = transactional(db, { timeoutMs: 50 }, async () => {
      await laboratory.write('two');
      await sql`select pg_sleep(30)`.execute(db);
    });
    expect(await rejection(limited)).toMatchObject({ code: 'ERR_POOL_TRANSACTION_TIMEOUT' });
    expect(await names()).toEqual(['one']);
  });

  it('an abort ends the wait for the connection', async () => {
    const client = await pool.connect();
    const abort = new AbortController();
    const waiting = rejection(pool.connect({ signal: abort.signal }));
    abort.abort(new Error('nobody waits'));
    expect(await waiting).toMatchObject({ message: 'nobody waits' });
    client.release();
  });

  it('is refused where one is open, and what is no pool', async () => {
    expect(await rejection(beginTestTransaction(pool))).toMatchObject({ code: 'ERR_POOL_TRANSACTION_FORBIDDEN' });
    expect(await rejection(beginTestTransaction({} as never))).toBeInstanceOf(TypeError);
  });

  it('a second end does nothing more', async () => {
    await laboratory.write('one');
    await Promise.all([rollback(), rollback()]);
    await rollback();
    expect(await laboratory.committed()).toEqual([]);
  });
});

describe('an end that somebody is late for', () => {
  it('takes the connection away from whoever has forgotten it', async () => {
    const warning = new Promise<Error>((resolve) => process.once('warning', resolve));
    const client = await pool.connect();
    await client.query('begin');
    await client.query(insert('one'));
    await rollback();
    expect((await warning).message).toMatch(/test-transaction\.spec\.ts/);
    expect(await rejection(client.query('commit'))).toMatchObject({ code: 'ERR_POOL_LEASE_RELEASED' });
  });

  it('waits for work that was begun, and undoes it', async () => {
    const late = laboratory.write('one').then(() => laboratory.write('two'));
    await rollback();
    await late;
    // The second one came afterwards.
    await laboratory.clear();
  });

  it('cancels what runs for long', async () => {
    const running = rejection(pool.query('select pg_sleep(60)'));
    await sleep(20);
    await rollback();
    expect(await running).toBeInstanceOf(Error);
    expect(pool.statistics().inUse).toBe(0);
  });

  it('comes with that of the pool', async () => {
    await using other = await Laboratory.open();
    const undo = await beginTestTransaction(other.pool);
    await other.write('one');
    await other.pool.close({ deadlineMs: 60_000 });
    await undo();
    expect(await other.committed()).toEqual([]);
  });
});

describe('an application in the transaction of a test', () => {
  const mails: string[] = [];

  @Injectable()
  class Orders {
    constructor(@InjectDb() private readonly entries: Kysely<Tables>) {}

    @Transactional()
    async place(name: string): Promise<void> {
      await this.entries.insertInto('entry').values({ name }).execute();
      await this.stamp(name);
      afterCommit(() => void mails.push(name));
    }

    @Transactional({ propagation: 'requires-new' })
    async stamp(name: string): Promise<void> {
      await this.entries
        .insertInto('entry')
        .values({ name: `${name}, stamped` })
        .execute();
    }

    async all(): Promise<string[]> {
      const rows = await this.entries.selectFrom('entry').select('name').orderBy('name').execute();
      return rows.map(({ name }) => name);
    }
  }

  @Controller('orders')
  class OrdersController {
    constructor(private readonly orders: Orders) {}

    @Post()
    async place(@Body() { name }: { name: string }): Promise<void> {
      await this.orders.place(name);
    }

    @Get()
    all(): Promise<string[]> {
      return this.orders.all();
    }
  }

  let application: INestApplication;
  beforeAll(async () => {
    @Module({
      imports: [
        PoolingModule.forRoot({
          database: { url: laboratory.database.url },
          http: false,
          health: false,
          metrics: false,
        }),
      ],
      controllers: [OrdersController],
      providers: [Orders],
    })
    class Application {}

    const module = await Test.createTestingModule({ imports: [Application] }).compile();
    application = module.createNestApplication({ logger: false });
    await application.init();
  });
  afterAll(() => application.close());
  beforeEach(() => void mails.splice(0));

  const server = (): never => application.getHttpServer() as never;

  it('answers requests from it, at the same time as well', async () => {
    await using _ = await beginTestTransaction(application.get<DatabasePool>(getDbPoolToken()));
    const post = (name: string): Promise<number> =>
      request(server())
        .post('/orders')
        .send({ name })
        .then(({ status }) => status);
    expect(await Promise.all(['a', 'b', 'c'].map(post))).toEqual([201, 201, 201]);
    expect(await post('a')).toBe(500);
    expect((await request(server()).get('/orders')).body).toEqual(
      ['a', 'b', 'c'].flatMap((name) => [name, `${name}, stamped`]),
    );
    expect(mails.toSorted()).toEqual(['a', 'b', 'c']);
  });

  it('leaves no row, after 500 tests', async () => {
    const { committed } = await laboratory.database
      .query<{ committed: string }>('select count(*) as committed from entry')
      .then(([row]) => row!);
    expect(committed).toBe('0');
    const orders = application.get(Orders);
    const own = application.get<DatabasePool>(getDbPoolToken());
    for (let test = 0; test < 500; test++) {
      const undo = await beginTestTransaction(own);
      await orders.place('one');
      expect(await orders.all()).toEqual(['one', 'one, stamped']);
      await rejection(orders.place('one'));
      await undo();
    }
    expect(await orders.all()).toEqual([]);
    expect(mails).toHaveLength(500);
    expect(own.statistics().opened).toBeLessThan(10);
  });
});
