/** Where the `Kysely` of a pool differs from one on Kysely's own dialect on purpose; docs/pg-pool-compatibility.md says so. */
import { DefaultQueryExecutor, Kysely, PostgresDialect, PostgresDriver, sql } from 'kysely';
import pg from 'pg';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

interface Tables {
  person: { id: number; name: string };
}

let database: TestDatabase;
let theirs: Kysely<Tables>;
let ours: Kysely<Tables>;

beforeAll(async () => {
  database = await createTestDatabase();
  theirs = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: database.url }) }) });
  ours = createKysely(new DatabasePool('people', { url: database.url }));
  await ours.schema.createTable('person').addColumn('id', 'serial').addColumn('name', 'text').execute();
  await ours
    .insertInto('person')
    .values([{ name: 'Ada' }, { name: 'Grace' }] as never)
    .execute();
});
afterAll(async () => {
  await Promise.all([theirs, ours].map((db) => db.destroy()));
  await database.drop();
});
afterEach(() => vi.restoreAllMocks());

const page = (db: Kysely<Tables>) => db.selectFrom('person').select('name').limit(1).offset(1);

it('writes a limit that is a number into the text, and gives the same rows', async () => {
  expect(page(theirs).compile()).toMatchObject({
    sql: 'select "name" from "person" limit $1 offset $2',
    parameters: [1, 1],
  });
  expect(page(ours).compile()).toMatchObject({
    sql: 'select "name" from "person" limit 1 offset $1',
    parameters: [1],
  });
  expect(await page(ours).execute()).toEqual(await page(theirs).execute());
});

it('streams without being given a cursor', async () => {
  const streamed = async (db: Kysely<Tables>): Promise<unknown[]> => {
    const rows: unknown[] = [];
    for await (const row of db.selectFrom('person').select('name').orderBy('id').stream()) rows.push(row);
    return rows;
  };
  await expect(streamed(theirs)).rejects.toThrow(/.cursor. is not present/);
  expect(await streamed(ours)).toEqual([{ name: 'Ada' }, { name: 'Grace' }]);
});

it('runs queries and transactions past the classes of Kysely’s own executor and driver', async () => {
  const executed = vi.spyOn(DefaultQueryExecutor.prototype, 'executeQuery');
  const begun = vi.spyOn(PostgresDriver.prototype, 'beginTransaction');
  const calls = async (db: Kysely<Tables>): Promise<number[]> => {
    executed.mockClear();
    begun.mockClear();
    await db
      .selectFrom('person')
      .selectAll()
      .explain('json', sql`analyze`);
    await db.transaction().execute(() => Promise.resolve());
    return [executed.mock.calls.length, begun.mock.calls.length];
  };
  expect(await calls(theirs)).toEqual([1, 1]);
  expect(await calls(ours)).toEqual([0, 0]);
});
