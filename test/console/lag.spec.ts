/** How far behind its replicas are, and who holds connections to them, on the page of the console. Real replication, whose replay is stopped by hand. */
import type { Browser, Locator, Page } from 'playwright-core';
import { sql, type Kysely } from 'kysely';
import { DatabasePool, getDbPoolToken, getReplicaDbToken } from 'nestjs-pooling';
import { PostgresCluster, type ClusterNode } from 'nestjs-pooling/testing';
import { hasBrowser, openPage, startBrowser } from '#test/support/browser.js';
import { startConsoleApplication } from '#test/support/console-application.js';

describe.skipIf(!hasBrowser)('the console (needs chromium)', { timeout: 120_000 }, () => {
  let browser: Browser;
  let cluster: PostgresCluster;

  beforeAll(async () => {
    [browser, cluster] = await Promise.all([
      startBrowser(),
      PostgresCluster.start({ standbys: 1, authentication: 'trust' }),
    ]);
  }, 120_000);

  afterAll(async () => {
    await browser.close();
    await cluster.close();
  });

  async function unfolded(page: Page, list: string): Promise<Locator> {
    const details = page.locator(`[data-pool="default"] [data-${list}]`);
    await details.locator('summary').click();
    return details.locator('dd');
  }

  it('shows of each standby how far behind it is, in time and in bytes, among the hosts and among the replicas', async () => {
    const [primary, standby] = cluster.nodes as [ClusterNode, ClusterNode];
    await using application = await startConsoleApplication({
      databaseUrl: cluster.url,
      database: { size: 4, hostRecheckMs: 200, replicas: { url: standby.urlOf(), minIdle: 1 } },
    });
    const pool = application.application.get<DatabasePool>(getDbPoolToken());
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page, complaints } = opened;
    const hosts = await unfolded(page, 'hosts');
    const replicas = await unfolded(page, 'replicas');
    /** Replicas are looked at when somebody asks how the database is. */
    const shown = async (): Promise<string[]> => {
      await pool.ping();
      return [...(await hosts.allInnerTexts()), ...(await replicas.allInnerTexts())];
    };
    await expect
      .poll(shown, { timeout: 30_000 })
      .toEqual([
        expect.stringMatching(/^primary; \d open$/),
        'standby, up to date; 0 open',
        expect.stringMatching(/^standby, up to date; 0 of \d connections? in use$/),
      ]);

    await standby.ask('select pg_wal_replay_pause()');
    await vi.waitFor(async () => {
      const { rows } = await standby.ask('select pg_get_wal_replay_pause_state() as state');
      expect(rows).toEqual([{ state: 'paused' }]);
    }, 20_000);
    await primary.ask('create table written as select generate_series(1, 100000)');
    const behind = String.raw`standby, \d+(\.\d)? m?s \(\d\.\d MB\) behind`;
    await expect
      .poll(shown, { timeout: 30_000 })
      .toEqual([
        expect.stringMatching(/^primary; \d open$/),
        expect.stringMatching(new RegExp(`^${behind}; 0 open$`)),
        expect.stringMatching(new RegExp(`^${behind}(, not read from)?; 0 of \\d connections? in use$`)),
      ]);

    await standby.ask('select pg_wal_replay_resume()');
    await expect.poll(async () => (await shown())[1], { timeout: 30_000 }).toBe('standby, up to date; 0 open');
    expect(complaints).toEqual([]);
  });

  it('shows who holds a connection to a replica, with the replica, and takes it away', async () => {
    const [, standby] = cluster.nodes as [ClusterNode, ClusterNode];
    await using application = await startConsoleApplication({
      databaseUrl: cluster.url,
      database: { size: 3, maxOverflow: 0, replicas: { url: standby.urlOf(), waitMs: 10_000 } },
      console: { allowedActions: ['terminate'] },
    });
    const pool = application.application.get<DatabasePool>(getDbPoolToken());
    const replicas = application.application.get<Kysely<unknown>>(getReplicaDbToken());
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page, complaints } = opened;
    await expect.poll(() => page.locator('#connection').innerText()).toBe('Live');
    const transaction = await replicas.startTransaction().execute();
    await sql`select 'what is held' as what`.execute(transaction);
    const holder = pool.holders().find(({ inTransaction }) => inTransaction);
    expect(holder?.replica).toMatch(/:\d+$/);

    const panel = page.locator('[data-pool="default"]');
    const row = panel.locator('.holders tbody tr');
    await expect.poll(() => row.count(), { timeout: 30_000 }).toBe(1);
    expect(await row.locator('[data-column="Connection"]').innerText()).toBe(
      `#${holder?.connection} · replica ${holder?.replica} · backend ${holder?.serverId}`,
    );
    expect(await row.locator('[data-column="Doing"]').innerText()).toContain("select 'what is held' as what");
    // The cells are those of the database's own connections.
    expect(await panel.locator('.cells .cell').count()).toBe(3);
    expect(await panel.locator('.cells [data-kind="transaction"]').count()).toBe(0);

    await row.getByRole('button', { name: `Terminate connection ${holder?.connection}` }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Terminate' }).click();
    await expect.poll(() => row.count(), { timeout: 30_000 }).toBe(0);
    expect(pool.holders().some(({ inTransaction }) => inTransaction)).toBe(false);
    await transaction.rollback().execute();
    expect(complaints).toEqual([]);
  });
});
