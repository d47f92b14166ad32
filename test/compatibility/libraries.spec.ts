import connectPgSimple from 'connect-pg-simple';
import { eq, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import express from 'express';
import session from 'express-session';
import { runner } from 'node-pg-migrate';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Pool } from 'pg';
import PgBoss from 'pg-boss';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

declare module 'express-session' {
  interface SessionData {
    visits: number;
  }
}

let database: TestDatabase;
let pool: DatabasePool;
/** The same pool for libraries whose types want a `pg.Pool`. */
let pgPool: Pool;

beforeEach(async () => {
  database = await createTestDatabase();
  pool = new DatabasePool('libraries', { url: database.url, size: 4, maxOverflow: 0 });
  pgPool = pool as unknown as Pool;
});
afterEach(async () => {
  await pool.close({ deadlineMs: 0 });
  await database.drop();
});

/** Each library must give back whatever it has borrowed. */
function held(): number {
  const { acquired, released, waiting } = pool.statistics();
  return acquired - released + waiting;
}

describe('Drizzle on a DatabasePool', () => {
  const book = pgTable('book', { id: integer().primaryKey(), title: text().notNull() });

  beforeEach(() => database.query('create table book (id int primary key, title text not null)'));

  it('queries, prepares and maps', async () => {
    const db = drizzle(pgPool);
    await db.insert(book).values([
      { id: 1, title: 'Emma' },
      { id: 2, title: 'Persuasion' },
    ]);
    expect(await db.select().from(book).where(eq(book.id, 2))).toEqual([{ id: 2, title: 'Persuasion' }]);
    const byId = db
      .select({ title: book.title })
      .from(book)
      .where(eq(book.id, sql.placeholder('id')))
      .prepare('book_by_id');
    const titles = await Promise.all([1, 2, 1, 2, 1, 2].map((id) => byId.execute({ id })));
    expect(titles.flat().map(({ title }) => title)).toEqual(Array(3).fill(['Emma', 'Persuasion']).flat());
    expect(held()).toBe(0);
  });

  it('keeps a transaction on one connection, rolls back what throws, and nests with savepoints', async () => {
    const db = drizzle(pgPool);
    await db.transaction(async (transaction) => {
      await transaction.insert(book).values({ id: 1, title: 'Emma' });
      await expect(
        transaction.transaction(async (nested) => {
          await nested.insert(book).values({ id: 2, title: 'lost' });
          throw new Error('nested');
        }),
      ).rejects.toThrow('nested');
    });
    await expect(
      db.transaction(async (transaction) => {
        await transaction.insert(book).values({ id: 3, title: 'lost' });
        throw new Error('outer');
      }),
    ).rejects.toThrow('outer');
    expect(await db.select({ id: book.id }).from(book)).toEqual([{ id: 1 }]);
    expect(pool.statistics().transactionsLeftOpen).toBe(0);
    expect(held()).toBe(0);
  });

  it('keeps its connection through a constraint violation', async () => {
    const db = drizzle(pgPool);
    await db.insert(book).values({ id: 1, title: 'Emma' });
    await expect(db.insert(book).values({ id: 1, title: 'again' })).rejects.toMatchObject({ cause: { code: '23505' } });
    expect(pool.statistics().opened).toBe(1);
  });
});

it('connect-pg-simple keeps sessions on a DatabasePool', async () => {
  const errors: unknown[] = [];
  const Store = connectPgSimple(session);
  const store = new Store({
    pool: pgPool,
    createTableIfMissing: true,
    pruneSessionInterval: false,
    errorLog: (...given: unknown[]) => errors.push(given),
  });
  const app = express();
  app.use(session({ store, secret: 'secret', resave: false, saveUninitialized: true }));
  app.get('/', (request, response) => {
    request.session.visits = (request.session.visits ?? 0) + 1;
    response.json(request.session.visits);
  });
  app.get('/out', (request, response) => request.session.destroy(() => response.json('out')));
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const first = await fetch(url);
    const headers = { cookie: first.headers.get('set-cookie')?.split(';')[0] ?? '' };
    expect(await first.json()).toBe(1);
    expect(await (await fetch(url, { headers })).json()).toBe(2);
    expect(await (await fetch(url, { headers })).json()).toBe(3);
    expect(await database.query('select count(*)::int as sessions from session')).toEqual([{ sessions: 1 }]);
    await new Promise<void>((resolve, reject) => store.pruneSessions((error) => (error ? reject(error) : resolve())));
    await fetch(`${url}/out`, { headers });
    expect(await database.query('select count(*)::int as sessions from session')).toEqual([{ sessions: 0 }]);
    expect(errors).toEqual([]);
    expect(held()).toBe(0);
  } finally {
    server.close();
    server.closeAllConnections();
    store.close();
  }
});

describe('node-pg-migrate on a DatabasePool', () => {
  it('migrates up and down on a borrowed client, and leaves nothing behind on it', async () => {
    const migrate = (direction: 'up' | 'down'): Promise<{ name: string }[]> =>
      pool.withConnection((client) =>
        runner({
          dbClient: client,
          dir: fileURLToPath(new URL('./migrations', import.meta.url)),
          direction,
          count: direction === 'up' ? Infinity : 1,
          migrationsTable: 'pgmigrations',
          log: () => undefined,
        }),
      );
    expect((await migrate('up')).map(({ name }) => name)).toHaveLength(2);
    await pool.query('insert into book (id, title, author) values (1, $1, $2)', ['Emma', 'Austen']);
    expect(await migrate('up')).toEqual([]);
    expect(await migrate('down')).toHaveLength(1);
    await expect(pool.query('select author from book')).rejects.toMatchObject({ code: '42703' });
    expect(await database.query("select count(*)::int as locks from pg_locks where locktype = 'advisory'")).toEqual([
      { locks: 0 },
    ]);
    expect(held()).toBe(0);
  });
});

it('pg-boss sends, works, retries and completes jobs on a DatabasePool', async () => {
  const boss = new PgBoss({
    // pg-boss' own way to run on somebody else's connections.
    db: { executeSql: (statement, values) => pool.query(statement, values) },
    supervise: false,
    schedule: false,
  });
  const errors: unknown[] = [];
  boss.on('error', (error) => errors.push(error));
  await boss.start();
  try {
    await boss.createQueue('letters');
    const ids = await Promise.all([1, 2, 3, 4, 5].map((number) => boss.send('letters', { number }, { retryLimit: 1 })));
    const failed = new Set<string>();
    const delivered = new Map<string, unknown>();
    await boss.work<{ number: number }>('letters', { pollingIntervalSeconds: 0.5 }, async ([job]) => {
      if (job === undefined) return;
      if (job.data.number === 3 && !failed.has(job.id)) {
        failed.add(job.id);
        throw new Error('the first try fails');
      }
      delivered.set(job.id, job.data.number);
    });
    await vi.waitFor(() => expect(delivered.size).toBe(5), { interval: 50 });
    expect(new Set(delivered.keys())).toEqual(new Set(ids));
    expect(failed.size).toBe(1);
  } finally {
    await boss.stop({ graceful: true, wait: true, close: false, timeout: 5_000 });
  }
  expect(errors).toEqual([]);
  await expect.poll(held).toBe(0);
  expect(pool.statistics().size).toBeLessThanOrEqual(4);
});
