import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { getDbPoolToken, PoolHealthIndicator, PoolingModule, type DatabasePool } from 'nestjs-pooling';
import { runTypeScript } from '#test/support/child.js';
import { useTestDatabase } from '#test/support/database.js';
import { LIBRARIES, type Books } from './libraries.js';

const database = useTestDatabase('create table book (id int primary key, title text not null)');

it('all of them on one DatabasePool, and the process ends by itself', async () => {
  await database.query('truncate book');
  const child = runTypeScript(new URL('./program.ts', import.meta.url), { env: { DATABASE_URL: database.url } });
  const { code } = await child.ended;
  expect({ code, output: child.output() }).toEqual({ code: 0, output: 'all answered\nclosed\n' });
}, 60_000);

const CALLERS = Array.from({ length: 50 }, (_, caller) => caller + 100);

describe.each(Object.entries(LIBRARIES))('%s on a DatabasePool', (_name, { imports, providers = [], books: open }) => {
  let app: INestApplication;
  let pool: DatabasePool;
  let books: Books;

  beforeAll(async () => {
    await database.query('truncate book');
    const testing = await Test.createTestingModule({
      imports: [
        PoolingModule.forRoot({
          database: { url: database.url, size: 4, maxOverflow: 0, applicationName: 'orms' },
          http: false,
          metrics: false,
        }),
        ...imports,
      ],
      providers,
    }).compile();
    app = testing.createNestApplication({ logger: false });
    await app.init();
    pool = app.get<DatabasePool>(getDbPoolToken());
    books = open(app);
  });
  // Whatever happened, nobody keeps a connection.
  afterEach(() => {
    const { acquired, released, waiting, transactionsLeftOpen } = pool.statistics();
    expect({ held: acquired - released, waiting, transactionsLeftOpen }).toEqual({
      held: 0,
      waiting: 0,
      transactionsLeftOpen: 0,
    });
  });

  it('writes and reads', async () => {
    await books.add(1);
    expect(await books.ids()).toEqual([1]);
  });

  it('commits a transaction, and rolls one back that fails', async () => {
    await books.addAll([2, 3]);
    await expect(books.addAll([4, 5, 2]).catch(codesOf)).resolves.toContain('23505');
    expect(await books.ids()).toEqual([1, 2, 3]);
  });

  it("passes the server's error on, and keeps the connection", async () => {
    const { opened } = pool.statistics();
    await expect(books.add(1).catch(codesOf)).resolves.toContain('23505');
    expect(pool.statistics().opened).toBe(opened);
  });

  it('serves fifty callers with four connections', async () => {
    await Promise.all(CALLERS.map((caller) => (caller % 2 === 0 ? books.add(caller) : books.addAll([caller]))));
    const read = await Promise.all(CALLERS.map(() => books.ids()));
    expect(read).toEqual(CALLERS.map(() => [1, 2, 3, ...CALLERS]));
    expect(pool.statistics()).toMatchObject({ acquireTimeouts: 0, queueRejected: 0 });
    expect(pool.statistics().opened).toBeLessThanOrEqual(4);
  });

  it('streams, where it can', async () => {
    const streamed = await books.streamed?.();
    expect(streamed ?? [1, 2, 3, ...CALLERS]).toEqual([1, 2, 3, ...CALLERS]);
  });

  it('has a pool that its health knows, and that the application closes', async () => {
    const health = await app.get(PoolHealthIndicator).database('database');
    expect(health).toMatchObject({ database: { status: 'up' } });
    await app.close();
    expect(pool.statistics().state).toBe('closed');
    const sessions = "select count(*)::int as left from pg_stat_activity where application_name = 'orms'";
    expect(await database.query(sessions)).toEqual([{ left: 0 }]);
  });
});

/** The codes of an error and of what it wraps. */
function codesOf(error: unknown): unknown[] {
  if (typeof error !== 'object' || error === null) return [];
  const { code, cause, driverError, original, nativeError } = error as Record<string, unknown>;
  return [code, ...[cause, driverError, original, nativeError].flatMap(codesOf)];
}
