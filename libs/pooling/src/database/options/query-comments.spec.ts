import { sql } from 'kysely';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { DatabasePool } from '../database-pool.js';
import { createKysely } from '../kysely/kysely.js';
import { withComment } from '../query/query-comment.js';
import type { DatabaseOptions } from './options.js';
import { commentOf } from './query-comments.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const COMMENT = "/*application='shop',team='it%27s%20%2Fours'*/";
const queryComments = { team: "it's /ours", application: 'shop' };

/** The text of the running statement, as the server has it. */
const OWN_TEXT = 'select query from pg_stat_activity where pid = pg_backend_pid()';

async function textsOf(options: DatabaseOptions): Promise<string[]> {
  await using pool = new DatabasePool('tagged', { url: database.url, size: 1, ...options });
  const db = createKysely<Record<string, never>>(pool);
  const texts: string[] = [];
  const take = ({ rows }: { rows: { query: string }[] }): void => void texts.push(rows[0]?.query ?? '');
  take(await pool.query(OWN_TEXT));
  take(await pool.query({ text: OWN_TEXT }));
  for (let n = 0; n < 4; n++) take(await pool.query(`${OWN_TEXT} and $1::int = $1`, [n]));
  await pool.withConnection(async (client) => take(await client.query(OWN_TEXT)));
  await db.transaction().execute(async (trx) => {
    take(await sql<{ query: string }>`select query from pg_stat_activity where pid = pg_backend_pid()`.execute(trx));
    take(await sql<{ query: string }>`${sql.raw(OWN_TEXT)} and ${1}::int = 1`.execute(trx));
  });
  const { preparedStatementHits } = pool.statistics();
  expect(preparedStatementHits).toBeGreaterThan(0);
  return texts;
}

describe('the comment of a pool', () => {
  it('stands behind every statement, and leaves prepared ones prepared', async () => {
    const texts = await textsOf({ queryComments });
    expect(texts.filter((text) => !text.endsWith(` ${COMMENT}`))).toEqual([]);
    expect(texts).toHaveLength(9);
  });

  it('is none unless asked for', async () => {
    expect((await textsOf({})).filter((text) => text.includes('/*'))).toEqual([]);
  });

  it('does not stand in what people are shown', async () => {
    await using pool = new DatabasePool('tagged', { url: database.url, size: 1, queryComments });
    const client = await pool.connect();
    await client.query('select $1::int', [1]);
    expect(pool.holders()[0]?.statement).toBe('select $1::int');
    client.release();
  });

  it('can end neither itself nor the text', () => {
    expect(commentOf({ a: "*/ drop table t --'\n" })).toBe("/*a='*%2F%20drop%20table%20t%20--%27%0A'*/");
    expect(withComment('select 1 -- why', '/*a*/')).toBe('select 1 -- why\n/*a*/');
    expect(withComment('', '/*a*/')).toBe('');
  });

  it('has sixteen tags at the most, which are texts', () => {
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`tag${n}`, 'x']));
    for (const wrong of [many, { a: 7 }, 'application']) {
      expect(() => new DatabasePool('wrong', { queryComments: wrong as never })).toThrow(/queryComments/);
    }
  });
});
