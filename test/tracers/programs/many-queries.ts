/**
 * `QUERIES` queries and, with OpenTelemetry, requests of our HTTP client, in a process with a tracer. Prints as JSON how many
 * spans there were of each, and by how many bytes the heap has grown after the first fifth of the queries.
 */
import { createServer, type AddressInfo } from 'node:net';
import { createServer as createHttpServer } from 'node:http';
import { DatabasePool, HttpClient } from 'nestjs-pooling';
import type { SeenSpan } from './traced-queries.js';

const tracer = (
  globalThis as unknown as {
    tracer: { run<R>(name: string, fn: () => Promise<R>): Promise<R>; spans(): Promise<SeenSpan[]>; forget(): void };
  }
).tracer;
const total = Number(process.env['QUERIES']);
const url = process.env['DATABASE_URL'] as string;
const collect = (globalThis as { gc?: () => void }).gc as () => void;

const CALLERS = 16;
let queries = 0;
let open = 0;

async function run(pool: DatabasePool, count: number): Promise<void> {
  let left = count;
  const caller = async (): Promise<void> => {
    while (left-- > 0) {
      const n = left;
      await tracer.run('caller', () => pool.query('select $1::int + 1 as more', [n]));
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}

async function countSpans(): Promise<void> {
  // Datadog gives spans away a moment after their end.
  await new Promise((resolve) => setTimeout(resolve, 50));
  for (const { name, ended } of await tracer.spans()) {
    if (!name.startsWith('pg.query')) continue;
    queries++;
    if (!ended) open++;
  }
  tracer.forget();
}

async function heap(): Promise<number> {
  for (let time = 0; time < 3; time++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return process.memoryUsage().heapUsed;
}

const pools = [
  new DatabasePool('prepared', { url, size: 4, maxOverflow: 0 }),
  new DatabasePool('pipelined', { url, size: 1, maxOverflow: 0, pipelining: {} }),
];
let before = 0;
for (let fifth = 0; fifth < 5; fifth++) {
  for (const pool of pools) await run(pool, total / 5 / pools.length);
  await countSpans();
  if (fifth === 0) before = await heap();
}
const grownBytes = (await heap()) - before;
for (const pool of pools) await pool.close();

const server = createHttpServer((_request, response) => response.end('{}'));
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const closed = createServer();
await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
const refusing = (closed.address() as AddressInfo).port;
await new Promise((resolve) => closed.close(resolve));
const http = new HttpClient('traced', { retry: false });
const answered: string[] = [];
for (const port of [(server.address() as AddressInfo).port, refusing]) {
  for (let n = 0; n < 5; n++) {
    await tracer.run('request', () =>
      http.get(`http://127.0.0.1:${port}/`).then(
        () => answered.push('answered'),
        () => answered.push('refused'),
      ),
    );
  }
}
const requests = (await tracer.spans()).filter(({ name }) => name === 'GET');
await http.close();
server.close();
console.log(
  `FOUND ${JSON.stringify({
    queries,
    open,
    grownBytes,
    answered,
    requests: requests.map(({ parent, failed, ended }) => ({ parent, failed, ended })),
  })}`,
);
process.exit(0);
