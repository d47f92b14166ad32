/** A statement that is sent behind others without an answer is read as those leave the session, also where it was prepared before. */
import { sql, type Kysely } from 'kysely';
import type { DatabasePool } from '#pooling/database/database-pool.js';
import { transactional } from '#pooling/database/kysely/ambient/transactional.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { useTestDatabase } from '#test/support/database.js';
import { Gate } from '#test/support/gate.js';
import { usePools } from '#test/support/pools.js';

interface Schema {
  item: { name: string; gate: string | null };
}

/** `COMMIT` takes until the gates of the rows that were added are open. */
const database = useTestDatabase(
  'create table item (name text not null, gate text)',
  'create table wide (a int)',
  `create function pass_gate() returns trigger language plpgsql as $$
   begin
     if new.gate is not null then execute 'select ' || new.gate; end if;
     if new.name = 'refused' then raise exception 'refused at COMMIT' using errcode = '23514'; end if;
     return null;
   end $$`,
  `create constraint trigger at_commit after insert on item deferrable initially deferred
   for each row execute function pass_gate()`,
);
const createPool = usePools('read as left', () => ({
  url: database.url,
  size: 1,
  maxOverflow: 0,
  session: { timezone: 'UTC' },
}));

function create(): { pool: DatabasePool; db: Kysely<Schema> } {
  const pool = createPool({}, { clock: new ManualClock() });
  return { pool, db: createKysely<Schema>(pool) };
}

/** The hour of a literal that the server reads when it prepares the text. */
async function hour(db: Kysely<Schema>): Promise<string> {
  const text = sql<{ hour: string }>`
    select (timestamptz '2020-01-01 00:00' at time zone 'UTC')::time::text as hour where ${1}::int = 1`;
  const { rows } = await text.execute(db);
  return rows[0]?.hour as string;
}

const IN_UTC = '00:00:00';
const IN_TOKYO = '15:00:00';
const toTokyo = (db: Kysely<Schema>): Promise<unknown> =>
  sql`select set_config(${'timezone'}, ${'Asia/Tokyo'}, true)`.execute(db);

async function prepared(db: Kysely<Schema>): Promise<void> {
  for (let use = 0; use < 3; use++) expect(await hour(db)).toBe(IN_UTC);
}

/** Runs a transaction whose `COMMIT` is held, and another one behind that. */
async function oneBehindAnother<Result>(
  { pool, db }: { readonly pool: DatabasePool; readonly db: Kysely<Schema> },
  name: string,
  first: (transaction: Kysely<Schema>) => Promise<unknown>,
  second: (transaction: Kysely<Schema>) => Promise<Result>,
): Promise<readonly [PromiseSettledResult<void>, PromiseSettledResult<Result>]> {
  await using gate = await Gate.closed(database.url);
  let behind!: Promise<Result>;
  const ahead = db.transaction().execute(async (transaction) => {
    await first(transaction);
    await transaction.insertInto('item').values({ name, gate: gate.passed }).execute();
    behind = db.transaction().execute(second);
    behind.catch(() => undefined);
    await vi.waitFor(() => expect(pool.statistics().waiting).toBe(1));
  });
  ahead.catch(() => undefined);
  await gate.waitedAt();
  await gate.open();
  return await Promise.allSettled([ahead, behind]);
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
    const columns = async (db: Kysely<Schema>): Promise<unknown> => (await sql`select * from wide`.execute(db)).rows;
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
