/** How far behind its replicas are, on the page of the console. Real replication, whose replay is stopped by hand. */
import type { Browser, Locator, Page } from 'playwright-core';
import { DatabasePool, getDbPoolToken } from 'nestjs-pooling';
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
});
