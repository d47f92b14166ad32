import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import axe from 'axe-core';
import type { Browser, Locator, Page } from 'playwright-core';
import { hasBrowser, openPage, startBrowser } from '#test/support/browser.js';
import {
  HOSTILE_NAME,
  startConsoleApplication,
  type ConsoleApplication,
  type ConsoleApplicationOptions,
} from '#test/support/console-application.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

const EVERY_ACTION = ['expireAll', 'suspend', 'resume', 'resize', 'terminate'] as const;

/** What moves in a panel. */
function figure(page: Page, pool: string, name: string): Locator {
  return page.locator(`[data-pool="${pool}"] [data-figure="${name}"] dd`);
}

/** Passes everything below a path on to a server, as a reverse proxy does. */
async function startProxy(path: string, target: string): Promise<{ url: string; server: Server }> {
  const { hostname, port } = new URL(target);
  const server = createServer((incoming, answer) => {
    const inner = (incoming.url ?? '').slice(path.length);
    const headers = { ...incoming.headers, host: 'inner.example' };
    const passed = httpRequest({ hostname, port, path: inner, method: incoming.method, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    answer.on('close', () => passed.destroy());
    incoming.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, server };
}

describe.skipIf(!hasBrowser)('the console in a browser (needs chromium)', { timeout: 120_000 }, () => {
  let browser: Browser;
  let database: TestDatabase;

  beforeAll(async () => {
    [browser, database] = await Promise.all([startBrowser(), createTestDatabase()]);
  });

  afterAll(async () => {
    await browser.close();
    await database.drop();
  });

  function start(options: Partial<ConsoleApplicationOptions> = {}): Promise<ConsoleApplication> {
    return startConsoleApplication({ databaseUrl: database.url, ...options });
  }

  it.each(['express', 'fastify'] as const)('shows cells and charts that move under load (%s)', async (adapter) => {
    await using application = await start({ adapter, database: { size: 4, maxOverflow: 0 } });
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page, complaints } = opened;
    await expect.poll(() => page.locator('#connection').innerText()).toBe('Live');
    const cells = page.locator('[data-pool="default"] .cells .cell');
    const chart = page.getByRole('img', { name: /^Connections, last ten minutes/ }).first();
    const screenshot = (): Promise<string> =>
      chart.locator('canvas').evaluate((canvas: unknown) => (canvas as { toDataURL(): string }).toDataURL());
    await expect.poll(() => cells.count()).toBe(4);
    // The application looks at its database when it starts.
    await expect.poll(() => figure(page, 'default', 'inUse').innerText()).toBe('0 of 4');
    const quiet = await screenshot();

    const load = application.load(8);
    await expect.poll(() => figure(page, 'default', 'inUse').innerText()).toBe('4 of 4');
    await expect.poll(() => figure(page, 'default', 'waiting').innerText()).not.toBe('0');
    await expect.poll(() => page.locator('.cells [data-kind="in-use"]').count()).toBe(4);
    expect(await chart.getAttribute('aria-label')).toMatch(/in use [1-4]$/);
    expect(await page.title()).toMatch(/^\(\d+ waiting\) Pools$/);
    expect(await screenshot()).not.toBe(quiet);

    await load[Symbol.asyncDispose]();
    await expect.poll(() => figure(page, 'default', 'inUse').innerText()).toBe('0 of 4');
    expect(complaints).toEqual([]);
  });

  it('shows the processes that share a budget', async () => {
    await using application = await start({
      database: { applicationName: 'shop', size: 4, budget: { connections: 10, checkMs: 200 } },
    });
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page, complaints } = opened;
    const fleet = page.locator('[data-pool="default"] [data-fleet]');
    await expect
      .poll(() => fleet.locator('summary').innerText())
      .toMatch(/^Budget: 1 of 10 connections, 1 process; this one \(\w{6}\) may have 9$/);
    await fleet.locator('summary').click();
    expect(await fleet.locator('dt').innerText()).toMatch(/^\w{6} \(this one\)$/);
    expect(await fleet.locator('dd').innerText()).toMatch(/^1 open, holds \d, wants \d$/);
    expect(complaints).toEqual([]);
  });

  it('shows what each of several hosts is', async () => {
    const { hostname, port } = new URL(database.url);
    const hosts = [
      { host: hostname, port: 1 },
      { host: hostname, port: Number(port) },
    ];
    await using application = await start({ database: { hosts, size: 4 } });
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page, complaints } = opened;
    const panel = page.locator('[data-pool="default"] [data-hosts]');
    await expect
      .poll(() => panel.locator('summary').innerText(), { timeout: 10_000 })
      .toBe(`Hosts: 2, connected to ${hostname}:${port}; 0 fail-overs`);
    await panel.locator('summary').click();
    expect(await panel.locator('dt').allInnerTexts()).toEqual([`${hostname}:1`, `${hostname}:${port}`]);
    await expect
      .poll(() => panel.locator('dd').allInnerTexts(), { timeout: 10_000 })
      .toEqual(['down; 0 open', expect.stringMatching(/^primary; \d open$/)]);
    expect(complaints).toEqual([]);
  });

  it('shows the replicas, and where reads went', async () => {
    const { hostname: host, port } = new URL(database.url);
    await using application = await start({
      database: { size: 4, replicas: { hosts: [{ host, port: Number(port) }] } },
    });
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page, complaints } = opened;
    const replicas = page.locator('[data-pool="default"] [data-replicas]');
    await expect
      .poll(() => replicas.locator('summary').innerText(), { timeout: 10_000 })
      .toBe('Replicas: 0 of 1 fit; reads: 0 from replicas, 0 after a wait, 0 from the primary');
    await replicas.locator('summary').click();
    expect(await replicas.locator('dt').innerText()).toBe(`${host}:${port}`);
    await expect
      .poll(() => replicas.locator('dd').innerText(), { timeout: 10_000 })
      .toBe('primary, not read from; 0 of 0 connections in use');
    expect(complaints).toEqual([]);
  });

  it('does not jump while connections come and go', async () => {
    await using application = await start();
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page } = opened;
    await using _load = application.load(12);
    await expect.poll(() => figure(page, 'default', 'leases').innerText()).not.toBe('0');
    const shift = await page.evaluate<number>(`new Promise((resolve) => {
      let moved = 0;
      const observer = new PerformanceObserver((list) => {
        for (const { value } of list.getEntries()) moved += value;
      });
      observer.observe({ type: 'layout-shift' });
      setTimeout(() => resolve(moved), 4_000);
    })`);
    expect(shift).toBeLessThan(0.01);
  });

  it('shows a leak with its handler, its position, its stack and the statement, without parameter values', async () => {
    await using application = await start({ database: { leakDetectionMs: 200 } });
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page, complaints } = opened;
    await application.call('GET', '/orders/export');
    const row = page.locator('tr[data-kind="leaked"]');
    await row.waitFor();
    expect(await row.innerText()).toMatch(
      /not given back[\s\S]*OrdersController\.exportAll\s+console-application\.ts:\d+/,
    );
    expect(await row.locator('code').innerText()).toBe("select '<b>orders</b>' as export, $1::text as secret");
    await page.locator('button.cell[data-kind="leaked"]').click();
    expect(await row.locator('pre').innerText()).toMatch(
      /at OrdersController\.exportAll \(.*console-application\.ts:\d+:\d+\)/,
    );
    await expect
      .poll(() => page.locator('#events li[data-kind="leak"]').first().innerText())
      .toMatch(/default\s+connection \d+ is not given back: held for .* by OrdersController\.exportAll \(/);
    expect(await figure(page, 'default', 'leaks').innerText()).toBe('1');
    expect(await page.content()).not.toContain('parameter-value');
    expect(complaints).toEqual([]);
  });

  it('lets nothing that it shows become markup', async () => {
    await using application = await start({ hostilePool: true, database: { leakDetectionMs: 200 } });
    await application.call('GET', '/orders/export');
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page, complaints } = opened;
    await page.locator('tr[data-kind="leaked"]').waitFor();
    const titles = page.locator('#panels h2');
    await expect.poll(() => titles.allInnerTexts()).toContain(HOSTILE_NAME);
    expect(await page.locator('#contents').innerText()).toContain(HOSTILE_NAME);
    expect(await page.locator('img, td b b, td code b').count()).toBe(0);
    expect(await page.evaluate(`'injected' in window`)).toBe(false);
    expect(complaints).toEqual([]);
  });

  it('offers nothing to do unless it is allowed', async () => {
    await using application = await start({ database: { leakDetectionMs: 200 } });
    await application.call('GET', '/orders/export');
    await using opened = await openPage(browser, `${application.url}/pools`);
    await opened.page.locator('tr[data-kind="leaked"]').waitFor();
    expect(await opened.page.getByRole('button', { name: /Resize|Expire|Suspend|Resume|Terminate/ }).count()).toBe(0);
  });

  it('does what is allowed, and asks before', async () => {
    await using application = await start({
      console: { allowedActions: EVERY_ACTION },
      database: { size: 3, maxOverflow: 0, leakDetectionMs: 200 },
    });
    await application.call('GET', '/orders/export');
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page, complaints } = opened;
    const panel = page.locator('[data-pool="default"]');
    const dialog = page.getByRole('dialog');
    const state = panel.locator('.head .tag').first();
    const opener = (name: string): Locator => panel.getByRole('button', { name, exact: true });

    await opener('Suspend…').click();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    expect(await state.innerText()).toBe('running');
    await opener('Suspend…').click();
    await dialog.getByRole('button', { name: 'Suspend' }).click();
    await expect.poll(() => state.innerText()).toBe('suspended');
    expect(await opener('Suspend…').isVisible()).toBe(false);
    await opener('Resume').click();
    await expect.poll(() => state.innerText()).toBe('running');

    await opener('Resize…').click();
    expect(await dialog.getByLabel('Size').inputValue()).toBe('3');
    await dialog.getByLabel('Size').fill('5');
    await dialog.getByLabel('Overflow').fill('2');
    await dialog.getByRole('button', { name: 'Resize' }).click();
    await expect.poll(() => figure(page, 'default', 'inUse').innerText()).toBe('1 of 7');

    await application.call('GET', '/orders');
    await opener('Expire all…').click();
    await dialog.getByRole('button', { name: 'Expire all' }).click();
    await expect.poll(() => panel.locator('.closed').innerText()).toContain('expired 1');

    await page.locator('tr[data-kind="leaked"]').waitFor();
    await panel.getByRole('button', { name: /^Terminate connection \d+$/ }).click();
    await dialog.getByRole('button', { name: 'Terminate' }).click();
    await expect.poll(() => figure(page, 'default', 'inUse').innerText()).toBe('0 of 7');
    expect(await page.locator('#notice').innerText()).toMatch(
      /^Connection \d+ was taken from its holder and closed\.$/,
    );
    expect(complaints).toEqual([]);
  });

  it('works by keyboard alone', async () => {
    await using application = await start({
      console: { allowedActions: EVERY_ACTION },
      database: { leakDetectionMs: 200 },
    });
    await application.call('GET', '/orders/export');
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page } = opened;
    await page.locator('tr[data-kind="leaked"]').waitFor();
    const focused = (): Promise<string> => page.evaluate('document.activeElement.innerText');
    /** Goes on until something of this text has the focus. */
    const tabTo = async (text: RegExp): Promise<void> => {
      for (let steps = 0; steps < 40; steps++) {
        await page.keyboard.press('Tab');
        if (text.test(await focused())) return;
      }
      throw new Error(`no Tab leads to ${text}`);
    };
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Skip to the pools');
    await page.keyboard.press('Enter');
    await tabTo(/^Suspend…$/);
    await page.keyboard.press('Enter');
    await expect.poll(() => page.getByRole('dialog').isVisible()).toBe(true);
    await page.keyboard.press('Escape');
    await expect.poll(() => page.getByRole('dialog').isVisible()).toBe(false);
    expect(await focused()).toBe('Suspend…');
    await page.locator('button.cell[data-kind="leaked"]', { hasText: /s$/ }).waitFor();
    await tabTo(/^\d+s$/);
    await page.keyboard.press('Enter');
    expect(await focused()).toContain('OrdersController.exportAll');
    await expect.poll(() => page.locator('tr[data-kind="leaked"] pre').isVisible()).toBe(true);
    await tabTo(/^Terminate$/);
  });

  it.each([
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['on a phone', { colorScheme: 'light', viewport: { width: 390, height: 844 } }],
    ['dark on a phone', { colorScheme: 'dark', viewport: { width: 390, height: 844 } }],
  ] as const)('has no barrier that axe-core knows: %s', async (_name, look) => {
    await using application = await start({
      console: { allowedActions: EVERY_ACTION },
      database: { leakDetectionMs: 200, size: 3, maxOverflow: 2 },
      hostilePool: true,
    });
    await application.call('GET', '/orders/export');
    await application.call('GET', '/orders/shipping');
    await using _load = application.load(2);
    await using opened = await openPage(browser, `${application.url}/pools`, look);
    const { page, complaints } = opened;
    await page.locator('tr[data-kind="leaked"]').waitFor();
    for (const fold of await page.locator('summary:visible').all()) await fold.click();
    await page.getByLabel('for less than a second, too').first().check();
    await page.getByLabel('routine openings and closings, too').check();
    await expectNoBarriers(page);
    await page.getByRole('button', { name: 'Resize…' }).first().click();
    await expectNoBarriers(page);
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    expect(complaints).toEqual([]);
  });

  it('comes back by itself, and as it was, when the application starts again', async () => {
    const first = await start({ database: { size: 4, maxOverflow: 0 } });
    const port = Number(new URL(first.url).port);
    await using opened = await openPage(browser, `${first.url}/pools`);
    const { page } = opened;
    const connection = page.locator('#connection');
    await expect.poll(() => connection.getAttribute('data-state')).toBe('live');
    await first[Symbol.asyncDispose]();
    await expect.poll(() => connection.getAttribute('data-state')).toBe('lost');
    await using _second = await start({ port, database: { size: 6, maxOverflow: 0 } });
    await expect.poll(() => connection.innerText()).toBe('Live');
    await expect.poll(() => figure(page, 'default', 'inUse').innerText()).toBe('0 of 6');
    expect(await page.locator('[data-pool]').count()).toBe(1);
  });

  it.each(['/shop/api/pools', '/shop/api/pools/'])(
    'works under a prefix behind a proxy that adds one: %s',
    async (path) => {
      await using application = await start({ globalPrefix: 'api', console: { allowedActions: ['suspend'] } });
      const proxy = await startProxy('/shop', new URL(application.url).origin);
      try {
        await using opened = await openPage(browser, `${new URL(proxy.url).origin}${path}`);
        const { page, complaints } = opened;
        await expect.poll(() => page.locator('#connection').innerText()).toBe('Live');
        await page.getByRole('button', { name: 'Suspend…' }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'Suspend' }).click();
        await expect.poll(() => page.locator('.head .tag').first().innerText()).toBe('suspended');
        expect(complaints).toEqual([]);
      } finally {
        proxy.server.closeAllConnections();
        proxy.server.close();
      }
    },
  );

  it('says which pool a load calls for: the live one, or the one that is typed', async () => {
    await using application = await start();
    await using opened = await openPage(browser, `${application.url}/pools`);
    const { page } = opened;
    await page.getByText('Sizing calculator').click();
    const answer = page.locator('.answer');
    const load = application.load(3);
    await expect.poll(() => answer.innerText()).toMatch(/^\d+ connections?: .* in use on average/);
    expect(Number(await page.getByLabel('Acquires a second').inputValue())).toBeGreaterThan(1);
    await load[Symbol.asyncDispose]();
    await page.getByLabel('Acquires a second').fill('100');
    await page.getByLabel('Mean time in use, ms').fill('50');
    await page.getByLabel('Longest wait (p99), ms').fill('10');
    await expect.poll(() => answer.innerText()).toMatch(/^\d+ connections: 5 in use on average/);
    await page.getByLabel('Mean time in use, ms').fill('-1');
    await expect.poll(() => answer.innerText()).toContain('meanUseMs');
  });

  it('remembers the theme that was chosen', async () => {
    await using application = await start();
    await using opened = await openPage(browser, `${application.url}/pools`, { colorScheme: 'light' });
    const { page } = opened;
    const background = (): Promise<string> => page.evaluate('getComputedStyle(document.body).backgroundColor');
    const light = await background();
    await page.getByRole('button', { name: 'Theme: system' }).click();
    expect(await background()).toBe(light);
    await page.getByRole('button', { name: 'Theme: light' }).click();
    const dark = await background();
    expect(dark).not.toBe(light);
    await page.reload();
    expect(await background()).toBe(dark);
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.getByRole('button', { name: 'Theme: dark' }).click();
    expect(await background()).toBe(dark);
  });
});

/** Runs axe-core's rules in the page; the script comes from this side, past the page's own policy. */
async function expectNoBarriers(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const violations = await page.evaluate<string[]>(`(async () => {
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const { violations } = await axe.run(document, { runOnly: tags });
    return violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' | '));
  })()`);
  expect(violations).toEqual([]);
}
