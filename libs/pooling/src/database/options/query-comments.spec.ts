import { Readable } from 'node:stream';
import { text as readText } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { sql } from 'kysely';
import { Query, type PoolClient } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { useTestDatabase } from '#test/support/database.js';
import { DatabasePool } from '../database-pool.js';
import { createKysely } from '../kysely/kysely.js';
import { withComment } from '../query/query-comment.js';
import type { DatabaseOptions } from './options.js';
import { commentOf } from './query-comments.js';

const database = useTestDatabase();

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

  describe.each([0, 60_000])('with a statementTimeoutMs of %i', (statementTimeoutMs) => {
    async function texts(run: (client: PoolClient) => Promise<unknown>): Promise<unknown> {
      const options = { url: database.url, size: 1, queryComments, statementTimeoutMs };
      await using pool = new DatabasePool('tagged', options);
      return await pool.withConnection(run);
    }

    it('stands behind what a cursor reads', async () => {
      const rows = await texts(async (client) => {
        const cursor = client.query(new Cursor<{ query: string }>(`${OWN_TEXT} and $1::int = 1`, [1]));
        const read = await cursor.read(10);
        await cursor.close();
        return read;
      });
      expect(rows).toEqual([{ query: `${OWN_TEXT} and $1::int = 1 ${COMMENT}` }]);
    });

    it('stands behind what a stream reads, in a transaction too', async () => {
      const rows = await texts(async (client) => {
        const outside = (await client.query(new QueryStream(OWN_TEXT)).toArray()) as unknown[];
        await client.query('begin');
        const inside = (await client.query(new QueryStream(OWN_TEXT)).toArray()) as unknown[];
        await client.query('commit');
        return [...outside, ...inside];
      });
      const query = `${OWN_TEXT} ${COMMENT}`;
      expect(rows).toEqual([{ query }, { query }]);
    });

    it('stands behind a COPY, to and from', async () => {
      await database.query('create table if not exists copied (id int, text text default current_query())');
      await database.query('truncate copied');
      const copied = await texts(async (client) => {
        await pipeline(Readable.from(['7\n']), client.query(copyFrom('copy copied (id) from stdin')));
        return await readText(client.query(copyTo(`copy (${OWN_TEXT}) to stdout`)));
      });
      expect(copied).toBe(`copy (${OWN_TEXT}) to stdout ${COMMENT}\n`);
      expect(await database.query('select text from copied')).toEqual([
        { text: `copy copied (id) from stdin ${COMMENT}` },
      ]);
    });
  });

  it("stands behind a Query of pg's own, also one that is prepared under a name", async () => {
    await using pool = new DatabasePool('tagged', { url: database.url, size: 1, queryComments });
    const found: unknown[] = [];
    await pool.withConnection(async (client) => {
      const run = (config: object): Promise<void> =>
        new Promise((resolve, reject) => {
          client.query(
            new Query(config as never, (error: Error | undefined, result: { rows: unknown[] }) => {
              found.push(...(result?.rows ?? []));
              if (error) reject(error);
              else resolve();
            }) as never,
          );
        });
      await run({ text: OWN_TEXT });
      for (let n = 0; n < 2; n++) await run({ text: OWN_TEXT, name: 'mine' });
      found.push(...(await client.query({ text: OWN_TEXT, name: 'mine' })).rows);
    });
    expect(found).toEqual(Array.from({ length: 4 }, () => ({ query: `${OWN_TEXT} ${COMMENT}` })));
  });

  it('stands behind what Kysely streams', async () => {
    await using pool = new DatabasePool('tagged', { url: database.url, size: 1, queryComments });
    const db = createKysely<Record<string, never>>(pool);
    const stream = sql<{ query: string }>`${sql.raw(OWN_TEXT)}`.compile(db);
    const rows: unknown[] = [];
    for await (const row of db.getExecutor().stream<{ query: string }>(stream, 10)) rows.push(...row.rows);
    expect(rows).toEqual([{ query: `${OWN_TEXT} ${COMMENT}` }]);
  });

  it('is none unless asked for', async () => {
    expect((await textsOf({})).filter((text) => text.includes('/*'))).toEqual([]);
  });

  it('does not stand in what people are shown', async () => {
    await using pool = new DatabasePool('tagged', { url: database.url, size: 1, queryComments });
    const client = await pool.connect();
    await client.query('select $1::int', [1]);
    expect(pool.holders()[0]?.statement).toBe('select $1::int');
    const cursor = client.query(new Cursor('select 7'));
    expect(pool.holders()[0]?.statement).toBe('select 7');
    expect(cursor).toMatchObject({ text: 'select 7' });
    await cursor.close();
    const stream = client.query(new QueryStream('select 8'));
    expect(pool.holders()[0]?.statement).toBe('select 8');
    await stream.toArray();
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
