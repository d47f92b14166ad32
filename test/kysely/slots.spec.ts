import { Client } from 'pg';
import Cursor from 'pg-cursor';
import { PostgresDialect, Kysely, sql, type KyselyPlugin } from 'kysely';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { onTestFinished } from 'vitest';
import type { LeakReport } from '#pooling/core/pool-options.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { useTestDatabase } from '#test/support/database.js';
import { KyselyLaboratory, NONE_LOST, rejection, SIZE, type Tables } from './laboratory.js';

const database = useTestDatabase(
  'create table entry (id int primary key, name text not null)',
  "insert into entry select n, 'entry ' || n from generate_series(1, 1000) n",
);

describe('a stream', () => {
  it('read to its end gives its connection back', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    let rows = 0;
    for await (const { id } of laboratory.db.selectFrom('entry').selectAll().stream(64)) rows += Math.sign(id);
    expect(rows).toBe(1_000);
    expect(laboratory.pool.statistics().opened).toBe(1);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('that is left early gives its connection back, fit for the next', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    for (let round = 0; round < 5; round++) {
      for await (const { id } of laboratory.db.selectFrom('entry').selectAll().stream(10)) if (id > 0) break;
    }
    expect(laboratory.pool.statistics().opened).toBe(1);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('whose consumer throws gives its connection back', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const failure = new Error('the consumer threw');
    for (let round = 0; round < 5; round++) {
      const reading = async (): Promise<void> => {
        for await (const { id } of laboratory.db.selectFrom('entry').selectAll().stream(10)) if (id > 0) throw failure;
      };
      expect(await rejection(reading())).toBe(failure);
    }
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('that the server breaks off tells the server’s error and keeps its connection', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const reading = async (): Promise<void> => {
      const query = laboratory.db.selectFrom('entry').select(sql<number>`1 / (500 - id)`.as('quotient'));
      for await (const { quotient } of query.stream(50)) if (quotient > 1_000) return;
    };
    for (let round = 0; round < 3; round++) expect(await rejection(reading())).toMatchObject({ code: '22012' });
    expect(laboratory.pool.statistics().opened).toBe(1);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('whose connection dies in the middle fails and frees its slot', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const reading = async (): Promise<void> => {
      let rows = 0;
      for await (const { id } of laboratory.db.selectFrom('entry').selectAll().stream(10)) {
        rows += Math.sign(id);
        if (rows === 50) laboratory.proxy.cut('rst');
      }
    };
    for (let round = 0; round < 3; round++) expect(await rejection(reading())).toBeInstanceOf(Error);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('whose statement is wrong frees its slot', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const reading = async (): Promise<void> => {
      for await (const found of laboratory.db
        .selectFrom('nowhere' as 'entry')
        .selectAll()
        .stream(10)) {
        if (found === undefined) return;
      }
    };
    for (let round = 0; round < 3; round++) expect(await rejection(reading())).toMatchObject({ code: '42P01' });
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('that is left early inside a transaction leaves the transaction usable', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const found = await laboratory.db.transaction().execute(async (transaction) => {
      for await (const { id } of transaction.selectFrom('entry').selectAll().stream(10)) if (id > 0) break;
      return transaction.selectFrom('entry').select('id').where('id', '=', 7).executeTakeFirst();
    });
    expect(found).toEqual({ id: 7 });
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('asked for an impossible chunk frees its slot', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const reading = async (): Promise<void> => {
      for await (const found of laboratory.db.selectFrom('entry').selectAll().stream(0))
        if (found === undefined) return;
    };
    for (let round = 0; round < 3; round++) expect((await rejection(reading())).message).toMatch(/chunkSize/);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });
});

describe('no slot is lost', () => {
  it('when onAcquire throws: the query fails with that error', async () => {
    let failing = true;
    await using laboratory = await KyselyLaboratory.open(database, {
      options: {
        onAcquire: async (client) => {
          await client.query('select 1');
          if (failing) throw new Error('onAcquire threw');
        },
      },
    });
    const { db } = laboratory;
    for (let round = 0; round < 2 * SIZE; round++) {
      const select = db.selectFrom('entry').selectAll().execute();
      expect((await rejection(select)).message).toBe('onAcquire threw');
      const transaction = db.transaction().execute(async () => 'never');
      expect((await rejection(transaction)).message).toBe('onAcquire threw');
    }
    failing = false;
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('when onConnect throws: the acquire fails at its deadline with that error as its cause', async () => {
    let failing = true;
    const clock = new ManualClock();
    await using laboratory = await KyselyLaboratory.open(database, {
      options: {
        acquireTimeoutMs: 300,
        onConnect: () => {
          if (failing) throw new Error('onConnect threw');
        },
      },
      dependencies: { clock },
    });
    const failed = rejection(laboratory.db.selectFrom('entry').selectAll().execute());
    await vi.waitFor(() => expect(laboratory.pool.statistics().connectErrors).toBeGreaterThan(0));
    await clock.advance(310);
    const error = await failed;
    expect(error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT', cause: { message: 'onConnect threw' } });
    failing = false;
    // The pause after the last dial.
    await clock.advance(10_000);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('when the callback of connection() throws, or its connection dies', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db, proxy } = laboratory;
    for (let round = 0; round < 2 * SIZE; round++) {
      const throwing = db.connection().execute(async () => {
        throw new Error('the callback threw');
      });
      expect((await rejection(throwing)).message).toBe('the callback threw');
      const dying = db.connection().execute(async (own) => {
        proxy.cut('rst');
        await own.selectFrom('entry').selectAll().execute();
      });
      await rejection(dying);
    }
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('when a logger throws', async () => {
    await using laboratory = await KyselyLaboratory.open(database, {
      kysely: {
        log: () => {
          throw new Error('the logger threw');
        },
      },
    });
    const { db } = laboratory;
    for (let round = 0; round < 2 * SIZE; round++) {
      await rejection(db.selectFrom('entry').selectAll().execute());
      await rejection(db.transaction().execute((transaction) => transaction.selectFrom('entry').selectAll().execute()));
    }
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('when a plugin throws at a result', async () => {
    const plugin: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      transformResult: () => Promise.reject(new Error('the plugin threw')),
    };
    await using laboratory = await KyselyLaboratory.open(database, { kysely: { plugins: [plugin] } });
    const { db } = laboratory;
    for (let round = 0; round < 2 * SIZE; round++) {
      const select = db.selectFrom('entry').selectAll().execute();
      expect((await rejection(select)).message).toBe('the plugin threw');
    }
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('when queries of a transaction that is over still come', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db } = laboratory;
    const escaped = await db.transaction().execute(async (transaction) => [transaction]);
    await rejection(escaped[0]?.selectFrom('entry').selectAll().execute() ?? Promise.resolve());
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('when the pool is closed in the middle of a transaction', async () => {
    const laboratory = await KyselyLaboratory.open(database);
    const { db, pool, proxy } = laboratory;
    let report: Promise<unknown> = Promise.resolve();
    const error = await rejection(
      db.transaction().execute(async (transaction) => {
        report = pool.close({ deadlineMs: 0 });
        await report;
        await transaction.selectFrom('entry').selectAll().execute();
      }),
    );
    expect(error.code).toBe('ERR_POOL_LEASE_RELEASED');
    expect(await report).toMatchObject({ graceful: false, destroyed: [{}] });
    expect(pool.statistics()).toMatchObject({ inUse: 0, size: 0, state: 'closed' });
    await proxy.close();
  });
});

describe('Kysely’s own dialect on a DatabasePool', () => {
  it('works, streams and transactions included', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: laboratory.pool, cursor: Cursor }) });
    expect(await db.selectFrom('entry').select('id').where('id', '=', 3).execute()).toEqual([{ id: 3 }]);
    const found = await db
      .transaction()
      .execute((transaction) => transaction.selectFrom('entry').select('id').where('id', '=', 4).executeTakeFirst());
    expect(found).toEqual({ id: 4 });
    let rows = 0;
    for await (const { id } of db.selectFrom('entry').selectAll().stream(100)) rows += Math.sign(id);
    expect(rows).toBe(1_000);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
    await db.destroy();
    expect(laboratory.pool.ended).toBe(true);
  });

  it('lives on when the server ends a borrowed connection, which ends the process with pg.Pool', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { pool } = laboratory;
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    for (let round = 0; round < 2 * SIZE; round++) {
      const failing = db.transaction().execute(async (transaction) => {
        await transaction.selectFrom('entry').select('id').where('id', '=', 1).execute();
        await database.query('select pg_terminate_backend($1)', [pool.holders()[0]?.serverId]);
        await new Promise((resolve) => setTimeout(resolve, 20));
        await transaction.selectFrom('entry').selectAll().execute();
      });
      expect(await rejection(failing)).toBeInstanceOf(Error);
    }
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('loses connections when onReserveConnection throws; the pool reports each, and gets it back with leak detection', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const leaks: LeakReport[] = [];
    await using laboratory = await KyselyLaboratory.open(database, {
      options: { leakDetectionMs: 50 },
      dependencies: { observer: { leaked: (report) => leaks.push(report) } },
    });
    const { pool } = laboratory;
    const dialect = new PostgresDialect({
      pool,
      onReserveConnection: async () => {
        throw new Error('onReserveConnection threw');
      },
    });
    const db = new Kysely<Tables>({ dialect });
    for (let round = 0; round < SIZE; round++) {
      await rejection(db.selectFrom('entry').selectAll().execute());
    }
    await vi.waitFor(
      () => {
        collectGarbage();
        expect(leaks.filter(({ collected }) => collected)).toHaveLength(SIZE);
      },
      { interval: 50 },
    );
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it.for([true, false])('loses no connection when a tracer of pg throws (prepared: %s)', async (prepared) => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db } = laboratory;
    const query = Client.prototype.query as (...of: unknown[]) => unknown;
    const traced = vi.spyOn(Client.prototype, 'query');
    onTestFinished(() => traced.mockRestore());
    traced.mockImplementation(function (this: Client, ...given: unknown[]) {
      const { text } = given[0] as { text?: string };
      if ((text ?? String(given[0])).includes('forbidden')) throw new Error('the tracer threw');
      return query.apply(this, given);
    } as never);
    const forbidden = prepared ? sql`select ${1}::int as forbidden` : sql`select 1 as forbidden; select 2`;
    for (let round = 0; round < 2 * SIZE; round++) {
      const failed = db.transaction().execute(async (trx) => {
        await trx.selectFrom('entry').select('id').where('id', '<', 3).execute();
        await forbidden.execute(trx);
      });
      expect(await rejection(failed)).toMatchObject({ message: 'the tracer threw' });
    }
    expect(await rejection(forbidden.execute(db))).toMatchObject({ message: 'the tracer threw' });
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });
});
