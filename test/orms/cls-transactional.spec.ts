import { Injectable, Module } from '@nestjs/common';
import {
  InjectTransactionHost,
  Propagation,
  Transactional as ClsTransactional,
  type TransactionHost,
} from '@nestjs-cls/transactional';
import { Test, type TestingModule } from '@nestjs/testing';
import { sql, type Kysely } from 'kysely';
import { afterCommit, DatabasePool, getDbPoolToken, InjectDb, PoolingModule, Transactional } from 'nestjs-pooling';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { ClsKyselyModule, type KyselyAdapter, type Tables } from './cls-kysely.module.js';

type Fn = () => Promise<unknown>;

/** Both ways to a transaction, over one `@InjectDb()`. */
@Injectable()
class Books {
  constructor(
    @InjectTransactionHost('kysely') private readonly host: TransactionHost<KyselyAdapter>,
    @InjectDb() private readonly db: Kysely<Tables>,
  ) {}

  async byCls(title: string): Promise<void> {
    await this.host.tx.insertInto('book').values({ id: 1, title }).execute();
  }

  async byDb(title: string): Promise<void> {
    await this.db.insertInto('book').values({ id: 1, title }).execute();
  }

  async transactionId(): Promise<string> {
    const { rows } = await sql<{ id: string }>`select pg_current_xact_id()::text as id`.execute(this.host.tx);
    return rows[0]!.id;
  }

  async as(propagation: Propagation, fn: Fn): Promise<unknown> {
    return await this.host.withTransaction(propagation, fn);
  }

  @ClsTransactional('kysely')
  async inCls(fn: Fn): Promise<unknown> {
    return await fn();
  }

  @Transactional()
  async inOurs(fn: Fn): Promise<unknown> {
    return await fn();
  }
}

let database: TestDatabase;
let module: TestingModule;
let books: Books;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.query('create table book (id int not null, title text not null)');

  @Module({
    imports: [
      PoolingModule.forRoot({ database: { url: database.url }, http: false, health: false, metrics: false }),
      ClsKyselyModule,
    ],
    providers: [Books],
  })
  class Application {}

  module = await Test.createTestingModule({ imports: [Application] }).compile();
  await module.init();
  books = module.get(Books);
});
afterAll(async () => {
  await module.close();
  await database.drop();
});
beforeEach(() => database.query('truncate book'));
afterEach(() => {
  expect(module.get<DatabasePool>(getDbPoolToken()).statistics()).toMatchObject({ inUse: 0, waiting: 0 });
});

async function titles(): Promise<string[]> {
  const rows = await database.query<{ title: string }>('select title from book order by title');
  return rows.map(({ title }) => title);
}

const failing =
  (fn: Fn): Fn =>
  async () => {
    await fn();
    throw new Error('rolled back');
  };
const caught = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

describe('@nestjs-cls/transactional over @InjectDb()', () => {
  it('commits, and rolls back', async () => {
    await books.inCls(() => books.byCls('kept'));
    expect(await caught(books.inCls(failing(() => books.byCls('undone'))))).toMatchObject({ message: 'rolled back' });
    expect(await titles()).toEqual(['kept']);
  });

  it.each([
    [Propagation.Required, 'same', ['around', 'inner']],
    [Propagation.RequiresNew, 'other', ['around']],
    [Propagation.NotSupported, 'other', ['around', 'inner']],
    [Propagation.Nested, 'same', ['around']],
    [Propagation.Mandatory, 'same', ['around', 'inner']],
    [Propagation.Supports, 'same', ['around', 'inner']],
  ])('%s in a transaction of its own: %s', async (propagation, where, stay) => {
    await books.inCls(async () => {
      await books.byCls('around');
      const around = await books.transactionId();
      await books.as(propagation, async () => {
        expect((await books.transactionId()) === around ? 'same' : 'other').toBe(where);
      });
      await caught(
        books.as(
          propagation,
          failing(() => books.byCls('inner')),
        ),
      );
    });
    expect(await titles()).toEqual(stay);
  });

  it('never in a transaction, and mandatory outside, are refused', async () => {
    expect(await caught(books.inCls(() => books.as(Propagation.Never, () => books.byCls('never'))))).toBeInstanceOf(
      Error,
    );
    expect(await caught(books.as(Propagation.Mandatory, () => books.byCls('never')))).toBeInstanceOf(Error);
    expect(await titles()).toEqual([]);
  });

  it('a savepoint in a savepoint is undone alone', async () => {
    await books.inCls(async () => {
      await books.as(Propagation.Nested, async () => {
        await books.byCls('outer');
        await caught(
          books.as(
            Propagation.Nested,
            failing(() => books.byCls('inner')),
          ),
        );
        await books.byCls('outer, too');
      });
    });
    expect(await titles()).toEqual(['outer', 'outer, too']);
  });
});

describe('@nestjs-cls/transactional beside @Transactional()', () => {
  it('begins a savepoint within one of ours: undone alone, and with the whole', async () => {
    await books.inOurs(async () => {
      await books.byDb('ours');
      await books.inCls(() => books.byCls('theirs'));
      await caught(books.inCls(failing(() => books.byCls('undone'))));
      await books.byDb('ours, too');
    });
    await caught(
      books.inOurs(
        failing(async () => {
          await books.inCls(() => books.byCls('undone with the whole'));
        }),
      ),
    );
    expect(await titles()).toEqual(['ours', 'ours, too', 'theirs']);
  });

  it('has no part in one of ours that is begun within: each ends for itself', async () => {
    const calls: string[] = [];
    await caught(
      books.inCls(
        failing(async () => {
          await books.byCls('theirs');
          await books.inOurs(async () => {
            await books.byDb('ours');
            afterCommit(() => void calls.push('committed'));
          });
          expect(calls).toEqual(['committed']);
        }),
      ),
    );
    await books.inCls(async () => {
      await books.byCls('theirs');
      await caught(books.inOurs(failing(() => books.byDb('undone'))));
    });
    expect(await titles()).toEqual(['ours', 'theirs']);
  });

  it('of other requests at the same time knows nothing of ours', async () => {
    await Promise.all(
      Array.from({ length: 10 }, async (_, at) => {
        await Promise.all([
          caught(books.inCls(failing(() => books.byCls(`theirs ${at}`)))),
          books.inOurs(() => books.byDb(`ours ${at}`)),
        ]);
      }),
    );
    expect(await titles()).toEqual(Array.from({ length: 10 }, (_, at) => `ours ${at}`));
  });
});
