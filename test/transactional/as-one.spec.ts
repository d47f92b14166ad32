import { Controller, Injectable, Logger, Module, Post, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { sql, type Kysely } from 'kysely';
import request from 'supertest';
import {
  DatabasePool,
  getDbPoolToken,
  InjectDb,
  PoolingModule,
  Transactional,
  type DatabasePoolObserver,
  type LeakReport,
  type SlowQueryReport,
} from 'nestjs-pooling';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import { transactional } from '#pooling/database/kysely/ambient/transactional.js';
import { useTestDatabase } from '#test/support/database.js';
import { rejection, undone, type Tables } from './laboratory.js';

const database = useTestDatabase('create table entry (name text not null unique)');

const write = async (db: Kysely<Tables>, name: string): Promise<void> => {
  await db.insertInto('entry').values({ name }).execute();
};

describe('a transaction is shown as one', () => {
  it('among the holders: where it was begun, its statements, and for how long nothing has run in it', async () => {
    const clock = new ManualClock();
    await using pool = new DatabasePool('orders', { url: database.url, leakDetectionMs: 60_000 }, { clock });
    const db = createKysely<Tables>(pool);
    await undone(
      transactional(db, async () => {
        expect(pool.holders()).toEqual([]);
        await write(db, 'one');
        await write(db, 'two');
        await clock.advance(5_000);
        const [holder, ...others] = pool.holders();
        expect(others).toEqual([]);
        expect(holder).toMatchObject({
          inTransaction: true,
          active: false,
          statements: 2,
          idleMs: 5_000,
          transaction: expect.stringMatching(/as-one\.spec\.ts:\d+/),
          acquiredAt: expect.stringMatching(/as-one\.spec\.ts:\d+/),
        });
        expect(holder!.transaction).toBe(holder!.acquiredAt);
        throw new Error('rolled back');
      }),
    );
    expect(pool.holders()).toEqual([]);
  });

  it('by the place where it was begun, and not by that of its first statement', async () => {
    await using pool = new DatabasePool('orders', { url: database.url, leakDetectionMs: 60_000 });
    const db = createKysely<Tables>(pool);
    await undone(
      transactional(db, async function begin() {
        await (async function first() {
          await write(db, 'one');
        })();
        expect(pool.holders()[0]!.acquiredAt).not.toMatch(/first/);
        throw new Error('rolled back');
      }),
    );
  });

  it('in a leak’s report, and in the error of whoever waits for it', async () => {
    const clock = new ManualClock();
    const leaked: LeakReport[] = [];
    await using pool = new DatabasePool(
      'orders',
      { url: database.url, size: 1, maxOverflow: 0, leakDetectionMs: 60_000, acquireTimeoutMs: 10_000 },
      { clock, observer: { leaked: (report) => void leaked.push(report) } },
    );
    const db = createKysely<Tables>(pool);
    await undone(
      transactional(db, async () => {
        await write(db, 'one');
        const waiting = rejection(pool.query('select 1'));
        await clock.advance(10_000);
        const error = await waiting;
        expect(error.code).toBe('ERR_POOL_ACQUIRE_TIMEOUT');
        expect(error.message).toMatch(/by .*as-one\.spec\.ts:\d+\)?, idle in transaction after 1 statement, last ran/);
        await vi.waitFor(async () => {
          await clock.advance(10_000);
          expect(leaked).toHaveLength(1);
        }, 10_000);
        throw new Error('rolled back');
      }),
    );
    expect(leaked).toMatchObject([
      { transaction: expect.stringMatching(/as-one\.spec\.ts/), activity: { statements: 1, inTransaction: true } },
    ]);
  });

  it('by each of its statements that is slow', async () => {
    const slow: SlowQueryReport[] = [];
    const observer: DatabasePoolObserver = { slowQuery: (report) => void slow.push(report) };
    await using pool = new DatabasePool('orders', { url: database.url, slowQueryMs: 1 }, { observer });
    const db = createKysely<Tables>(pool);
    await transactional(db, async () => {
      await sql`select pg_sleep(0.01)`.execute(db);
      await pool.query('select pg_sleep(0.02)');
    });
    const inside = slow.find(({ statement }) => statement.includes('0.01'));
    const outside = slow.find(({ statement }) => statement.includes('0.02'));
    expect(inside).toMatchObject({ inTransaction: true, transaction: expect.stringMatching(/as-one\.spec\.ts:\d+/) });
    expect(outside).toMatchObject({ inTransaction: false });
    expect(outside).not.toHaveProperty('transaction');
  });
});

describe('@Transactional() in an application', () => {
  @Injectable()
  class Orders {
    constructor(@InjectDb() private readonly db: Kysely<Tables>) {}

    seen: unknown;
    pool: DatabasePool | undefined;

    @Transactional()
    async place(): Promise<void> {
      await sql`select pg_sleep(0.01)`.execute(this.db);
      this.seen = this.pool?.holders();
    }
  }

  @Controller('orders')
  class OrdersController {
    constructor(private readonly orders: Orders) {}

    @Post()
    async create(): Promise<void> {
      await this.orders.place();
    }
  }

  let application: INestApplication;
  const lines: { message?: string }[] = [];
  beforeAll(async () => {
    vi.spyOn(Logger.prototype, 'warn').mockImplementation((line) => void lines.push(line as object));

    @Module({
      imports: [
        PoolingModule.forRoot({
          database: { url: database.url, slowQueryMs: 1, slowQueryPlan: false },
          http: false,
          health: false,
          metrics: false,
        }),
      ],
      controllers: [OrdersController],
      providers: [Orders],
    })
    class Application {}

    application = (await Test.createTestingModule({ imports: [Application] }).compile()).createNestApplication({
      logger: false,
    });
    await application.init();
    application.get(Orders).pool = application.get<DatabasePool>(getDbPoolToken());
  });
  afterAll(async () => {
    await application.close();
    vi.restoreAllMocks();
  });

  it('is named as holder and in slow queries, without leak detection as well', async () => {
    await request(application.getHttpServer() as never)
      .post('/orders')
      .expect(201);
    expect(application.get(Orders).seen).toMatchObject([
      { transaction: 'Orders.place', statements: 1, inTransaction: true },
    ]);
    const slow = lines.map(({ message }) => message).find((message) => message?.includes('slow query'));
    expect(slow).toMatch(/the transaction of Orders\.place: select pg_sleep/);
  });
});
