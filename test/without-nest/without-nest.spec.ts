import * as kysely from 'kysely';
import { createKysely, DatabasePool } from 'nestjs-pooling';
import { inject } from 'vitest';
import { runTypeScript } from '#test/support/child.js';
import { useTestDatabase } from '#test/support/database.js';
import { answerJson, CountingServer } from '#test/support/http-server.js';
import { openShop } from './shop.js';

const database = useTestDatabase(
  `create table orders (id int primary key, item text); insert into orders values (7, 'lamp')`,
);

function createPool(): DatabasePool {
  const pool = new DatabasePool('shop', { url: database.url, size: 2 });
  onTestFinished(async () => void (await pool.close()));
  return pool;
}

describe('a program without Nest', () => {
  it('has a database and an HTTP client of the classes alone, and leaves no connection when it has closed them', async () => {
    await using carrier = await CountingServer.listen((request, response) => {
      answerJson(response, { status: `sent ${request.url}` });
    });
    const shop = openShop(database.url, carrier.url);
    expect(await shop.order(7)).toEqual({ id: 7, item: 'lamp', shipment: 'sent /shipments/7' });
    // The copy that this file imports as well.
    await expect(shop.order(8)).rejects.toBeInstanceOf(kysely.NoResultError);
    await shop.close();
    await vi.waitFor(async () => {
      expect(carrier.sockets.size).toBe(0);
      const open = await database.query('select pid from pg_stat_activity where datname = current_database()');
      expect(open, 'only the one that asks').toHaveLength(1);
    });
  });

  it.each([
    ['the Kysely that it hands in', { kysely }],
    ['the Kysely that is required', {}],
  ])('may have several databases over one pool, with %s', async (_whose, options) => {
    const pool = createPool();
    const [one, other] = [createKysely<object>(pool, options), createKysely<object>(pool, options)];
    const query = kysely.sql<{ answer: number }>`select 42 as answer`;
    expect((await query.execute(one)).rows).toEqual((await query.execute(other)).rows);
    expect(pool.totalCount).toBe(1);
    expect(one).toBeInstanceOf(other.constructor);
    if ('kysely' in options) expect(one).toBeInstanceOf(kysely.Kysely);
  });

  it('is refused over what is no pool', () => {
    expect(() => createKysely({} as DatabasePool, { kysely })).toThrow(
      new TypeError('this takes a DatabasePool, made by the same copy of nestjs-pooling'),
    );
  });

  it('runs without Kysely, and is told what to install when it asks for one', async () => {
    const child = runTypeScript(new URL('./programs/no-kysely.ts', import.meta.url), {
      env: { DATABASE_URL: inject('databaseUrl') },
    });
    onTestFinished(() => void child.process.kill('SIGKILL'));
    expect(await child.ended).toEqual({ code: 0, signal: null });
    expect(child.output()).toContain('[ { answer: 42 } ]');
    expect(child.output()).toMatch(
      /shop: 1 wrong option:\n {2}- createKysely: needs kysely, which isn't installed: npm install kysely/,
    );
    expect(child.output()).toContain("code: 'ERR_POOL_OPTIONS_INVALID', pool: 'shop'");
  });
});
