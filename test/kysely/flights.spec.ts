/** How many round trips a transaction takes, and that nothing of it runs outside it however its beginning ends. */
import { Log, sql, type Kysely } from 'kysely';
import { accessWhenUsed } from '#pooling/database/database-access.js';
import type { DatabasePool } from '#pooling/database/database-pool.js';
import { commandQuery } from '#pooling/database/kysely/command-query.js';
import { KyselyConnection, type ConnectionWay } from '#pooling/database/kysely/kysely-connection.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import { prepareQuery } from '#pooling/database/kysely/prepare-query.js';
import { retryTransaction } from '#pooling/database/kysely/retry-transaction.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import type { Beginning } from '#pooling/database/query/opening.js';
import { urlAt, useTestDatabase } from '#test/support/database.js';
import { FlightCounter } from '#test/support/flight-counter.js';
import { usePools } from '#test/support/pools.js';
import { rejection } from './laboratory.js';

interface Tables {
  entry: { id: number; name: string };
}

const database = useTestDatabase('create table entry (id int primary key, name text)');
let counter: FlightCounter;

beforeAll(async () => {
  counter = await FlightCounter.before(Number(new URL(database.url).port));
});
beforeEach(() => database.query('truncate entry'));
afterAll(() => counter[Symbol.asyncDispose]());

const createPool = usePools('flights', () => ({
  url: urlAt(database.url, counter.port),
  size: 1,
  maxOverflow: 0,
  prePing: false,
}));

/** A pool of one connection that is open, and Kysely on it. */
async function open(options: DatabaseOptions = {}): Promise<{ pool: DatabasePool; db: Kysely<Tables> }> {
  const pool = createPool(options);
  await pool.query('select 1');
  counter.reset();
  return { pool, db: createKysely<Tables>(pool) };
}

const insert = (db: Kysely<Tables>, id: number): Promise<unknown> =>
  db
    .insertInto('entry')
    .values({ id, name: `entry ${id}` })
    .execute();
const failing = (db: Kysely<Tables>): Promise<unknown> => sql`select 1/0`.execute(db);

async function ids(): Promise<number[]> {
  const rows = await database.query<{ id: number }>('select id from entry order by id');
  return rows.map(({ id }) => id);
}

/** What became of promises: `done`, or the code of the error. */
async function outcomes(promises: readonly Promise<unknown>[]): Promise<unknown[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((each) => (each.status === 'fulfilled' ? 'done' : (each.reason as { code?: string }).code));
}

function wayOf(pool: DatabasePool): ConnectionWay {
  return { ...accessWhenUsed(pool), pool, log: new Log([]), cursor: undefined, readOnly: false };
}

/** Kysely's view of a lease, as a transaction that is begun in other ways than Kysely's has it. */
async function connectionOf(pool: DatabasePool, beginning: Beginning): Promise<KyselyConnection> {
  const connection = new KyselyConnection(wayOf(pool), await accessWhenUsed(pool).leases.acquire());
  connection.begin(beginning);
  return connection;
}

const WAYS: Record<string, DatabaseOptions> = {
  'with prepared statements': {},
  'without prepared statements': { preparedStatements: false },
  'with pipelining': { pipelining: {} },
};

describe.each(Object.keys(WAYS))('%s', (way) => {
  const options = WAYS[way] as DatabaseOptions;

  describe('a transaction of four statements', () => {
    it('takes five flights when they are run one after the other', async () => {
      const { db } = await open(options);
      for (let round = 0; round < 3; round++) {
        counter.reset();
        await db.transaction().execute(async (trx) => {
          for (let n = 1; n <= 4; n++) await insert(trx, 10 * round + n);
        });
        expect(counter.flights).toBe(5);
      }
      expect(await ids()).toEqual([1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24]);
    });

    it('takes two when they are run at once', async () => {
      const { db } = await open(options);
      for (let round = 0; round < 3; round++) {
        counter.reset();
        await db.transaction().execute(async (trx) => {
          await Promise.all([1, 2, 3, 4].map((n) => insert(trx, 10 * round + n)));
        });
        expect(counter.flights).toBe(2);
      }
      expect(await ids()).toEqual([1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24]);
    });

    it('takes as many with an isolation level, and when it may be tried again', async () => {
      const { db } = await open(options);
      const found = await retryTransaction(
        db,
        async (trx) => {
          await Promise.all([insert(trx, 1), insert(trx, 2)]);
          return sql<{ level: string }>`select current_setting('transaction_isolation') as level`.execute(trx);
        },
        { isolationLevel: 'serializable', accessMode: 'read write' },
      );
      expect(found.rows).toEqual([{ level: 'serializable' }]);
      expect(counter.flights).toBe(3);
    });

    it('takes as many when it is a controlled one', async () => {
      const { db } = await open(options);
      const trx = await db.startTransaction().execute();
      await insert(trx, 1);
      await insert(trx, 2);
      await trx.commit().execute();
      expect(counter.flights).toBe(3);
      expect(await ids()).toEqual([1, 2]);
    });
  });

  it('runs a kept query in the transaction that it is given', async () => {
    const { db } = await open(options);
    const byId = prepareQuery(db, (p: { id: number }) => db.selectFrom('entry').select('name').where('id', '=', p.id));
    const undone = db.transaction().execute(async (trx) => {
      await insert(trx, 1);
      expect(await byId.executeTakeFirst({ id: 1 }, trx)).toEqual({ name: 'entry 1' });
      expect(await byId.execute({ id: 1 }, trx)).toEqual([{ name: 'entry 1' }]);
      throw new Error('undone');
    });
    expect((await rejection(undone)).message).toBe('undone');
    expect(await byId.executeTakeFirst({ id: 1 })).toBeUndefined();
  });

  it('sends nothing for a transaction without statements, however it ends', async () => {
    const { db, pool } = await open(options);
    expect(await db.transaction().execute(async () => 'done')).toBe('done');
    await rejection(db.transaction().execute(() => Promise.reject(new Error('rolled back'))));
    await (await db.startTransaction().execute()).commit().execute();
    await (await db.startTransaction().execute()).rollback().execute();
    expect(counter.sent).toBe('');
    expect(pool.statistics()).toMatchObject({ inUse: 0, opened: 1 });
  });

  it('lets the statements behind one that has failed fail as the server says', async () => {
    const { db, pool } = await open(options);
    let asked: Promise<unknown>[] = [];
    const failed = db.transaction().execute(async (trx) => {
      asked = [insert(trx, 1), failing(trx), insert(trx, 2), insert(trx, 3)];
      await Promise.all(asked);
    });
    expect(await outcomes([failed])).toEqual(['22012']);
    expect(await outcomes(asked)).toEqual(['done', '22012', '25P02', '25P02']);
    expect(await ids()).toEqual([]);
    await insert(db, 4);
    expect(pool.statistics()).toMatchObject({ opened: 1, inUse: 0, transactionsLeftOpen: 0 });
  });

  it('keeps savepoints in order with what is asked for together with them', async () => {
    const { db } = await open(options);
    const trx = await db.startTransaction().execute();
    const asked = [
      insert(trx, 1),
      trx.savepoint('a').execute(),
      insert(trx, 2),
      failing(trx),
      insert(trx, 3),
      (trx as unknown as { rollbackToSavepoint(name: string): { execute(): Promise<unknown> } })
        .rollbackToSavepoint('a')
        .execute(),
      insert(trx, 4),
    ];
    expect(await outcomes(asked)).toEqual(['done', 'done', 'done', '22012', '25P02', 'done', 'done']);
    await trx.commit().execute();
    expect(await ids()).toEqual([1, 4]);
  });

  it('makes settings with BEGIN, for the transaction alone', async () => {
    const { pool, db } = await open(options);
    const connection = await connectionOf(pool, {
      settings: { 'app.tenant': 7, 'app.name': "O'Hara", search_path: 'public' },
    });
    const query = sql<{ tenant: string; name: string }>`
      select current_setting('app.tenant') as tenant, current_setting('app.name') as name`.compile(db);
    const [one, other] = await Promise.all([connection.executeQuery(query), connection.executeQuery(query)]);
    expect([one?.rows, other?.rows]).toEqual([[{ tenant: '7', name: "O'Hara" }], [{ tenant: '7', name: "O'Hara" }]]);
    await connection.commit();
    connection.release();
    expect(counter.flights).toBe(2);
    const after = await sql<{ tenant: string }>`select current_setting('app.tenant', true) as tenant`.execute(db);
    expect(after.rows).toEqual([{ tenant: '' }]);
  });

  describe.each([
    ['BEGIN', { isolationLevel: 'nonsense' }, '42601'],
    ['a setting', { settings: { statement_timeout: 'nonsense' } }, '22023'],
  ])('when %s fails', (_what, beginning, code) => {
    it.each(['commit', 'rollback'] as const)('runs no statement, and ends by %s', async (end) => {
      const { pool, db } = await open(options);
      // What is prepared, closed and prepared anew in such a unit must not confuse the connection.
      for (let round = 0; round < 3; round++) {
        const connection = await connectionOf(pool, beginning);
        const asked = [1, 2, 3].map((id) =>
          connection.executeQuery(db.insertInto('entry').values({ id, name: 'never' }).compile()),
        );
        expect(await outcomes(asked)).toEqual([code, '25P02', '25P02']);
        const later = connection.executeQuery(sql`insert into entry values (4, 'never'); select 1`.compile(db));
        expect(await outcomes([later])).toEqual(['25P02']);
        expect(await outcomes([connection[end]()])).toEqual([end === 'commit' ? '25P02' : 'done']);
        connection.release();
      }
      expect(await ids()).toEqual([]);
      await db.transaction().execute((trx) => insert(trx, 5));
      expect(await ids()).toEqual([5]);
      expect(pool.statistics()).toMatchObject({ opened: 1, inUse: 0, transactionsLeftOpen: 0 });
    });

    it('runs no text of several statements, and no stream', async () => {
      const { pool, db } = await open(options);
      for (const run of [
        (connection: KyselyConnection) =>
          connection.executeQuery(sql`insert into entry values (1, 'never'); select 1`.compile(db)),
        (connection: KyselyConnection) =>
          connection.streamQuery(sql`insert into entry values (1, 'never') returning id`.compile(db), 1).next(),
      ]) {
        const connection = await connectionOf(pool, beginning);
        expect(await outcomes([run(connection), connection.executeQuery(sql`select 1`.compile(db))])).toEqual([
          code,
          '25P02',
        ]);
        await connection.rollback();
        connection.release();
      }
      expect(await ids()).toEqual([]);
      expect(pool.statistics()).toMatchObject({ opened: 1, transactionsLeftOpen: 0 });
    });
  });

  it('begins with the next statement when the first could not be sent', async () => {
    const { db } = await open(options);
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    await db.transaction().execute(async (trx) => {
      const unsent = sql`insert into entry values (${cyclic})`.execute(trx);
      const [error] = await Promise.allSettled([unsent, insert(trx, 1)]);
      expect(error).toMatchObject({ status: 'rejected', reason: expect.any(TypeError) as TypeError });
      await insert(trx, 2);
    });
    expect(await ids()).toEqual([1, 2]);
  });

  it('leases with the first statement where it is told to, in order with what is asked for meanwhile', async () => {
    const { pool, db } = await open(options);
    const connection = new KyselyConnection(wayOf(pool));
    connection.begin({});
    expect(pool.statistics().inUse).toBe(0);
    expect(connection.sent).toBe(false);
    const asked = [
      connection.executeQuery(db.insertInto('entry').values({ id: 1, name: 'a' }).compile()),
      connection.executeQuery(commandQuery('savepoint s')),
      connection.executeQuery(db.insertInto('entry').values({ id: 1, name: 'again' }).compile()),
      connection.executeQuery(commandQuery('rollback to s')),
    ];
    expect(connection.sent).toBe(true);
    expect(await outcomes(asked)).toEqual(['done', 'done', '23505', 'done']);
    await connection.commit();
    connection.release();
    expect(await ids()).toEqual([1]);
    expect(pool.statistics()).toMatchObject({ inUse: 0, opened: 1 });
  });

  it('gives the error of the lease to what waits for it, and leases again for what comes later', async () => {
    const { pool, db } = await open({ ...options, acquireTimeoutMs: 1_000 });
    const holder = await pool.connect({ timeoutMs: 60_000 });
    const connection = new KyselyConnection(wayOf(pool));
    connection.begin({});
    const query = db.insertInto('entry').values({ id: 1, name: 'a' }).compile();
    const timedOut = 'ERR_POOL_ACQUIRE_TIMEOUT';
    expect(await outcomes([connection.executeQuery(query), connection.executeQuery(query)])).toEqual([
      timedOut,
      timedOut,
    ]);
    holder.release();
    await connection.executeQuery(query);
    await connection.commit();
    connection.release();
    expect(await ids()).toEqual([1]);
  });

  it('gives back a lease that comes after nobody wants it any more', async () => {
    const { pool, db } = await open(options);
    const holder = await pool.connect();
    const connection = new KyselyConnection(wayOf(pool));
    connection.begin({});
    const asked = connection.executeQuery(sql`select 1`.compile(db));
    connection.release();
    holder.release();
    expect(await outcomes([asked])).toEqual(['ERR_POOL_LEASE_RELEASED']);
    expect(pool.statistics()).toMatchObject({ inUse: 0, idle: 1 });
  });
});
