import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { hasBrowser, openPage, startBrowser } from '#test/support/browser.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { startDemo, type Demo } from '#test/support/demo.js';

const LEAK_DETECTION_MS = 1_000;
/** What the demo is promised to take at most, after `leakDetectionMs`, to name who leaks. */
const NAMED_WITHIN_MS = 10_000;
/** Connections of the demo's pool. */
const MAX = 15;
const HANDLER = 'FaultsController.forgetToRelease';

/** `faults.controller.ts:16`, as it stands in the source. */
function positionOfTheMistake(): string {
  const source = readFileSync(new URL('../../apps/demo/src/faults/faults.controller.ts', import.meta.url), 'utf8');
  const lines = source.split('\n');
  const handler = lines.findIndex((line) => line.includes('forgetToRelease('));
  const acquire = lines.findIndex((line, index) => index > handler && line.includes('this.pool.connect()'));
  return `faults.controller.ts:${acquire + 1}`;
}

describe('a handler that forgets to release connections is named', { timeout: 120_000 }, () => {
  const position = positionOfTheMistake();
  let database: TestDatabase;
  let demo: Demo;
  let browser: Browser | undefined;
  let forgotAt: number;

  beforeAll(async () => {
    database = await createTestDatabase();
    demo = await startDemo({
      DATABASE_URL: database.url,
      DEMO_FAULTS: '1',
      LEAK_DETECTION_MS: String(LEAK_DETECTION_MS),
    });
    if (hasBrowser) browser = await startBrowser();
    const leaks = Array.from({ length: MAX }, () => fetch(`${demo.shop}/faults/leak`, { method: 'POST' }));
    expect((await Promise.all(leaks)).map(({ status }) => status)).toEqual(Array(MAX).fill(200));
    forgotAt = performance.now();
  });

  afterAll(async () => {
    await browser?.close();
    await demo.stop();
    await database.drop();
  });

  /** Waits for a sight within the promised time. */
  async function within<Sight>(sight: () => Promise<Sight>): Promise<Sight> {
    const seen = await sight();
    expect(performance.now() - forgotAt).toBeLessThan(LEAK_DETECTION_MS + NAMED_WITHIN_MS);
    return seen;
  }

  // All at the same time: each within ten seconds of the same moment.
  it.concurrent('in the log', async ({ expect }) => {
    const [warning = ''] = await within(() =>
      // On a busy machine, what the demo does when it starts may be warned of as well.
      demo.child.prints(
        new RegExp(`default: connection \\d+, acquired by ${HANDLER} .* has not been released\\n(?: +at .*\\n)+`),
      ),
    );
    expect(warning).toContain(`${position}:`);
  });

  it.concurrent('in the error of the request that starves', async ({ expect }) => {
    const answer = await within(() => fetch(`${demo.shop}/orders/42`));
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
    const [error = ''] = await demo.child.prints(/default: no connection within 5000 ms .*/);
    expect(error).toContain(`(${MAX} of ${MAX} in use`);
    expect(error).toMatch(new RegExp(`Longest held: \\d+\\.\\d s by ${HANDLER} \\(${position}\\)`));
    expect(error).toContain('A lease was reported as leaked: release it in a finally block.');
  });

  it.concurrent('in /metrics', async ({ expect }) => {
    const series = `db_pool_leaked_connections{pool="default",handler="${HANDLER}",position="${HANDLER} (${position})"}`;
    await within(() =>
      expect
        .poll(async () => (await fetch(`${demo.shop}/metrics`)).text(), { interval: 250 })
        .toContain(`${series} ${MAX}`),
    );
  });

  it.skipIf(!hasBrowser)('on the console (needs chromium)', { concurrent: true }, async ({ expect }) => {
    await using opened = await openPage(browser as Browser, `${demo.shop}/pools`);
    const row = opened.page.locator('[data-pool="default"] tr[data-kind="leaked"]').first();
    await within(() => row.waitFor());
    const text = await row.innerText();
    expect(text).toContain(HANDLER);
    expect(text).toContain(position);
    expect(text).toContain('SELECT count(*)::int AS orders FROM orders');
    await row.getByText('Stack').click();
    expect(await row.locator('pre').innerText()).toContain(`${position}:`);
  });

  it('until the connections come back', async () => {
    await fetch(`${demo.shop}/faults/release`, { method: 'POST' });
    await demo.child.prints(/connection \d+ was released after all, after \d+\.\d s/);
    expect((await fetch(`${demo.shop}/orders/42`)).status).toBe(200);
    expect(await (await fetch(`${demo.shop}/metrics`)).text()).not.toContain('db_pool_leaked_connections{');
  });
});
