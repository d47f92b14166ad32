/**
 * A read from a replica sees what its own request has written. Real replication, whose replay is stopped and goes on by hand:
 * what a replica lacks, it lacks for as long as the test wants.
 */
import fc from 'fast-check';
import { sql, type Kysely } from 'kysely';
import {
  batch,
  consistencyToken,
  prepareQuery,
  retryTransaction,
  transactional,
  withConsistency,
  type DatabasePool,
} from 'nestjs-pooling';
import PgCursor from 'pg-cursor';
import { FlightCounter } from '#test/support/flight-counter.js';
import { ask, ReplicaLaboratory, type LaboratoryPool, type Tables } from './replica-laboratory.js';

let laboratory: ReplicaLaboratory;

beforeAll(async () => {
  laboratory = await ReplicaLaboratory.start();
}, 120_000);
afterAll(() => laboratory[Symbol.asyncDispose]());
afterEach(() => laboratory.reset());

/** Runs something as a request of its own. */
function inRequest<Result>(fn: () => Promise<Result>): Promise<Result> {
  return withConsistency(undefined, fn);
}

async function ids(db: Kysely<Tables>): Promise<number[]> {
  return (await db.selectFrom('entry').select('id').orderBy('id').execute()).map(({ id }) => id);
}

/** Waits until replicas are read from. */
async function untilRead({ pool, replicas }: LaboratoryPool): Promise<void> {
  await vi.waitFor(async () => {
    const { replica: before } = readsOf(pool);
    await inRequest(() => ids(replicas));
    expect(readsOf(pool).replica).toBeGreaterThan(before);
  }, 20_000);
}

function readsOf(pool: DatabasePool): { replica: number; waited: number; primary: number } {
  const reads = pool.statistics().replicas?.reads;
  if (reads === undefined) throw new Error('the pool has no replicas');
  return { ...reads };
}

/** What reads here reads from a replica that lacks all rows; a replica that is slow to answer is passed by at any time. */
async function seesNothing(read: () => Promise<number[]>): Promise<void> {
  await vi.waitFor(async () => expect(await read()).toEqual([]), 20_000);
}

const WRITES: Record<string, (opened: LaboratoryPool) => Promise<unknown>> = {
  'a built insert': ({ db }) => db.insertInto('entry').values({ id: 1, n: 1 }).execute(),
  'raw SQL': ({ db }) => sql`insert into entry values (1, 1)`.execute(db),
  'raw SQL with parameters, again and again': async ({ db }) => {
    for (let n = 0; n < 4; n++) {
      await sql`insert into entry values (1, ${n}) on conflict (id) do update set n = ${n}`.execute(db);
    }
  },
  'several statements in one text': ({ pool }) => pool.query('insert into entry values (1, 1); select 1'),
  'a SELECT whose WITH inserts': ({ db }) =>
    db
      .with('added', (cte) => cte.insertInto('entry').values({ id: 1, n: 1 }).returning('id'))
      .selectFrom('added')
      .selectAll()
      .execute(),
  'pool.query': ({ pool }) => pool.query('insert into entry values ($1, 1)', [1]),
  'pool.query with a callback': ({ pool }) =>
    new Promise((resolve) => pool.query('insert into entry values ($1, 1)', [1], resolve)),
  'a borrowed client': ({ pool }) =>
    pool.withConnection(async (client) => {
      await client.query('begin');
      await client.query('insert into entry values (1, 1)');
      await client.query('commit');
    }),
  'a cursor of a borrowed client': ({ pool }) =>
    pool.withConnection(async (client) => {
      const cursor = client.query(new PgCursor('insert into entry values (1, 1) returning id'));
      await cursor.read(10);
      await cursor.close();
    }),
  'a transaction': ({ db }) =>
    db.transaction().execute((transaction) => transaction.insertInto('entry').values({ id: 1, n: 1 }).execute()),
  'a transaction whose statement is a procedure': ({ db }) =>
    db
      .transaction()
      .execute((transaction) => sql`do $$ begin insert into entry values (1, 1); end $$`.execute(transaction)),
  'a controlled transaction': async ({ db }) => {
    const transaction = await db.startTransaction().execute();
    await transaction.insertInto('entry').values({ id: 1, n: 1 }).execute();
    await transaction.commit().execute();
  },
  'a connection of its own': ({ db }) =>
    db.connection().execute((connection) => connection.insertInto('entry').values({ id: 1, n: 1 }).execute()),
  retryTransaction: ({ db }) =>
    retryTransaction(db, (transaction) => transaction.insertInto('entry').values({ id: 1, n: 1 }).execute()),
  transactional: ({ db }) => transactional(db, () => db.insertInto('entry').values({ id: 1, n: 1 }).execute()),
  'a savepoint': ({ db }) =>
    transactional(db, () =>
      transactional(db, { propagation: 'nested' }, () => db.insertInto('entry').values({ id: 1, n: 1 }).execute()),
    ),
  'a batch': ({ db }) =>
    batch(db, [db.insertInto('entry').values({ id: 1, n: 1 }), db.selectFrom('entry').selectAll()]),
  prepareQuery: ({ db }) =>
    prepareQuery(db, (p: { id: number }) => db.insertInto('entry').values({ id: p.id, n: 1 })).execute({ id: 1 }),
  'a stream of what an insert returns': async ({ db }) => {
    for await (const { id } of db.insertInto('entry').values({ id: 1, n: 1 }).returning('id').stream()) {
      expect(id).toBe(1);
    }
  },
};

const READS: Record<string, (opened: LaboratoryPool) => Promise<number[]>> = {
  'a query': ({ replicas }) => ids(replicas),
  'a raw query': async ({ replicas }) =>
    (await sql<{ id: number }>`select id from entry order by id`.execute(replicas)).rows.map(({ id }) => id),
  'a transaction': ({ replicas }) => replicas.transaction().execute((transaction) => ids(transaction)),
  'an ambient transaction': ({ replicas }) => transactional(replicas, () => ids(replicas)),
  'a connection': ({ replicas }) => replicas.connection().execute((connection) => ids(connection)),
  'a batch': async ({ replicas }) =>
    (await batch(replicas, [replicas.selectFrom('entry').select('id').orderBy('id')]))[0].map(({ id }) => id),
  'a stream': async ({ replicas }) => {
    const found: number[] = [];
    for await (const { id } of replicas.selectFrom('entry').select('id').orderBy('id').stream()) found.push(id);
    return found;
  },
};

describe('a read of the request that has written, from replicas that lack it', { timeout: 60_000 }, () => {
  it.each(Object.keys(WRITES))('sees what was written by %s; one of another request doesn’t', async (name) => {
    const opened = laboratory.open();
    await untilRead(opened);
    await laboratory.pause();
    await inRequest(async () => {
      await (WRITES[name] as (typeof WRITES)[string])(opened);
      const before = readsOf(opened.pool);
      expect(await ids(opened.replicas)).toEqual([1]);
      expect(readsOf(opened.pool)).toEqual({ ...before, primary: before.primary + 1 });
    });
    await seesNothing(() => inRequest(() => ids(opened.replicas)));
  });

  it.each(Object.keys(READS))('sees it by %s', async (name) => {
    const opened = laboratory.open();
    await untilRead(opened);
    await laboratory.pause();
    const read = READS[name] as (typeof READS)[string];
    await seesNothing(() => inRequest(() => read(opened)));
    await inRequest(async () => {
      await opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
      expect(await read(opened)).toEqual([1]);
    });
  });

  it('waits for a replica that gets there in time, and reads from it', async () => {
    const opened = laboratory.open({}, { waitMs: 30_000 });
    await untilRead(opened);
    await laboratory.pause();
    await inRequest(async () => {
      await opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
      const before = readsOf(opened.pool);
      let done = false;
      const read = ids(opened.replicas).finally(() => (done = true));
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(done).toBe(false);
      await laboratory.resume();
      expect(await read).toEqual([1]);
      expect(readsOf(opened.pool)).toEqual({ ...before, waited: before.waited + 1 });
    });
  });

  it('counts the write that failed half way: what a text has committed before its error', async () => {
    const opened = laboratory.open();
    await untilRead(opened);
    await laboratory.pause();
    await inRequest(async () => {
      const text = 'insert into entry values (1, 1); commit; select 1 / 0';
      await expect(opened.pool.query(text)).rejects.toMatchObject({ code: '22012' });
      expect(await ids(opened.replicas)).toEqual([1]);
    });
  });

  it('is not bound by what was rolled back, or only read', async () => {
    const opened = laboratory.open();
    await untilRead(opened);
    await laboratory.pause();
    // The primary goes on, so that it matters where a request believes to have written.
    await laboratory.onPrimary('insert into entry values (7, 7)');
    await inRequest(async () => {
      await opened.db.selectFrom('entry').selectAll().execute();
      await opened.db.transaction().execute((transaction) => ids(transaction));
      await transactional(opened.db, { accessMode: 'read only' }, () => sql`select 1`.execute(opened.db));
      await opened.db
        .transaction()
        .execute(async (transaction) => {
          await transaction.insertInto('entry').values({ id: 1, n: 1 }).execute();
          throw new Error('never mind');
        })
        .catch(() => undefined);
      await seesNothing(() => ids(opened.replicas));
    });
  });

  it('goes by what was written outside of any request as well: a guard may have, or a job of the same process', async () => {
    const opened = laboratory.open();
    await untilRead(opened);
    await laboratory.pause();
    await opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
    expect(await ids(opened.replicas)).toEqual([1]);
    expect(await inRequest(() => ids(opened.replicas))).toEqual([1]);
  });

  it('goes, outside of any request, by the last write of the process, of whichever request', async () => {
    const opened = laboratory.open();
    await untilRead(opened);
    await laboratory.pause();
    await inRequest(() => opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute());
    expect(await ids(opened.replicas)).toEqual([1]);
    await seesNothing(() => inRequest(() => ids(opened.replicas)));
  });

  it('may see old rows where that was asked for', async () => {
    const opened = laboratory.open({}, { consistency: 'eventual' });
    await vi.waitFor(async () => {
      await ids(opened.replicas);
      expect(readsOf(opened.pool).replica).toBeGreaterThan(0);
    }, 20_000);
    await laboratory.pause();
    await inRequest(async () => {
      await opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
      await seesNothing(() => ids(opened.replicas));
    });
    expect(consistencyToken(opened.db)).toBeUndefined();
  });
});

describe('where nothing is missing,', { timeout: 60_000 }, () => {
  it.each([
    ['prepared statements', {}],
    ['pipelining', { pipelining: { depth: 16 } }],
    ['no prepared statements', { preparedStatements: false }],
  ] as const)('reads of those who have written go to replicas, with %s', async (_how, options) => {
    const opened = laboratory.open({ size: 8, ...options }, { waitMs: 30_000 });
    await untilRead(opened);
    const before = readsOf(opened.pool);
    const request = async (id: number): Promise<void> => {
      await opened.db.insertInto('entry').values({ id, n: id }).execute();
      const read = opened.replicas.selectFrom('entry').select('n').where('id', '=', id);
      expect(await read.execute()).toEqual([{ n: id }]);
    };
    await Promise.all(
      Array.from({ length: 8 }, async (_, worker) => {
        for (let at = 0; at < 25; at++) await inRequest(() => request(worker * 100 + at));
      }),
    );
    const { replica, waited, primary } = readsOf(opened.pool);
    expect(replica + waited - before.replica - before.waited).toBeGreaterThanOrEqual(190);
    expect(primary - before.primary).toBeLessThanOrEqual(10);
  });

  it('a position behind the header of a page that nobody has begun isn’t waited for', async () => {
    const opened = laboratory.open({}, { waitMs: 30_000 });
    await untilRead(opened);
    await inRequest(async () => {
      await opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
      // The log goes on at the start of its next segment, behind a header that comes with the next record.
      await sql`select pg_switch_wal()`.execute(opened.db);
      const before = readsOf(opened.pool);
      expect(await ids(opened.replicas)).toEqual([1]);
      expect(readsOf(opened.pool).primary).toBe(before.primary);
    });
  });
});

/** `PAIRS=100000` for what takes minutes. */
const PAIRS = Number(process.env.PAIRS ?? 2_000);

describe('replicas that show what was committed five seconds ago', { timeout: 600_000 }, () => {
  it(`cost none of ${PAIRS} requests the sight of what they have written`, async () => {
    for (const standby of laboratory.standbys) await standby.delayReplay(5_000);
    onTestFinished(async () => {
      for (const standby of laboratory.standbys) await standby.delayReplay(0);
    });
    const opened = laboratory.open({ size: 12 }, { waitMs: 0, maxLagMs: 3_600_000 });
    await vi.waitFor(async () => {
      await inRequest(() => ids(opened.replicas));
      expect(readsOf(opened.pool).replica).toBeGreaterThan(0);
    }, 20_000);
    let next = 0;
    let stale = 0;
    const request = async (id: number): Promise<void> => {
      await opened.db.insertInto('entry').values({ id, n: id }).execute();
      const row = await opened.replicas.selectFrom('entry').select('n').where('id', '=', id).executeTakeFirst();
      if (row?.n !== id) stale++;
    };
    const work = async (): Promise<void> => {
      while (next < PAIRS) await inRequest(() => request(next++));
    };
    await Promise.all(Array.from({ length: 24 }, work));
    expect(stale).toBe(0);
    expect(readsOf(opened.pool).primary).toBeGreaterThan(PAIRS / 2);
  });
});

describe('the flights', { timeout: 60_000 }, () => {
  const insert = (db: Kysely<Tables>, id: number): Promise<unknown> =>
    db.insertInto('entry').values({ id, n: 1 }).execute();
  const STATEMENTS: Record<string, (db: Kysely<Tables>, id: number) => Promise<unknown>> = {
    'a single write': insert,
    'a transaction': (db, id) => db.transaction().execute((transaction) => insert(transaction, id)),
    transactional: (db, id) => transactional(db, () => insert(db, id)),
    'a batch': (db, id) => batch(db, [db.insertInto('entry').values({ id, n: 1 })]),
  };

  it.each(Object.keys(STATEMENTS))('of %s are not one more with replicas than without', async (name) => {
    await using counter = await FlightCounter.before(laboratory.primary.server.port);
    const url = `postgres://postgres@127.0.0.1:${counter.port}/postgres`;
    const run = STATEMENTS[name] as (typeof STATEMENTS)[string];
    const flightsOf = async ({ db }: LaboratoryPool, from: number): Promise<number> => {
      for (let id = from; id < from + 4; id++) await run(db, id);
      counter.reset();
      await run(db, from + 4);
      return counter.flights;
    };
    const without = await flightsOf(laboratory.open({ url, size: 1 }, false), 100);
    expect(counter.sent).not.toContain('pg_current_wal_insert_lsn');
    expect(await flightsOf(laboratory.open({ url, size: 1 }), 200)).toBe(without);
    expect(counter.sent).toContain('pg_current_wal_insert_lsn');
  });

  it('of a read behind a write are one: the replica is asked together with the query', async () => {
    const [standby] = laboratory.standbys;
    if (standby === undefined) throw new Error('there is no standby');
    await using counter = await FlightCounter.before(standby.server.port);
    // Looks come between, as often as a tenth of the lag.
    const opened = laboratory.open(
      { size: 1 },
      { hosts: [{ host: '127.0.0.1', port: counter.port }], waitMs: 30_000, size: 1 },
    );
    await untilRead(opened);
    const flights: number[] = [];
    for (let id = 1; id <= 20; id++) {
      await inRequest(async () => {
        await opened.db.insertInto('entry').values({ id, n: 1 }).execute();
        await laboratory.cluster.caughtUp();
        counter.reset();
        expect(await opened.replicas.selectFrom('entry').select('id').where('id', '=', id).execute()).toEqual([{ id }]);
        flights.push(counter.flights);
      });
    }
    expect(Math.min(...flights)).toBe(1);
    expect(flights.toSorted((one, other) => one - other)[10]).toBe(1);
  });
});

describe('a token', { timeout: 60_000 }, () => {
  it('lets another process read what was written', async () => {
    const [writer, reader] = [laboratory.open(), laboratory.open()];
    await untilRead(reader);
    await laboratory.pause();
    const token = await inRequest(async () => {
      expect(consistencyToken(writer.db)).toBeUndefined();
      await writer.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
      expect(consistencyToken(writer.replicas)).toBe(consistencyToken(writer.db));
      return consistencyToken(writer.db);
    });
    expect(token).toMatch(/^1:shop:[\da-f]+-[\da-f]+$/);
    await seesNothing(() => inRequest(() => ids(reader.replicas)));
    expect(await withConsistency(token, () => ids(reader.replicas))).toEqual([1]);
    // Of another database it says nothing.
    await seesNothing(() => withConsistency(token?.replace('shop', 'other'), () => ids(reader.replicas)));
  });

  it('tells also of a write of which nobody knows where it stands', async () => {
    const [writer, reader] = [laboratory.open(), laboratory.open()];
    await untilRead(reader);
    await laboratory.pause();
    const token = await inRequest(async () => {
      await writer.pool.withConnection((client) => client.query('insert into entry values (1, 1)'));
      return consistencyToken(writer.db);
    });
    expect(token).toBe('1:shop:?');
    expect(await withConsistency(token, () => ids(reader.replicas))).toEqual([1]);
  });

  it('counts for the request that it is used in, and writes within count for what is around', async () => {
    const opened = laboratory.open();
    await untilRead(opened);
    await laboratory.pause();
    await inRequest(async () => {
      await withConsistency(undefined, () => opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute());
      expect(await ids(opened.replicas)).toEqual([1]);
      expect(await withConsistency(undefined, () => ids(opened.replicas))).toEqual([1]);
    });
  });

  it('that makes no sense is refused, and not shown', () => {
    for (const token of ['', '1:shop', '2:shop:1-a', '1:shop:1-xyz', `1:shop:1-${'a'.repeat(17)}`, 'secret', 7, null]) {
      expect(() => withConsistency(token as string, () => 1)).toThrow(
        expect.objectContaining({
          code: 'ERR_POOL_OPTIONS_INVALID',
          message: expect.not.stringContaining('secret'),
        }),
      );
    }
  });

  it('is short, whatever the database is called', async () => {
    const names = ['shop', 'größe: 7', 'x'.repeat(500)];
    for (const name of names) {
      const { db, pool } = laboratory.openAs(name);
      const { nameInTokens } = await import('#pooling/database/replicas/consistency-token.js');
      expect(nameInTokens(name).length).toBeLessThanOrEqual(120);
      expect(pool.name).toBe(name);
      const token = await inRequest(async () => {
        await db
          .insertInto('entry')
          .values({ id: names.indexOf(name), n: 1 })
          .execute();
        return consistencyToken(db);
      });
      expect(token?.length).toBeLessThanOrEqual(200);
      expect(withConsistency(token, () => 'read')).toBe('read');
    }
  });
});

describe('a server that doesn’t tell where its log is', { timeout: 60_000 }, () => {
  it('has those who have written read from the primary for two seconds', async () => {
    await laboratory.onPrimary(`create schema lesser;
      create function lesser.pg_current_wal_insert_lsn() returns pg_lsn language plpgsql as
      $$ begin raise exception 'not supported' using errcode = '0A000'; end $$`);
    onTestFinished(async () => void (await laboratory.onPrimary('drop schema lesser cascade')));
    await laboratory.cluster.caughtUp();
    const opened = laboratory.open({ session: { search_path: 'lesser, public, pg_catalog' } });
    await untilRead(opened);
    await laboratory.pause();
    const writtenAt = performance.now();
    await inRequest(async () => {
      await opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
      expect(consistencyToken(opened.db)).toMatch(/^1:shop:@/);
      if (performance.now() - writtenAt < 1_500) expect(await ids(opened.replicas)).toEqual([1]);
      await vi.waitFor(async () => expect(await ids(opened.replicas)).toEqual([]), 20_000);
      expect(performance.now() - writtenAt).toBeGreaterThan(1_900);
    });
  });
});

describe('whatever is written, read and replayed, in any order,', { timeout: 120_000 }, () => {
  it('no read misses what its own request has written, and none of it is lost', async () => {
    const opened = laboratory.open({ size: 6 }, { waitMs: 5 });
    await untilRead(opened);
    const writes = Object.values({
      built: (id: number, n: number) =>
        opened.db
          .insertInto('entry')
          .values({ id, n })
          .onConflict((conflict) => conflict.column('id').doUpdateSet({ n }))
          .execute(),
      raw: (id: number, n: number) =>
        opened.pool.query('insert into entry values ($1, $2) on conflict (id) do update set n = $2', [id, n]),
      transaction: (id: number, n: number) =>
        opened.db.transaction().execute(async (transaction) => {
          await transaction.deleteFrom('entry').where('id', '=', id).execute();
          await transaction.insertInto('entry').values({ id, n }).execute();
        }),
      client: (id: number, n: number) =>
        opened.pool.withConnection((client) =>
          client.query('insert into entry values ($1, $2) on conflict (id) do update set n = $2', [id, n]),
        ),
    });
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('write' as const), by: fc.nat(writes.length - 1) }) },
      { weight: 5, arbitrary: fc.record({ kind: fc.constant('read' as const), by: fc.nat(2) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('breathe' as const), by: fc.nat(3) }) },
    );
    let nextId = 0;
    let nextN = 0;
    const read = async (id: number, by: number): Promise<number | undefined> => {
      const query = opened.replicas.selectFrom('entry').select('n').where('id', '=', id);
      if (by === 0) return (await query.executeTakeFirst())?.n;
      const within = (db: Kysely<Tables>) => db.selectFrom('entry').select('n').where('id', '=', id).executeTakeFirst();
      if (by === 1) return (await opened.replicas.transaction().execute(within))?.n;
      return (await transactional(opened.replicas, () => within(opened.replicas)))?.n;
    };
    const request = (steps: readonly { readonly kind: string; readonly by: number }[]): Promise<void> =>
      inRequest(async () => {
        const id = nextId++;
        let last: number | undefined;
        for (const { kind, by } of steps) {
          if (kind === 'write') await writes[by]?.(id, (last = nextN++));
          else if (kind === 'read') expect(await read(id, by)).toBe(last);
          else await new Promise((resolve) => setTimeout(resolve, by));
        }
      });
    let stopped = false;
    const replay = (async () => {
      while (!stopped) {
        for (const [at, standby] of laboratory.standbys.entries()) {
          await ask(standby, `select pg_wal_replay_${(nextN + at) % 2 === 0 ? 'pause' : 'resume'}()`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(step, { minLength: 2, maxLength: 8 }), { minLength: 4, maxLength: 8 }),
          (requests) => Promise.all(requests.map(request)).then(() => undefined),
        ),
        { numRuns: 40, endOnFailure: true },
      );
    } finally {
      stopped = true;
      await replay;
    }
    const { replica, waited, primary } = readsOf(opened.pool);
    expect(replica + waited).toBeGreaterThan(0);
    expect(primary).toBeGreaterThan(0);
    const { acquired, released } = opened.pool.statistics();
    expect(acquired).toBe(released);
  });
});
