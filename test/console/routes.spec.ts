import { request as httpRequest } from 'node:http';
import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { ConsoleOptions } from 'nestjs-pooling';
import { startConsoleApplication, type ConsoleApplication } from '#test/support/console-application.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

/** A guard that needs nothing, and lets in who says the word. */
@Injectable()
class WordGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string> }>();
    return headers['x-word'] === 'please';
  }
}

describe.each(['express', 'fastify'] as const)('the routes of the console (%s)', (adapter) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createTestDatabase();
  });

  afterAll(() => database.drop());

  function start(options: ConsoleOptions = {}, globalPrefix?: string, cors = false): Promise<ConsoleApplication> {
    return startConsoleApplication({
      databaseUrl: database.url,
      console: options,
      adapter,
      cors,
      ...(globalPrefix === undefined ? {} : { globalPrefix }),
    });
  }

  function order(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${url}/pools/actions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-pool-console': '1', ...headers },
      body: JSON.stringify(body),
    });
  }

  it('answer with a strict policy, and nothing is kept by anybody', async () => {
    await using application = await start();
    const page = await fetch(`${application.url}/pools`);
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    expect(page.headers.get('cache-control')).toBe('no-store');
    expect(page.headers.get('x-content-type-options')).toBe('nosniff');
    expect(await page.text()).not.toMatch(/https?:\/\/|<script>|style=/);
    expect((await fetch(`${application.url}/pools/app.js`)).headers.get('content-type')).toMatch(/^text\/javascript/);
    expect((await fetch(`${application.url}/pools/uplot.js`)).status).toBe(200);
  });

  it('hold no other file', async () => {
    await using application = await start();
    for (const path of ['package.json', '..%2fpage-files.ts', '%2e%2e%2flive-feed.ts', 'index.html', 'constructor']) {
      expect([path, (await fetch(`${application.url}/pools/${path}`)).status]).toEqual([path, 404]);
    }
  });

  it('are all behind the guards', async () => {
    await using application = await start({ guards: [WordGuard], allowedActions: ['suspend'], path: 'inner/pools' });
    const url = `${application.url}/inner`;
    const word = { 'x-word': 'please' };
    for (const path of ['pools', 'pools/events', 'pools/size', 'pools/app.js']) {
      expect([path, (await fetch(`${url}/${path}`)).status]).toEqual([path, 403]);
    }
    expect((await order(url, { action: 'suspend', pool: 'default' })).status).toBe(403);
    expect((await fetch(`${url}/pools`, { headers: word })).status).toBe(200);
    expect((await order(url, { action: 'suspend', pool: 'default' }, word)).status).toBe(200);
  });

  it('refuse what is not allowed, not understood, or not there', async () => {
    await using application = await start({ allowedActions: ['resize', 'terminate'] });
    const refused = async (body: unknown): Promise<readonly [number, string]> => {
      const answer = await order(application.url, body);
      return [answer.status, ((await answer.json()) as { message: string }).message];
    };
    const pool = 'default';
    expect(await refused({ action: 'suspend', pool })).toEqual([403, 'suspend is not among allowedActions']);
    expect(await refused({ action: 'explode', pool })).toEqual([400, 'unknown action']);
    expect(await refused([])).toEqual([400, 'unknown action']);
    expect(await refused({ action: 'resize', pool: 'other', size: 1, maxOverflow: 0 })).toEqual([
      404,
      'no pool of this name',
    ]);
    expect((await refused({ action: 'resize', pool, size: 0, maxOverflow: 0 }))[1]).toMatch(/^size: an integer from 1/);
    expect((await refused({ action: 'resize', pool, size: 1, maxOverflow: 1e9 }))[1]).toMatch(/^maxOverflow: /);
    expect(await refused({ action: 'terminate', pool })).toEqual([400, 'connection: its number is needed']);
    expect(await refused({ action: 'terminate', pool, connection: 99 })).toEqual([404, 'nobody holds it any more']);
  });

  it('take orders from their own page only', async () => {
    await using application = await start({ allowedActions: ['suspend', 'resume'] });
    const { url } = application;
    const body = { action: 'suspend', pool: 'default' };
    const statusOf = async (headers: Record<string, string>): Promise<number> =>
      (await order(url, body, headers)).status;
    expect(await statusOf({ 'x-pool-console': '' })).toBe(403);
    expect(await statusOf({ origin: 'https://evil.example' })).toBe(403);
    expect(await statusOf({ origin: 'null' })).toBe(403);
    expect(await statusOf({ origin: url, 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await statusOf({ origin: url, 'sec-fetch-site': 'same-site' })).toBe(403);
    expect(await statusOf({ origin: url })).toBe(200);
    expect(await statusOf({ origin: 'https://shop.example', 'sec-fetch-site': 'same-origin' })).toBe(200);
    expect(await statusOf({ origin: url, 'sec-fetch-site': 'same-origin' })).toBe(200);
  });

  /** Node's own client: `fetch` doesn't let its caller choose the Host header. */
  function statusFrom(url: string, method: 'GET' | 'POST', headers: Record<string, string>): Promise<number> {
    const body = JSON.stringify({ action: 'suspend', pool: 'default' });
    return new Promise((resolve, reject) => {
      const sent = httpRequest(
        url,
        { method, headers: { 'content-type': 'application/json', 'x-pool-console': '1', ...headers } },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        },
      );
      sent.on('error', reject);
      sent.end(method === 'POST' ? body : undefined);
    });
  }

  it('take no order from a site that sends the header of a proxy, or whose name points here', async () => {
    await using application = await start({ allowedActions: ['suspend'] });
    const { host } = new URL(application.url);
    const order = (headers: Record<string, string>): Promise<number> =>
      statusFrom(`${application.url}/pools/actions`, 'POST', headers);
    expect(await order({ host, origin: 'http://evil.example', 'x-forwarded-host': 'evil.example' })).toBe(403);
    expect(await order({ host: 'evil.example:3000', origin: 'http://evil.example:3000' })).toBe(403);
    expect(await order({ host, origin: 'http://10.0.0.7' })).toBe(403);
    expect(await order({ host: 'localhost:3000', origin: 'http://localhost:3000' })).toBe(200);
    expect(await order({ host: '[::1]:3000', origin: 'http://[::1]:3000' })).toBe(200);
  });

  it('can be told their hosts, and are served under no other', async () => {
    await using application = await start(
      { allowedActions: ['suspend'], allowedHosts: ['Pools.example', 'inner.example:8080'] },
      'behind/a/proxy',
    );
    const order = (headers: Record<string, string>): Promise<number> =>
      statusFrom(`${application.url}/pools/actions`, 'POST', headers);
    const { host } = new URL(application.url);
    expect(await order({ host: 'pools.example', origin: 'http://pools.example' })).toBe(200);
    expect(await order({ host, origin: 'http://pools.example:81' })).toBe(200);
    expect(await order({ host: 'inner.example:8080', origin: 'http://inner.example:8080' })).toBe(200);
    expect(await order({ host: 'inner.example:8081', origin: 'http://inner.example:8081' })).toBe(403);
    expect(await order({ host: 'pools.example', origin: 'http://evil.example' })).toBe(403);
    for (const path of ['pools', 'pools/size', 'pools/app.js']) {
      const url = `${application.url}/${path}`;
      expect([path, await statusFrom(url, 'GET', { host: 'evil.example' })]).toEqual([path, 403]);
      expect([path, await statusFrom(url, 'GET', { host: 'pools.example' })]).toEqual([path, 200]);
      expect([path, await statusFrom(url, 'GET', { host })]).toEqual([path, 200]);
    }
    expect(await statusFrom(`${application.url}/pools/events`, 'GET', { host: 'evil.example' })).toBe(403);
  });

  it('let no other site read them, where the application’s own answers may be read by all', async () => {
    await using application = await start({}, undefined, true);
    const headers = { origin: 'http://evil.example' };
    const allowed = async (path: string): Promise<string | null> => {
      const answer = await fetch(application.url + path, { headers });
      await answer.body?.cancel();
      return answer.headers.get('access-control-allow-origin');
    };
    expect(await allowed('/orders')).toBe('*');
    for (const path of ['/pools', '/pools/events', '/pools/size', '/pools/app.js']) {
      expect([path, await allowed(path)]).toEqual([path, null]);
    }
  });

  it('are not there unless they are asked for', async () => {
    await using application = await startConsoleApplication({ databaseUrl: database.url, console: false, adapter });
    expect((await fetch(`${application.url}/pools`)).status).toBe(404);
  });

  it('let the application end while somebody watches', async () => {
    const application = await start();
    const watching = await fetch(`${application.url}/pools/events`);
    expect(watching.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const text = watching.text();
    await application[Symbol.asyncDispose]();
    expect(await text).toContain('event: hello\ndata: {');
  });

  it('show no password', async () => {
    const address = new URL(database.url);
    address.password = 'correct-horse';
    await using application = await startConsoleApplication({ databaseUrl: address.href, adapter });
    const watching = await fetch(`${application.url}/pools/events`);
    const reader = (watching.body as ReadableStream<Uint8Array>).getReader();
    const { value } = await reader.read();
    await reader.cancel();
    const hello = new TextDecoder().decode(value);
    expect(hello).toContain('"acquireTimeoutMs":30000');
    expect(hello).not.toContain('correct-horse');
    expect(hello).not.toContain('postgres://');
  });
});
