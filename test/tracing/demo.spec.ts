import type { ShownTrace } from '../../apps/demo/src/traces/trace-store.js';
import { hasBrowser, openPage, startBrowser } from '#test/support/browser.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { startDemo, type Demo } from '#test/support/demo.js';

let database: TestDatabase;
let demo: Demo;
beforeAll(async () => {
  database = await createTestDatabase();
  demo = await startDemo({ DATABASE_URL: database.url, OTEL: '1', DEMO_FAULTS: '1' });
});
afterAll(async () => {
  await demo.stop();
  await database.drop();
});

async function newestTraces(): Promise<ShownTrace[]> {
  return (await (await fetch(`${demo.shop}/traces/newest`)).json()) as ShownTrace[];
}

/** The trace of one request, once it is whole. */
async function traceOf(name: string): Promise<ShownTrace> {
  return vi.waitFor(async () => {
    const found = (await newestTraces()).find(({ spans }) => spans.some((span) => span.name === name));
    return found ?? Promise.reject(new Error(`no trace with ${name}`));
  });
}

describe('the demo with OTEL=1', () => {
  it('shows that a request waited for a connection, for how long, and behind whose transaction', async () => {
    const inUse = async (): Promise<void> => {
      const metrics = await (await fetch(`${demo.shop}/metrics`)).text();
      const of = (name: string): string | undefined => new RegExp(`^${name}{[^}]*} (\\d+)`, 'm').exec(metrics)?.[1];
      expect(of('db_pool_in_use')).toBe(of('db_pool_max'));
    };
    const waited = ({ spans }: ShownTrace): ShownTrace['spans'][number] | undefined =>
      spans.find(({ name }) => name.startsWith('acquire'));
    // On a busy machine the transactions may be over before the request comes: then it is tried once more.
    const trace = await vi.waitFor(async () => {
      // Its connections are open and its statements known: what is waited for is the transactions alone.
      const slow = fetch(`${demo.shop}/faults/slow-transactions`, { method: 'POST' });
      await vi.waitFor(inUse);
      expect((await fetch(`${demo.shop}/orders/42`)).status).toBe(200);
      await slow;
      const found = await traceOf('GET /orders/:id');
      expect(waited(found)?.ms).toBeGreaterThanOrEqual(200);
      return found;
    });
    const root = trace.spans.find(({ name }) => name === 'GET /orders/:id');
    const wait = waited(trace);
    expect(wait).toMatchObject({
      name: 'acquire default',
      parent: root?.id,
      attributes: {
        'nestjs_pooling.acquire.reason': 'queue',
        'nestjs_pooling.acquire.held_by': 'FaultsController.holdConnections',
      },
    });
    const statement = trace.spans.find(({ kind }) => kind === 'client');
    expect(statement).toMatchObject({ name: 'SELECT orders customers order_lines products', parent: root?.id });
    expect(wait?.links).toHaveLength(1);
    const behind = (await newestTraces()).find(({ id }) => id === wait?.links[0]);
    expect(behind?.spans.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['POST /faults/slow-transactions', 'transaction']),
    );
  });

  it('shows each try of a request to the carrier within the request that asked for it', async () => {
    await fetch(`${demo.shop}/orders/1/shipping`);
    const trace = await traceOf('GET /orders/:id/shipping');
    const root = trace.spans.find(({ name }) => name === 'GET /orders/:id/shipping');
    const tries = trace.spans.filter(({ attributes }) => attributes['url.full'] !== undefined);
    expect(tries.length).toBeGreaterThan(0);
    expect(tries.every(({ parent }) => parent === root?.id)).toBe(true);
  });

  it.skipIf(!hasBrowser)('has a page that draws a trace (needs chromium)', async () => {
    await fetch(`${demo.shop}/orders/42`);
    const trace = await traceOf('GET /orders/:id');
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using watched = await openPage(browser, `${demo.shop}/traces#${trace.id}`);
    const { page } = watched;
    await page.locator('main .span').first().waitFor();
    expect(await page.locator('main .span').count()).toBe(trace.spans.length);
    await page.locator('main .span', { hasText: 'SELECT orders' }).click();
    expect(await page.locator('main dl:visible').last().textContent()).toContain('db.query.text');
    expect(watched.complaints).toEqual([]);
  });
});
