import { Kysely, PostgresDialect, sql, type LogEvent } from 'kysely';
import { retryTransaction } from '#pooling/database/kysely/retry-transaction.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { KyselyLaboratory, NONE_LOST, rejection, type Tables } from './laboratory.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await database.query(
    'create table entry (id int, name text not null, constraint entry_id unique (id) deferrable initially deferred)',
  );
});
beforeEach(() => database.query('truncate entry'));
afterAll(() => database.drop());

async function entries(): Promise<number> {
  const [row] = await database.query<{ count: number }>('select count(*)::int as count from entry');
  return row?.count ?? 0;
}

const row = (id: number): { id: number; name: string } => ({ id, name: `entry ${id}` });

/** Whether the message at which the connection is cut still arrives. */
const DELIVERED = [{ deliver: false }, { deliver: true }];

it('the log sees begin, commit, rollback and savepoints, as with Kysely’s own dialect', async () => {
  const log: LogEvent[] = [];
  await using laboratory = await KyselyLaboratory.open(database, { kysely: { log: (event) => void log.push(event) } });
  const theirLog: LogEvent[] = [];
  const theirs = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: laboratory.pool }),
    log: (event) => void theirLog.push(event),
  });
  for (const db of [laboratory.db, theirs]) {
    await db.transaction().execute((trx) => trx.selectFrom('entry').select('id').execute());
    await db
      .transaction()
      .setIsolationLevel('serializable')
      .setAccessMode('read only')
      .execute(async (trx) => {
        await trx.selectFrom('entry').select('name').execute();
        throw new Error('rolled back');
      })
      .catch(() => undefined);
    const trx = await db.startTransaction().execute();
    const inner = await trx.savepoint('a').execute();
    await inner.rollbackToSavepoint('a').execute();
    await inner.releaseSavepoint('a').execute();
    await trx.rollback().execute();
    // Kysely 0.28.0 throws where later ones reject.
    await (async () => trx.commit().execute())().catch(() => undefined);
  }
  const texts = (events: LogEvent[]): string[] => events.map(({ level, query }) => `${level}: ${query.sql}`);
  expect(texts(log)).toEqual(texts(theirLog));
  expect(texts(log)).toContain('query: begin');
  expect(log.every(({ queryDurationMillis }) => queryDurationMillis >= 0)).toBe(true);
});

it('a log that throws after COMMIT doesn’t make the commit unknown', async () => {
  const thrown = new Error('the log is full');
  await using laboratory = await KyselyLaboratory.open(database, {
    kysely: {
      log: ({ query }) => {
        if (query.sql === 'commit') throw thrown;
      },
    },
  });
  const transaction = laboratory.db.transaction().execute((trx) => trx.insertInto('entry').values(row(1)).execute());
  expect(await rejection(transaction)).toBe(thrown);
  expect(await laboratory.slots()).toEqual(NONE_LOST);
});

describe('a transaction', () => {
  it('whose callback throws is rolled back and keeps its connection', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, pool } = laboratory;
    const failure = new Error('the callback threw');
    const error = await rejection(
      db.transaction().execute(async (transaction) => {
        await transaction.insertInto('entry').values(row(1)).execute();
        throw failure;
      }),
    );
    expect(error).toBe(failure);
    expect(await entries()).toBe(0);
    expect(pool.statistics()).toMatchObject({ opened: 1, transactionsLeftOpen: 0 });
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it.each(DELIVERED)('cut at its begin (delivered: $deliver): nothing of it happened', async ({ deliver }) => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, proxy } = laboratory;
    const cut = proxy.cutWhen({ bytes: 'begin\0', deliver });
    const error = await rejection(
      db.transaction().execute((transaction) => transaction.insertInto('entry').values(row(1)).execute()),
    );
    await cut;
    expect(await entries()).toBe(0);
    expect(error.code).not.toBe('ERR_POOL_COMMIT_UNKNOWN');
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it.each(DELIVERED)(
    'cut at one of its statements (delivered: $deliver): nothing of it is kept',
    async ({ deliver }) => {
      await using laboratory = await KyselyLaboratory.open(database);
      const { db, proxy } = laboratory;
      const cut = proxy.cutWhen({ bytes: 'insert into', deliver });
      const error = await rejection(
        db.transaction().execute((transaction) => transaction.insertInto('entry').values(row(1)).execute()),
      );
      await cut;
      expect(error.code).not.toBe('ERR_POOL_COMMIT_UNKNOWN');
      expect(await laboratory.slots()).toEqual(NONE_LOST);
      expect(await entries()).toBe(0);
    },
  );

  it.each(DELIVERED)(
    'cut at its commit (delivered: $deliver): nobody can know, and it says so',
    async ({ deliver }) => {
      await using laboratory = await KyselyLaboratory.open(database);
      const { db, proxy } = laboratory;
      const cut = proxy.cutWhen({ bytes: 'commit\0', deliver });
      const error = await rejection(
        db.transaction().execute((transaction) => transaction.insertInto('entry').values(row(1)).execute()),
      );
      await cut;
      expect(error).toMatchObject({ code: 'ERR_POOL_COMMIT_UNKNOWN', pool: 'kysely' });
      expect(error.cause).toBeInstanceOf(Error);
      expect(await laboratory.slots()).toEqual(NONE_LOST);
      await vi.waitFor(async () => expect(await entries()).toBe(deliver ? 1 : 0));
    },
  );

  it.each(DELIVERED)(
    'cut at its rollback (delivered: $deliver): the callback’s error is the one that is seen',
    async ({ deliver }) => {
      await using laboratory = await KyselyLaboratory.open(database);
      const { db, proxy } = laboratory;
      const cut = proxy.cutWhen({ bytes: 'rollback\0', deliver });
      const failure = new Error('the callback threw');
      const error = await rejection(
        db.transaction().execute(async (transaction) => {
          await transaction.insertInto('entry').values(row(1)).execute();
          throw failure;
        }),
      );
      await cut;
      expect(error).toBe(failure);
      expect(await laboratory.slots()).toEqual(NONE_LOST);
      expect(await entries()).toBe(0);
    },
  );

  it('that the server refuses to commit tells the server’s error and keeps its connection', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, pool } = laboratory;
    const error = await rejection(
      db.transaction().execute((transaction) =>
        transaction
          .insertInto('entry')
          .values([row(1), row(1)])
          .execute(),
      ),
    );
    expect(error.code).toBe('23505');
    expect(pool.statistics().opened).toBe(1);
    expect(await entries()).toBe(0);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('that swallows the error of a statement doesn’t pass for committed', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db } = laboratory;
    const error = await rejection(
      db.transaction().execute(async (transaction) => {
        await transaction.insertInto('entry').values(row(1)).execute();
        await rejection(sql`select 1/0`.execute(transaction));
      }),
    );
    expect(error.code).toBe('25P02');
    expect(await entries()).toBe(0);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('whose connection is ended by the server between two statements fails, and the process lives', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, pool } = laboratory;
    const error = await rejection(
      db.transaction().execute(async (transaction) => {
        await transaction.insertInto('entry').values(row(1)).execute();
        const [holder] = pool.holders();
        await database.query('select pg_terminate_backend($1)', [holder?.serverId]);
        await vi.waitFor(() => expect(pool.statistics().inUse).toBe(1));
        await transaction.insertInto('entry').values(row(2)).execute();
      }),
    );
    expect(error).toBeInstanceOf(Error);
    expect(error.code).not.toBe('ERR_POOL_COMMIT_UNKNOWN');
    expect(await laboratory.slots()).toEqual(NONE_LOST);
    expect(await entries()).toBe(0);
  });

  it('whose connection died before commit was sent is not in doubt', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, pool, proxy } = laboratory;
    const error = await rejection(
      db.transaction().execute(async (transaction) => {
        await transaction.insertInto('entry').values(row(1)).execute();
        proxy.cut('rst');
        await vi.waitFor(() => expect(pool.totalCount).toBe(0));
      }),
    );
    expect(error.code).not.toBe('ERR_POOL_COMMIT_UNKNOWN');
    expect(await laboratory.slots()).toEqual(NONE_LOST);
    expect(await entries()).toBe(0);
  });
});

describe('a controlled transaction', () => {
  it.each(DELIVERED)('cut at its begin (delivered: $deliver): no slot is lost', async ({ deliver }) => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, proxy } = laboratory;
    for (let round = 0; round < 3; round++) {
      const transaction = await db.startTransaction().execute();
      const cut = proxy.cutWhen({ bytes: 'begin\0', deliver });
      const error = await rejection(transaction.insertInto('entry').values(row(1)).execute());
      await cut;
      expect(error.code).not.toBe('ERR_POOL_COMMIT_UNKNOWN');
      await transaction.rollback().execute();
    }
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it.each(DELIVERED)(
    'cut at its commit, and never rolled back (delivered: $deliver): no slot is lost',
    async ({ deliver }) => {
      await using laboratory = await KyselyLaboratory.open(database);
      const { db, proxy } = laboratory;
      for (let round = 0; round < 3; round++) {
        const transaction = await db.startTransaction().execute();
        await transaction.insertInto('entry').values(row(round)).execute();
        const cut = proxy.cutWhen({ bytes: 'commit\0', deliver });
        expect(await rejection(transaction.commit().execute())).toMatchObject({ code: 'ERR_POOL_COMMIT_UNKNOWN' });
        await cut;
      }
      expect(await laboratory.slots()).toEqual(NONE_LOST);
      await vi.waitFor(async () => expect(await entries()).toBe(deliver ? 3 : 0));
    },
  );

  it('whose commit failed may be rolled back as Kysely’s documentation shows, and refuses to be used', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, proxy } = laboratory;
    const transaction = await db.startTransaction().execute();
    await transaction.insertInto('entry').values(row(1)).execute();
    const cut = proxy.cutWhen({ bytes: 'commit\0' });
    await rejection(transaction.commit().execute());
    await cut;
    const used = await rejection(transaction.insertInto('entry').values(row(1)).execute());
    expect(used).toMatchObject({ code: 'ERR_POOL_TRANSACTION_OVER' });
    await transaction.rollback().execute();
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('that the server refuses to commit, and that nobody rolls back: no slot is lost', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db } = laboratory;
    for (let round = 0; round < 3; round++) {
      const transaction = await db.startTransaction().execute();
      await transaction
        .insertInto('entry')
        .values([row(1), row(1)])
        .execute();
      expect(await rejection(transaction.commit().execute())).toMatchObject({ code: '23505' });
    }
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it.each(DELIVERED)('cut at its rollback (delivered: $deliver): no slot is lost', async ({ deliver }) => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, proxy } = laboratory;
    for (let round = 0; round < 3; round++) {
      const transaction = await db.startTransaction().execute();
      await transaction.insertInto('entry').values(row(round)).execute();
      const cut = proxy.cutWhen({ bytes: 'rollback\0', deliver });
      await transaction.rollback().execute();
      await cut;
    }
    expect(await laboratory.slots()).toEqual(NONE_LOST);
    expect(await entries()).toBe(0);
  });

  it.each(['savepoint', 'rollback to', 'release'])(
    'cut at %s: ends in a rollback, and no slot is lost',
    async (bytes) => {
      await using laboratory = await KyselyLaboratory.open(database);
      const { db, proxy } = laboratory;
      const transaction = await db.startTransaction().execute();
      const cut = proxy.cutWhen({ bytes });
      const error = await rejection(
        (async () => {
          const saved = await transaction.savepoint('here').execute();
          await saved.insertInto('entry').values(row(1)).execute();
          await saved.rollbackToSavepoint('here').execute();
          await saved.releaseSavepoint('here').execute();
        })(),
      );
      await cut;
      expect(error).toBeInstanceOf(Error);
      await transaction.rollback().execute();
      expect(await laboratory.slots()).toEqual(NONE_LOST);
      expect(await entries()).toBe(0);
    },
  );
});

describe('retryTransaction', () => {
  const quickly = { baseDelayMs: 1, maxDelayMs: 5 };

  it.each(DELIVERED)('never runs again what was cut at its commit (delivered: $deliver)', async ({ deliver }) => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, proxy } = laboratory;
    const cut = proxy.cutWhen({ bytes: 'commit\0', deliver });
    let runs = 0;
    const error = await rejection(
      retryTransaction(
        db,
        async (transaction) => {
          runs++;
          await transaction.insertInto('entry').values(row(1)).execute();
        },
        quickly,
      ),
    );
    await cut;
    expect(error).toMatchObject({ code: 'ERR_POOL_COMMIT_UNKNOWN' });
    expect(runs).toBe(1);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
    await vi.waitFor(async () => expect(await entries()).toBe(deliver ? 1 : 0));
  });

  it.each([
    { step: 'begin', bytes: 'begin\0', deliver: false },
    { step: 'begin', bytes: 'begin\0', deliver: true },
    { step: 'statement', bytes: 'insert into', deliver: false },
    { step: 'statement', bytes: 'insert into', deliver: true },
  ])('heals a cut at a $step (delivered: $deliver): committed once', async ({ bytes, deliver }) => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, proxy } = laboratory;
    const cut = proxy.cutWhen({ bytes, deliver });
    await retryTransaction(db, (transaction) => transaction.insertInto('entry').values(row(1)).execute(), quickly);
    await cut;
    expect(await entries()).toBe(1);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('runs no more than its attempts, and loses no slot in any of them', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, proxy } = laboratory;
    let runs = 0;
    const error = await rejection(
      retryTransaction(
        db,
        async (transaction) => {
          runs++;
          proxy.cut('rst');
          await transaction.insertInto('entry').values(row(1)).execute();
        },
        { ...quickly, attempts: 4 },
      ),
    );
    expect(error).toBeInstanceOf(Error);
    expect(runs).toBe(4);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
    expect(await entries()).toBe(0);
  });
});
