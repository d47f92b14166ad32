import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { hasProgram, run } from './tools.js';

/** Whether there is a browser; tests that need one are skipped without it, and say so. */
export const hasBrowser = await hasProgram('chromium', 'chromium');

/** Starts Debian's Chromium. */
export async function startBrowser(): Promise<Browser> {
  const { stdout } = await run('sh', ['-c', 'command -v chromium']);
  // Chromium refuses to sandbox what root runs.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: stdout.trim(), args });
}

/** A page, and everything that it complains about. */
export interface WatchedPage extends AsyncDisposable {
  readonly page: Page;
  /** Errors of scripts, of the browser's console, and violations of the Content-Security-Policy. */
  readonly complaints: readonly string[];
}

/** Opens an address in a browser window of its own. */
export async function openPage(
  browser: Browser,
  address: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  await page.goto(address);
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
}
