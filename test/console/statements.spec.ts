import { sql } from 'kysely';
import type { Browser, Locator } from 'playwright-core';
import QueryStream from 'pg-query-stream';
import { createKysely, DatabasePool, getDbPoolToken, transactional, type DatabaseOptions } from 'nestjs-pooling';
import { inRequest, keepRequests } from '#pooling/core/request-context.js';
import { accessWhenUsed } from '#pooling/database/database-access.js';
import type { StatementList } from '#pooling/database/query/statement-tally.js';
import { hasBrowser, openPage, startBrowser } from '#test/support/browser.js';
import { startConsoleApplication, type ConsoleApplication } from '#test/support/console-application.js';
import { useTestDatabase } from '#test/support/database.js';

const database = useTestDatabase('create table entry (name text)');

function poolOf(options: DatabaseOptions = {}): DatabasePool {
  return new DatabasePool('counted', { url: database.url, size: 2, maxOverflow: 0, ...options });
}

function list(pool: DatabasePool): StatementList {
  return accessWhenUsed(pool).tally.list() as StatementList;
}

/** How often each statement was run, and how. */
function runsOf(pool: DatabasePool): Record<string, object> {
  const runs = list(pool).statements.map(({ text, count, failed, rows, runs: kinds }) => [
    text,
    {
      count,
      ...(failed === 0 ? undefined : { failed }),
      rows,
      ...Object.fromEntries(Object.entries(kinds).filter(([, times]) => times > 0)),
    },
  ]);
  return Object.fromEntries(runs) as Record<string, object>;
}

describe('the statements of a pool', () => {
  it('are counted once each, however they are run, with the kind of their plans', async () => {
    await using pool = poolOf({ size: 1 });
    accessWhenUsed(pool).tally.start();
    const db = createKysely<{ entry: { name: string } }>(pool);
    for (let n = 0; n < 12; n++) await pool.query('select $1::int as n', [n]);
    await pool.query("select 'secret'; select 2, 3");
    await pool.query("select 'secret'::int").catch(() => {});
    await expect(pool.query({ text: 'select pg_sleep(9)', query_timeout: 30 } as never)).rejects.toThrow(/no answer/);
    await db.insertInto('entry').values({ name: 'secret' }).execute();
    await db.transaction().execute((trx) => trx.selectFrom('entry').selectAll().execute());
    await transactional(db, { propagation: 'nested' }, () => sql`select ${'secret'}::text`.execute(db));
    await pool.withConnection(async (client) => {
      await client.query('select 4 as four');
      await client.query(new QueryStream('select generate_series(1, 9)')).toArray();
    });
    await pool.ping();
    expect(runsOf(pool)).toEqual({
      // The first isn't prepared; then six with plans of their own; then the server may use one for all.
      'select $1::int as n': { count: 12, rows: 12, unprepared: 1, custom: 6, generic: 5 },
      'select ?; select ?, …': { count: 1, rows: 2, unprepared: 1 },
      'select ?::int': { count: 1, failed: 1, rows: 0, unprepared: 1 },
      'select pg_sleep(?)': { count: 1, failed: 1, rows: 0, unprepared: 1 },
      'insert into "entry" ("name") values ($1)': { count: 1, rows: 1, unprepared: 1 },
      'select * from "entry"': { count: 1, rows: 1, unprepared: 1 },
      'select $1::text': { count: 1, rows: 1, unprepared: 1 },
      'select ? as four': { count: 1, rows: 1, unprepared: 1 },
      'select generate_series(?, …)': { count: 1, rows: 0, streamed: 1 },
      commit: { count: 2, rows: 0, unprepared: 2 },
    });
    expect(JSON.stringify(list(pool))).not.toContain('secret');
    const slow = list(pool).statements.find(({ text }) => text.includes('pg_sleep'));
    expect(slow?.totalMs).toBeGreaterThan(25);
  });

  it('that others answer for are counted with them: those that share a connection, and those of a batch', async () => {
    await using pool = poolOf({ size: 1, pipelining: {} });
    accessWhenUsed(pool).tally.start();
    await Promise.all(Array.from({ length: 40 }, (_, n) => pool.query('select $1::int + 1', [n])));
    expect(list(pool).statements.map(({ text, count, rows }) => [text, count, rows])).toEqual([
      ['select $1::int + ?', 40, 40],
    ]);
  });

  it('are counted by the handlers on whose behalf they run, where those are known', async () => {
    await using pool = poolOf();
    accessWhenUsed(pool).tally.start();
    keepRequests();
    const byHandler = (handler: string, times: number): Promise<unknown> =>
      inRequest({ handler }, () => Promise.all(Array.from({ length: times }, () => pool.query('select 1'))));
    await Promise.all([byHandler('Orders.list', 9), byHandler('Orders.pay', 5)]);
    const [statement] = list(pool).statements;
    const handlers = statement?.handlers.map(({ handler, count }) => [handler, count]);
    expect(new Map(handlers as [string, number][])).toEqual(
      new Map([
        ['Orders.list', 9],
        ['Orders.pay', 5],
      ]),
    );
    expect(statement?.count).toBe(14);
  });

  it('of many handlers are counted for the first ten, and for the others together', async () => {
    await using pool = poolOf();
    accessWhenUsed(pool).tally.start();
    keepRequests();
    for (let n = 0; n < 14; n++) await inRequest({ handler: `Handler${n}.run` }, () => pool.query('select 1'));
    const handlers = list(pool).statements[0]?.handlers;
    expect(handlers).toHaveLength(11);
    expect(handlers?.find(({ handler }) => handler === 'others')?.count).toBe(4);
  });

  it('are not counted while nobody wants that', async () => {
    await using pool = poolOf();
    await pool.query('select 1');
    expect(list(pool)).toBeUndefined();
    accessWhenUsed(pool).tally.start();
    expect(list(pool).known).toBe(0);
  });
});

describe.skipIf(!hasBrowser)('the list of statements in a browser (needs chromium)', { timeout: 120_000 }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser.close());

  const rows = (of: Locator): Promise<string[]> =>
    of
      .locator('tbody tr')
      .all()
      .then((found) => Promise.all(found.map((row) => row.innerText())))
      .then((texts) => texts.map((text) => text.replace(/\s+/g, ' ')));

  async function slowly(application: ConsoleApplication): Promise<void> {
    const pool = application.application.get<DatabasePool>(getDbPoolToken());
    for (let n = 0; n < 3; n++) {
      await pool.query('select pg_sleep(0.03), name from entry right join (select $1::text as n) v on name = n', [
        'secret',
      ]);
    }
    for (let n = 0; n < 5; n++) await pool.query('select $1::int as often', [n]);
  }

  it('shows them sorted as one wants, with the plan of a slow one as a tree, and nothing of parameters', async () => {
    await using application = await startConsoleApplication({
      databaseUrl: database.url,
      database: { slowQueryMs: 10, slowQueryPlan: true },
    });
    // One connection is idle while the other one is in use.
    const pool = application.application.get<DatabasePool>(getDbPoolToken());
    for (const client of await Promise.all([pool.connect(), pool.connect()])) client.release();
    await slowly(application);
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page, complaints } = opened;
    const statements = page.locator('[data-pool="default"] [data-statements]');
    const first = async (): Promise<string> => (await rows(statements))[0] ?? '';
    await expect.poll(first, { timeout: 15_000 }).toMatch(/^select pg_sleep\(\?\), name .* 3 .* (custom|not prepared)/);
    expect(await statements.locator('th[aria-sort]').innerText()).toMatch(/^Total/);
    await statements.getByRole('button', { name: 'Count' }).click();
    expect(await first()).toMatch(/^select \$1::int as often/);
    expect(await statements.locator('th[aria-sort="descending"]').innerText()).toMatch(/^Count/);
    await statements.locator('summary', { hasText: 'Plan' }).first().click();
    const tree = statements.locator('.plan').first();
    expect(await tree.locator('ul li').count()).toBeGreaterThan(0);
    expect(await tree.innerText()).toMatch(/entry\s+\(?cost|cost [\d.]+, \d+ rows/);
    // By its text, what has no number is sorted: from the beginning of the alphabet.
    await statements.getByRole('button', { name: 'Plan', exact: true }).click();
    expect(await statements.locator('th[aria-sort="ascending"]').innerText()).toMatch(/^Plan/);
    expect(await page.content()).not.toContain('secret');
    expect(complaints).toEqual([]);
  });

  it('is left out where it is not wanted, and then nothing is counted', async () => {
    await using application = await startConsoleApplication({
      databaseUrl: database.url,
      console: { statements: false },
    });
    await application.call('GET', '/orders');
    await using opened = await openPage(browser, `${application.url}/pools`);
    await expect.poll(() => opened.page.locator('#connection').innerText()).toBe('Live');
    expect(await opened.page.locator('[data-statements]').isVisible()).toBe(false);
    expect(accessWhenUsed(application.application.get(getDbPoolToken())).tally.on).toBe(false);
  });
});
