/** `node tools/trace-screenshots.mjs --help` tells. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { readCommandLine, text } from './command-line.mjs';

const { values: options } = readCommandLine({
  usage: 'node tools/trace-screenshots.mjs [options]',
  about: 'Takes the pictures of traces in docs/tracing, from the running demo: OTEL=1 DEMO_FAULTS=1 npm start',
  options: { url: text('address', 'where the shop is', { fallback: 'http://127.0.0.1:3000' }) },
});
const folder = join(import.meta.dirname, '../docs/tracing');

async function traceOf(name) {
  for (;;) {
    const traces = await (await fetch(`${options.url}/traces/newest`)).json();
    const found = traces.find(({ spans }) => spans.some((span) => span.name === name));
    if (found !== undefined) return found.id;
    await pause(100);
  }
}

const order = { customerId: 7, lines: [{ productId: 11, quantity: 2 }] };
const placing = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(order) };
for (let n = 0; n < 8; n++) await fetch(`${options.url}/orders/${n + 1}`);
const slow = fetch(`${options.url}/faults/slow-transactions`, { method: 'POST' });
await pause(1_200);
await fetch(`${options.url}/orders`, placing);
await slow;
await fetch(`${options.url}/orders/1/shipping`);

mkdirSync(folder, { recursive: true });
const executablePath = execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim();
const browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
const context = await browser.newContext({ viewport: { width: 1280, height: 620 }, colorScheme: 'light' });
const page = await context.newPage();
for (const [picture, name] of [
  ['slow-request', 'POST /orders'],
  ['behind', 'POST /faults/slow-transactions'],
]) {
  await page.goto(`${options.url}/traces#${await traceOf(name)}`);
  await page.reload();
  await page.locator('main .span').first().waitFor();
  await pause(500);
  await page.screenshot({ path: join(folder, `${picture}.png`) });
}
await browser.close();
