/** A test that is undone (`beginTestTransaction`) of an application that reads from replicas. Real replication. */
import { sql, type Kysely } from 'kysely';
import { afterCommit, batch, prepareQuery, retryTransaction, transactional, withConsistency } from 'nestjs-pooling';
import { beginTestTransaction, type TestRollback } from 'nestjs-pooling/testing';
import { ReplicaLaboratory, type LaboratoryPool, type Tables } from './replica-laboratory.js';

let laboratory: ReplicaLaboratory;
let opened: LaboratoryPool;
let rollback: TestRollback;

beforeAll(async () => {
  laboratory = await ReplicaLaboratory.start(1);
}, 120_000);
afterAll(() => laboratory[Symbol.asyncDispose]());

beforeEach(async () => {
  opened = laboratory.open();
  // Replicas are read from before the test, and after it.
  await readFromReplica();
  rollback = await beginTestTransaction(opened.pool);
});
afterEach(async () => {
  await rollback();
  expect(await laboratory.onPrimary('select * from entry')).toEqual([]);
  await readFromReplica();
  await laboratory.reset();
});

async function readFromReplica(): Promise<void> {
  const replica = (): number => opened.pool.statistics().replicas?.reads.replica ?? 0;
  const before = replica();
  await vi.waitFor(async () => {
    expect(await ids(opened.replicas)).toEqual([]);
    expect(replica()).toBeGreaterThan(before);
  }, 20_000);
}

async function ids(db: Kysely<Tables>): Promise<number[]> {
  return (await db.selectFrom('entry').select('id').orderBy('id').execute()).map(({ id }) => id);
}

const raw = sql<{ id: number }>`select id from entry order by id`;
const ofRows = (rows: readonly { id: number }[]): number[] => rows.map(({ id }) => id);

const READS: Record<string, (replicas: Kysely<Tables>) => Promise<number[]>> = {
  'a query': ids,
  'a raw query': async (replicas) => ofRows((await raw.execute(replicas)).rows),
  'a prepared query': async (replicas) =>
    ofRows(
      await prepareQuery(replicas, (p: { least: number }) =>
        replicas.selectFrom('entry').select('id').where('id', '>=', p.least).orderBy('id'),
      ).execute({ least: 0 }),
    ),
  'a transaction': (replicas) => replicas.transaction().execute(ids),
  'a controlled transaction': async (replicas) => {
    const transaction = await replicas.startTransaction().execute();
    const found = await ids(transaction);
    await transaction.commit().execute();
    return found;
  },
  transactional: (replicas) => transactional(replicas, () => ids(replicas)),
  retryTransaction: (replicas) => retryTransaction(replicas, ids),
  'a batch': async (replicas) => {
    const [rows] = await batch(replicas, [replicas.selectFrom('entry').select('id').orderBy('id')]);
    return ofRows(rows);
  },
  'a connection': (replicas) => replicas.connection().execute(ids),
  'a stream': async (replicas) => {
    const found: number[] = [];
    for await (const { id } of replicas.selectFrom('entry').select('id').orderBy('id').stream()) found.push(id);
    return found;
  },
  'a read within a transaction of the database': (replicas) => transactional(opened.db, () => ids(replicas)),
  'a read of another request': (replicas) => withConsistency(undefined, () => ids(replicas)),
};

describe('in the transaction of a test, @InjectReplicaDb()', { timeout: 60_000 }, () => {
  it.each(Object.keys(READS))('shows what the test has written, and nobody has committed: %s', async (name) => {
    const read = READS[name] as (typeof READS)[string];
    await opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
    expect(await read(opened.replicas)).toEqual([1]);
    await transactional(opened.db, () => opened.db.insertInto('entry').values({ id: 2, n: 2 }).execute());
    expect(await read(opened.replicas)).toEqual([1, 2]);
    await expect(
      transactional(opened.db, async () => {
        await opened.db.insertInto('entry').values({ id: 3, n: 3 }).execute();
        expect(await ids(opened.replicas)).toEqual([1, 2, 3]);
        throw new Error('rolled back');
      }),
    ).rejects.toThrow('rolled back');
    expect(await read(opened.replicas)).toEqual([1, 2]);
  });

  it.each<[string, (replicas: Kysely<Tables>) => Promise<unknown>]>([
    ['a built insert', (replicas) => replicas.insertInto('entry').values({ id: 9, n: 9 }).execute()],
    ['raw SQL', (replicas) => sql`insert into entry values (9, 9)`.execute(replicas)],
    [
      'a transaction',
      (replicas) => replicas.transaction().execute((own) => own.insertInto('entry').values({ id: 9, n: 9 }).execute()),
    ],
    ['a batch', (replicas) => batch(replicas, [replicas.insertInto('entry').values({ id: 9, n: 9 })])],
    [
      'an ambient transaction',
      (replicas) => transactional(replicas, () => replicas.insertInto('entry').values({ id: 9, n: 9 }).execute()),
    ],
    [
      'a connection',
      (replicas) => replicas.connection().execute((own) => sql`insert into entry values (9, 9)`.execute(own)),
    ],
  ])('refuses to write, as in production: %s', async (_name, write) => {
    await opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
    await expect(write(opened.replicas)).rejects.toMatchObject({ code: '25006' });
    // The test goes on, and may write.
    await opened.db.insertInto('entry').values({ id: 2, n: 2 }).execute();
    expect(await ids(opened.replicas)).toEqual([1, 2]);
  });

  it('needs no replica', async () => {
    const alone = laboratory.open({}, { hosts: [{ host: '127.0.0.1', port: 1 }] });
    const undo = await beginTestTransaction(alone.pool);
    await alone.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
    expect(await ids(alone.replicas)).toEqual([1]);
    await undo();
    expect(await ids(alone.replicas)).toEqual([]);
  });

  it('reads in hooks of what was committed', async () => {
    const read = await new Promise<number[]>((resolve, reject) => {
      transactional(opened.db, async () => {
        await opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
        afterCommit(async () => resolve(await ids(opened.replicas)));
      }).catch(reject);
    });
    expect(read).toEqual([1]);
  });

  it('reads at the same time as others write, each in its turn', async () => {
    const writes = Array.from({ length: 10 }, (_, id) => opened.db.insertInto('entry').values({ id, n: id }).execute());
    const reads = Array.from({ length: 10 }, () => ids(opened.replicas));
    await Promise.all(writes);
    for (const found of await Promise.all(reads)) expect(found).toEqual([...found.keys()]);
    expect(await ids(opened.replicas)).toHaveLength(10);
  });
});
