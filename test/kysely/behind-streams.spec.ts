import { setTimeout as sleep } from 'node:timers/promises';
import { sql, type Kysely } from 'kysely';
import { transactional } from '#pooling/database/kysely/ambient/transactional.js';
import { withoutTransaction } from '#pooling/database/kysely/ambient/outcome-hooks.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { useTestDatabase } from '#test/support/database.js';
import { KyselyLaboratory, NONE_LOST, type Tables } from './laboratory.js';

const database = useTestDatabase('create table entry (id int primary key, name text)');
beforeEach(async () => {
  await database.query('truncate entry');
  await database.query("insert into entry select id, 'row' from generate_series(1, 5) as id");
});

async function ids(): Promise<number[]> {
  return (await database.query<{ id: number }>('select id from entry order by id')).map(({ id }) => id);
}

/** Turns the clock until a promise is settled, once something has begun; says for how long, in milliseconds. */
async function turnedUntil(promise: Promise<unknown>, clock: ManualClock, begun: () => boolean): Promise<number> {
  await vi.waitFor(() => expect(begun()).toBe(true), { interval: 1, timeout: 10_000 });
  let settled = false;
  const settle = (): void => void (settled = true);
  promise.then(settle, settle);
  const from = clock.now();
  while (!settled) {
    await sleep(2);
    await clock.advance(1_000);
  }
  return clock.now() - from;
}

const insert = (db: Kysely<Tables>, id: number): Promise<unknown> =>
  db.insertInto('entry').values({ id, name: 'late' }).execute();

describe('a statement behind a stream of its own transaction', () => {
  it.each<[string, (db: Kysely<Tables>, run: (db: Kysely<Tables>) => Promise<void>) => Promise<void>]>([
    ['of transactional()', (db, run) => transactional(db, () => run(db))],
    ['of db.transaction()', (db, run) => db.transaction().execute((own) => run(own as Kysely<Tables>))],
    ['on a connection of its own', (db, run) => db.connection().execute((own) => run(own))],
  ])('%s, awaited in the loop over it, fails and says why', async (_, within) => {
    const clock = new ManualClock();
    await using laboratory = await KyselyLaboratory.open(database, { dependencies: { clock } });
    let reads = false;
    const looping = within(laboratory.db, async (db) => {
      for await (const { id } of db.selectFrom('entry').select('id').stream(1)) {
        reads = true;
        await insert(db, id + 100);
      }
    });
    expect(await turnedUntil(looping, clock, () => reads)).toBeLessThan(120_000);
    const error = await looping.catch((caught: unknown) => caught as Error & { code: string });
    expect(error).toMatchObject({
      code: 'ERR_POOL_QUERY_TIMEOUT',
      message: expect.stringMatching(/60000 ms \(streamIdleTimeoutMs\) a stream of the same transaction/),
      details: { statement: expect.stringMatching(/^insert into "entry"/) },
    });
    expect(await ids()).toEqual([1, 2, 3, 4, 5]);
    expect(await laboratory.slots()).toEqual(NONE_LOST);
  });

  it('that waits for its end, beside the loop, waits for as long as rows are read', async () => {
    const clock = new ManualClock();
    await using laboratory = await KyselyLaboratory.open(database, { dependencies: { clock } });
    const { db } = laboratory;
    await transactional(db, async () => {
      const loop = async (): Promise<void> => {
        for await (const _ of db.selectFrom('entry').select('id').stream(1)) {
          await sleep(2);
          await clock.advance(50_000);
        }
      };
      await Promise.all([loop(), sleep(1).then(() => insert(db, 100))]);
    });
    expect(await ids()).toEqual([1, 2, 3, 4, 5, 100]);
  });

  it('goes on in its turn when one that came too late has given up', async () => {
    const clock = new ManualClock();
    await using laboratory = await KyselyLaboratory.open(database, { dependencies: { clock } });
    const { db } = laboratory;
    let reads = false;
    const looping = transactional(db, async () => {
      for await (const { id } of db.selectFrom('entry').select('id').stream(1)) {
        reads = true;
        await insert(db, id + 100).catch(() => undefined);
        break;
      }
      await insert(db, 200);
      await sql`select 1`.execute(db);
    });
    await turnedUntil(looping, clock, () => reads);
    await looping;
    expect(await ids()).toEqual([1, 2, 3, 4, 5, 200]);
  });

  it('is not behind it in withoutTransaction()', async () => {
    await using laboratory = await KyselyLaboratory.open(database);
    const { db } = laboratory;
    await transactional(db, async () => {
      for await (const { id } of db.selectFrom('entry').select('id').stream(1)) {
        await withoutTransaction(() => insert(db, id + 100));
      }
    });
    expect(await ids()).toEqual([1, 2, 3, 4, 5, 101, 102, 103, 104, 105]);
  });
});
