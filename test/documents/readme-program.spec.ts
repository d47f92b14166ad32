import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runTypeScript, type Child } from '#test/support/child.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { answerJson, CountingServer, refusedPort } from '#test/support/http-server.js';
import { blocksOf, programsOf, ROOT } from './blocks.js';
import { listDocuments } from './documents.js';

/** Where packages are found, and no tool looks for sources. */
const SCRATCH = join(ROOT, 'node_modules/.cache');

describe('the program of the README', { timeout: 120_000 }, () => {
  let database: TestDatabase;
  let carrier: CountingServer;
  let folder: string;
  let child: Child;
  let address: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    carrier = await CountingServer.listen(({ url }, response) => answerJson(response, { status: `at ${url}` }));
    mkdirSync(SCRATCH, { recursive: true });
    folder = mkdtempSync(join(SCRATCH, 'readme-program-'));
    const [program] = programsOf(blocksOf(listDocuments().find(({ name }) => name === 'README.md')!));
    for (const [name, { code }] of program!) {
      mkdirSync(join(folder, dirname(name)), { recursive: true });
      writeFileSync(join(folder, name), code);
    }
    const port = await refusedPort();
    address = `http://127.0.0.1:${port}`;
    child = runTypeScript(pathToFileURL(join(folder, 'src/main.ts')), {
      env: { DATABASE_URL: database.url, CARRIER_URL: carrier.url, PORT: String(port) },
    });
    await child.prints(/Nest application successfully started/);
    await vi.waitFor(() => fetch(address));
  }, 120_000);

  afterAll(async () => {
    child?.process.kill('SIGKILL');
    await child?.ended;
    await carrier?.close();
    await database?.drop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('is healthy', async () => {
    const answer = await fetch(`${address}/health`);
    expect(answer.status, child.output()).toBe(200);
    expect(await answer.json()).toMatchObject({ status: 'ok', info: { database: { status: 'up' } } });
    for (const path of ['live', 'ready']) expect((await fetch(`${address}/health/${path}`)).status).toBe(200);
  });

  it('tells its metrics and shows its pools', async () => {
    const metrics = await fetch(`${address}/metrics`);
    expect(metrics.headers.get('content-type')).toContain('text/plain');
    expect(await metrics.text()).toContain('db_pool_size{pool="default"}');
    const console = await fetch(`${address}/pools`);
    expect(console.headers.get('content-type')).toContain('text/html');
  });

  it('answers from its database and its carrier', async () => {
    await database.query('create table orders (id int primary key, item text not null)');
    await database.query("insert into orders values (7, 'chair')");
    const found = await fetch(`${address}/orders/7`);
    expect(await found.json()).toEqual({ id: 7, item: 'chair', shipment: { status: 'at /shipments/7' } });
    expect((await fetch(`${address}/orders/8`)).status).toBe(404);
  });

  it('ends on SIGTERM with exit code 0', async () => {
    child.process.kill('SIGTERM');
    expect(await child.ended, child.output()).toEqual({ code: 0, signal: null });
  });
});
