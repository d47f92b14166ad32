/** A statement that is sent behind others without an answer is read as those leave the session, also where it was prepared before. */
import { sql, type Kysely } from 'kysely';
import type { DatabasePool } from '#pooling/database/database-pool.js';
import { transactional } from '#pooling/database/kysely/ambient/transactional.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { useTestDatabase } from '#test/support/database.js';
import { Gate } from '#test/support/gate.js';
import { add, GATED_COMMIT, transactionAhead, type GatedSchema } from '#test/support/gated-commit.js';
import { usePools } from '#test/support/pools.js';

const database = useTestDatabase(...GATED_COMMIT, 'create table wide (a int)');
const createPool = usePools('read as left', () => ({
  url: database.url,
  size: 1,
  maxOverflow: 0,
  session: { timezone: 'UTC' },
}));

function create(): { pool: DatabasePool; db: Kysely<GatedSchema> } {
  const pool = createPool({}, { clock: new ManualClock() });
  return { pool, db: createKysely<GatedSchema>(pool) };
}

/** The hour of a literal that the server reads when it prepares the text. */
async function hour(db: Kysely<GatedSchema>): Promise<string> {
  const text = sql<{ hour: string }>`
    select (timestamptz '2020-01-01 00:00' at time zone 'UTC')::time::text as hour where ${1}::int = 1`;
  const { rows } = await text.execute(db);
  return rows[0]?.hour as string;
}

const IN_UTC = '00:00:00';
const IN_TOKYO = '15:00:00';
const toTokyo = (db: Kysely<GatedSchema>): Promise<unknown> =>
  sql`select set_config(${'timezone'}, ${'Asia/Tokyo'}, true)`.execute(db);

async function prepared(db: Kysely<GatedSchema>): Promise<void> {
  for (let use = 0; use < 3; use++) expect(await hour(db)).toBe(IN_UTC);
}

/** Runs a transaction whose `COMMIT` is held, and another one behind that. */
async function oneBehindAnother<Result>(
  { pool, db }: { readonly pool: DatabasePool; readonly db: Kysely<GatedSchema> },
  name: string,
  first: (transaction: Kysely<GatedSchema>) => Promise<unknown>,
  second: (transaction: Kysely<GatedSchema>) => Promise<Result>,
): Promise<readonly [PromiseSettledResult<void>, PromiseSettledResult<Result>]> {
  await using gate = await Gate.closed(database.url);
  const { first: ahead, second: behind } = transactionAhead(
    { pool, db },
    async (transaction) => {
      await first(transaction);
      await add(transaction, name, gate);
    },
    () => db.transaction().execute(second),
  );
  await gate.waitedAt();
  await gate.open();
  return await Promise.allSettled([ahead, behind()]);
}

describe('a statement behind the COMMIT of another transaction', () => {
  it('is read with the settings of its own session', async () => {
    const made = create();
    await prepared(made.db);
    const [first, second] = await oneBehindAnother(
      made,
      'kept',
      async (transaction) => {
        await toTokyo(transaction);
        expect(await hour(transaction)).toBe(IN_TOKYO);
      },
      hour,
    );
    expect(first.status).toBe('fulfilled');
    expect(second).toMatchObject({ value: IN_UTC });
    await prepared(made.db);
  });

  it('finds the tables as they were where that is refused', async () => {
    const made = create();
    const columns = async (db: Kysely<GatedSchema>): Promise<unknown> =>
      (await sql`select * from wide`.execute(db)).rows;
    const [first, second] = await oneBehindAnother(
      made,
      'refused',
      async (transaction) => {
        await sql`insert into wide values (1)`.execute(transaction);
        await sql`alter table wide add b int`.execute(transaction);
        for (let use = 0; use < 3; use++) expect(await columns(transaction)).toEqual([{ a: 1, b: null }]);
      },
      columns,
    );
    expect(first).toMatchObject({ reason: { code: '23514' } });
    expect(second).toMatchObject({ value: [] });
  });
});

describe('a statement in one flight with what is ahead of it', () => {
  it('is read with the settings with which its transaction begins', async () => {
    const { db } = create();
    await prepared(db);
    for (let use = 0; use < 2; use++) {
      expect(await transactional(db, { settings: { timezone: 'Asia/Tokyo' } }, () => hour(db))).toBe(IN_TOKYO);
      expect(await hour(db)).toBe(IN_UTC);
    }
  });

  it('is read with the settings of a statement ahead of it', async () => {
    const { db } = create();
    await prepared(db);
    const hours = await db.transaction().execute(async (transaction) => {
      const [, first, second] = await Promise.all([toTokyo(transaction), hour(transaction), hour(transaction)]);
      return [first, second, await hour(transaction)];
    });
    expect(hours).toEqual([IN_TOKYO, IN_TOKYO, IN_TOKYO]);
    await prepared(db);
  });

  it('is read as the savepoint was to which the transaction is rolled back', async () => {
    const { db } = create();
    await prepared(db);
    await db.transaction().execute(async (transaction) => {
      await sql`savepoint a`.execute(transaction);
      await toTokyo(transaction);
      expect(await hour(transaction)).toBe(IN_TOKYO);
      const [, back] = await Promise.all([sql`rollback to a`.execute(transaction), hour(transaction)]);
      expect(back).toBe(IN_UTC);
    });
  });
});
