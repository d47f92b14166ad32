import { sql, type CompiledQuery, type Generated, type Kysely, type LogEvent } from 'kysely';
import Cursor from 'pg-cursor';
import { useProxiedDatabase } from '#test/support/proxied-pools.js';
import type { DatabasePool } from '../database-pool.js';
import { createKysely, type CreateKyselyOptions } from './kysely.js';
import type { DatabaseOptions } from '../options/options.js';

interface Schema {
  item: { id: Generated<number>; name: string };
}

const proxied = useProxiedDatabase();

beforeAll(async () => {
  await proxied.database.query(
    'create table item (id serial primary key, name text not null unique deferrable initially deferred)',
  );
});
beforeEach(async () => {
  await proxied.database.query('truncate item restart identity');
  await proxied.database.query("insert into item (name) select 'item ' || n from generate_series(1, 25) n");
});

function create(
  options: DatabaseOptions = {},
  kyselyOptions?: CreateKyselyOptions,
): { pool: DatabasePool; db: Kysely<Schema> } {
  const pool = proxied.pools.create({ size: 3, acquireTimeoutMs: 20_000, ...options });
  return { pool, db: createKysely<Schema>(pool, kyselyOptions) };
}

/** Every slot can still be leased: nothing was lost. */
async function expectAllSlots(pool: DatabasePool): Promise<void> {
  // After a failed statement a connection waits for the server to be ready before it is idle.
  await vi.waitFor(() => expect(pool.statistics().inUse).toBe(0));
  const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()]);
  await Promise.all(clients.map((client) => client.query('select 1')));
  for (const client of clients) client.release();
}

const names = (db: Kysely<Schema>): Promise<string[]> =>
  db
    .selectFrom('item')
    .select('name')
    .where('id', '>', 25)
    .orderBy('id')
    .execute()
    .then((rows) => rows.map(({ name }) => name));

describe('createKysely', () => {
  it('runs queries and reports affected rows', async () => {
    const { db, pool } = create();
    const inserted = await db.insertInto('item').values({ name: 'new' }).returning('id').executeTakeFirstOrThrow();
    expect(inserted).toEqual({ id: 26 });
    expect(await db.updateTable('item').set({ name: 'newer' }).where('id', '=', 26).executeTakeFirst()).toMatchObject({
      numUpdatedRows: 1n,
    });
    expect(await db.deleteFrom('item').where('id', '=', 26).executeTakeFirst()).toMatchObject({ numDeletedRows: 1n });
    expect(await sql<{ one: number }>`select 1 as one`.execute(db)).toEqual({ rows: [{ one: 1 }] });
    expect((await db.introspection.getTables()).map(({ name }) => name)).toEqual(['item']);
    await expectAllSlots(pool);
  });

  it('hands plugins and the log on', async () => {
    const events: LogEvent[] = [];
    const { db } = create(
      {},
      {
        log: (event) => void events.push(event),
        plugins: [
          {
            transformQuery: ({ node }) => node,
            transformResult: ({ result }) => Promise.resolve({ ...result, rows: [...result.rows, { id: 'plugged' }] }),
          },
        ],
      },
    );
    expect(await db.selectFrom('item').select('id').where('id', '=', 1).execute()).toEqual([
      { id: 1 },
      { id: 'plugged' },
    ]);
    await sql`select 1/0`.execute(db).catch(() => undefined);
    expect(events.map(({ level }) => level)).toEqual(['query', 'error']);
  });

  it('commits and rolls back', async () => {
    const { db, pool } = create();
    await db.transaction().execute((transaction) => transaction.insertInto('item').values({ name: 'kept' }).execute());
    const mine = new Error('mine');
    await expect(
      db.transaction().execute(async (transaction) => {
        await transaction.insertInto('item').values({ name: 'lost' }).execute();
        throw mine;
      }),
    ).rejects.toBe(mine);
    expect(await names(db)).toEqual(['kept']);
    const level = await db
      .transaction()
      .setIsolationLevel('serializable')
      .setAccessMode('read only')
      .execute((transaction) =>
        sql`select current_setting('transaction_isolation') as level, current_setting('transaction_read_only') as only`.execute(
          transaction,
        ),
      );
    expect(level.rows).toEqual([{ level: 'serializable', only: 'on' }]);
    await expectAllSlots(pool);
  });

  it('has savepoints', async () => {
    const { db } = create();
    const transaction = await db.startTransaction().execute();
    await transaction.insertInto('item').values({ name: 'before' }).execute();
    const after = await transaction.savepoint('here').execute();
    await after.insertInto('item').values({ name: 'undone' }).execute();
    await after.rollbackToSavepoint('here').execute();
    await after.releaseSavepoint('here').execute();
    await transaction.commit().execute();
    expect(await names(db)).toEqual(['before']);
  });

  it('pins a connection for db.connection()', async () => {
    const { db } = create();
    const pids = await db.connection().execute(async (pinned) => {
      const query = sql<{ pid: number }>`select pg_backend_pid() as pid`;
      return [await query.execute(pinned), await query.execute(pinned)].map(({ rows }) => rows[0]?.pid);
    });
    expect(pids[0]).toBe(pids[1]);
  });

  it.each([
    ['the given cursor', { cursor: Cursor }],
    ['pg-cursor, where it is installed', {}],
  ])('streams with %s, to the end or broken off', async (_which, options) => {
    const { db, pool } = create({}, options);
    const ids: number[] = [];
    for await (const row of db.selectFrom('item').select('id').orderBy('id').stream(10)) ids.push(row.id);
    expect(ids).toHaveLength(25);
    for await (const row of db.selectFrom('item').select('id').orderBy('id').stream(10)) {
      if (row.id === 3) break;
    }
    await expect(async () => {
      for await (const row of db.selectFrom('item').select('id').stream(10)) if (row.id > 0) throw new Error('mine');
    }).rejects.toThrow('mine');
    await expect(async () => {
      for await (const row of db
        .selectFrom('item')
        .select(sql`1/(id - 3)`.as('id'))
        .stream(1))
        void row;
    }).rejects.toMatchObject({ code: '22012' });
    await expect(async () => {
      for await (const row of db.selectFrom('item').select('id').stream(0)) void row;
    }).rejects.toThrow('chunkSize');
    await expectAllSlots(pool);
    expect(pool.statistics().opened).toBeLessThanOrEqual(3);
  });

  it('destroy closes the pool', async () => {
    const { db, pool } = create();
    await sql`select 1`.execute(db);
    await db.destroy();
    expect(pool.ended).toBe(true);
  });

  it('leads an error back to the code that asked', async () => {
    const { db } = create();
    const error = await sql`select 1/0`.execute(db).catch((caught: Error) => caught);
    expect((error as Error).stack).toContain('kysely.spec.ts');
  });

  it('rejects what is no compiled query, in transactions as well, and doesn’t throw', async () => {
    const { db } = create();
    const wrong = { sql: 'select 1', parameters: [] } as unknown as CompiledQuery;
    const caught = async (on: Kysely<Schema>): Promise<unknown> => {
      const rejected = on.executeQuery(wrong);
      return await rejected.catch((error: unknown) => error);
    };
    expect(await caught(db)).toBeInstanceOf(TypeError);
    await db.transaction().execute(async (trx) => {
      expect(await caught(trx)).toBeInstanceOf(TypeError);
      await trx.insertInto('item').values({ name: 'item 26' }).execute();
      expect(await caught(trx)).toBeInstanceOf(TypeError);
    });
    expect(await names(db)).toEqual(['item 26']);
  });
});

describe('Kysely loses no slot', () => {
  /** Cuts the connection when these bytes pass; `deliver`: the server still gets them. */
  const cutAt = (bytes: string, deliver = false): Promise<number> => proxied.pools.proxy.cutWhen({ bytes, deliver });

  it.each([
    ['begin', 'begin'],
    ['a statement', 'insert into'],
    ['commit', 'commit'],
  ])('when the connection dies at %s', async (_when, bytes) => {
    const { db, pool } = create();
    for (let round = 0; round < 4; round++) {
      void cutAt(bytes);
      const failed = db
        .transaction()
        .execute((transaction) =>
          transaction
            .insertInto('item')
            .values({ name: `round ${round}` })
            .execute(),
        )
        .catch((error: unknown) => error);
      expect(await failed).toBeInstanceOf(Error);
    }
    expect(await names(db)).toEqual([]);
    await expectAllSlots(pool);
  });

  it('when the connection dies at rollback, and the error of the callback is what is seen', async () => {
    const { db, pool } = create();
    const mine = new Error('mine');
    for (let round = 0; round < 4; round++) {
      void cutAt('rollback');
      const failed = db.transaction().execute(async (transaction) => {
        await transaction.insertInto('item').values({ name: 'lost' }).execute();
        throw mine;
      });
      await expect(failed).rejects.toBe(mine);
    }
    await expectAllSlots(pool);
  });

  it('when a controlled transaction’s begin, commit or rollback meets a dead connection', async () => {
    const { db, pool } = create();
    for (let round = 0; round < 4; round++) {
      const insert = (on: Kysely<Schema>): Promise<unknown> => on.insertInto('item').values({ name: 'lost' }).execute();
      const begun = await db.startTransaction().execute();
      void cutAt('begin');
      await expect(insert(begun)).rejects.toBeInstanceOf(Error);
      await begun.rollback().execute();
      const committed = await db.startTransaction().execute();
      await insert(committed);
      void cutAt('commit');
      await expect(committed.commit().execute()).rejects.toMatchObject({
        code: 'ERR_POOL_COMMIT_UNKNOWN',
        pool: 'proxied',
      });
      await expect(committed.selectFrom('item').selectAll().execute()).rejects.toMatchObject({
        code: 'ERR_POOL_TRANSACTION_OVER',
      });
      const rolledBack = await db.startTransaction().execute();
      await insert(rolledBack);
      void cutAt('rollback');
      await rolledBack.rollback().execute();
    }
    await expectAllSlots(pool);
  });

  it('when a commit fails on the server: the error is known, and nothing needs to be rolled back', async () => {
    const { db, pool } = create();
    for (let round = 0; round < 4; round++) {
      await expect(
        db.transaction().execute((transaction) => transaction.insertInto('item').values({ name: 'item 1' }).execute()),
      ).rejects.toMatchObject({ code: '23505' });
      const controlled = await db.startTransaction().execute();
      await controlled.insertInto('item').values({ name: 'item 1' }).execute();
      await expect(controlled.commit().execute()).rejects.toMatchObject({ code: '23505' });
    }
    await expectAllSlots(pool);
    expect(pool.statistics()).toMatchObject({ opened: 3, transactionsLeftOpen: 0 });
  });

  it('when a commit turns out to be a rollback, which is an error and not a success', async () => {
    const { db, pool } = create();
    await expect(
      db.transaction().execute(async (transaction) => {
        await transaction.insertInto('item').values({ name: 'swallowed' }).execute();
        await sql`select 1/0`.execute(transaction).catch(() => undefined);
      }),
    ).rejects.toMatchObject({ code: '25P02' });
    expect(await names(db)).toEqual([]);
    await expectAllSlots(pool);
  });

  it('when the connection dies while a stream is read', async () => {
    const { db, pool } = create();
    for (let round = 0; round < 4; round++) {
      await expect(async () => {
        for await (const row of db.selectFrom('item').select('id').orderBy('id').stream(5)) {
          if (row.id === 2) proxied.pools.proxy.cut('rst');
        }
      }).rejects.toBeInstanceOf(Error);
    }
    await expectAllSlots(pool);
  });

  it('when onAcquire throws', async () => {
    let fail = true;
    const { db, pool } = create({
      onAcquire: () => {
        if (fail) throw new Error('not now');
      },
    });
    for (let round = 0; round < 4; round++) await expect(db.startTransaction().execute()).rejects.toThrow('not now');
    fail = false;
    await expectAllSlots(pool);
  });

  it('when a commit was sent and its answer lost: nobody claims to know', async () => {
    const { db, pool } = create();
    void cutAt('commit\0', true);
    const error = await db
      .transaction()
      .execute((transaction) => transaction.insertInto('item').values({ name: 'perhaps' }).execute())
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'ERR_POOL_COMMIT_UNKNOWN', cause: expect.any(Error) as Error });
    await expectAllSlots(pool);
  });

  it('when the connection was lost before the commit: that is known to have failed', async () => {
    const { db, pool } = create();
    await expect(
      db.transaction().execute(async (transaction) => {
        const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(transaction);
        await proxied.database.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
        await vi.waitFor(() => expect(proxied.pools.openSockets).toBe(0));
      }),
    ).rejects.toMatchObject({ code: 'ECONNRESET', cause: { code: '57P01' } });
    await expectAllSlots(pool);
  });
});
