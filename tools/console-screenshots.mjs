/** `node tools/console-screenshots.mjs --help` tells. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { number, readCommandLine, text } from './command-line.mjs';

const { values: options } = readCommandLine({
  usage: 'node tools/console-screenshots.mjs [options]',
  about:
    'Takes the screenshots of the console in docs/console, from the running demo:\n' +
    'OTEL=1 DEMO_FAULTS=1 LEAK_DETECTION_MS=5000 SLOW_QUERY_MS=5 npm start -- --cluster',
  options: {
    url: text('address', 'where the shop is', { fallback: 'http://127.0.0.1:3000' }),
    seconds: number('how long it is under load before, in seconds', { fallback: 90, least: 20 }),
  },
});
const folder = join(import.meta.dirname, '../docs/console');

/** A few dozen requests a second, so that there is something to see. */
function request(number) {
  const order = { customerId: 7, lines: [{ productId: 1 + (number % 600), quantity: 1 }] };
  const requests = [
    { path: `/orders/${1 + (number % 9_000)}` },
    { path: '/products?search=oak' },
    { path: `/orders/${1 + (number % 900)}/shipping` },
    { path: '/orders', order },
  ];
  const { path, order: json } = requests[number % requests.length];
  const init = json && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) };
  return fetch(`${options.url}${path}`, init).then((answer) => answer.arrayBuffer());
}

async function load(untilAt) {
  for (let number = 0; Date.now() < untilAt; number++) {
    // The demo's carrier fails now and then: that is part of what is shown.
    void request(number).catch(() => {});
    await pause(5 + Math.random() * 25 * (1 + Math.sin(Date.now() / 7_000)));
  }
}

/** The statements, and the plan of the slowest of those that have one. */
async function screenshotStatements(page) {
  const statements = page.locator('[data-pool="default"] [data-statements]');
  await statements.locator('summary').first().click();
  await statements.screenshot({ path: join(folder, 'statements.png') });
}

/** What each server is, where reads went, and how far behind the standbys are. */
async function screenshotHosts(page) {
  const lists = ['data-hosts', 'data-replicas'].map((name) => page.locator(`[data-pool="default"] [${name}]`));
  for (const list of lists) await list.locator('summary').click();
  const [hosts, replicas] = await Promise.all(lists.map((list) => list.boundingBox()));
  const { x, y, width } = hosts;
  const clip = { x, y: y + (await page.evaluate('scrollY')), width, height: replicas.y + replicas.height - y };
  await page.screenshot({ path: join(folder, 'hosts.png'), fullPage: true, clip });
}

const VIEWS = {
  light: { viewport: { width: 1280, height: 1000 }, colorScheme: 'light' },
  dark: { viewport: { width: 1280, height: 1000 }, colorScheme: 'dark' },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: 'light', deviceScaleFactor: 2 },
};

// What is slow first, all at once, is the first to be explained.
await Promise.all(Array.from({ length: 40 }, () => fetch(`${options.url}/products?search=oak`)));
const endsAt = Date.now() + options.seconds * 1_000;
const loading = load(endsAt + 15_000);
await pause((options.seconds * 1_000) / 2);
for (let leak = 0; leak < 2; leak++) await fetch(`${options.url}/faults/leak`, { method: 'POST' });
await pause(endsAt - Date.now());
mkdirSync(folder, { recursive: true });
const executablePath = execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim();
const browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
for (const [name, view] of Object.entries(VIEWS)) {
  const context = await browser.newContext(view);
  const page = await context.newPage();
  await page.goto(`${options.url}/pools`);
  await page.locator('tr[data-kind="leaked"]').first().waitFor();
  await pause(2_500);
  await page.screenshot({ path: join(folder, `${name}.png`) });
  if (name === 'light') {
    await screenshotStatements(page);
    await screenshotHosts(page);
  }
  await context.close();
}
await browser.close();
await fetch(`${options.url}/faults/release`, { method: 'POST' });
await loading;
