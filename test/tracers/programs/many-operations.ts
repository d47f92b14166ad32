/**
 * `OPERATIONS` queries and as many HTTP requests of every kind, each under a span of its own, in a process with a tracer
 * (`TRACER`) and with the library's spans. Prints as JSON how many spans there were of each kind beside how many there
 * should be, and what was wrong.
 */
import { createServer, type AddressInfo } from 'node:net';
import { createServer as createHttpServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { createKysely, DatabasePool, HttpClient, spansFor } from 'nestjs-pooling';
import { to as copyTo } from 'pg-copy-streams';
import QueryStream from 'pg-query-stream';
import { sql } from 'kysely';

interface Span {
  readonly parent: string | undefined;
  readonly name: string;
  readonly scope?: string;
  readonly client?: boolean;
  readonly attributes?: readonly string[];
  readonly text: string | undefined;
  readonly failed: boolean;
  readonly ended: boolean;
}

const tracer = (
  globalThis as unknown as {
    tracer: { run<R>(name: string, fn: () => Promise<R>): Promise<R>; spans(): Promise<Span[]>; forget(): void };
  }
).tracer;
const { TRACER = 'sdk', DATABASE_URL: url = '' } = process.env;
const total = Number(process.env['OPERATIONS']);
const wrong: string[] = [];
process.on('unhandledRejection', (error) => wrong.push(`unhandled rejection: ${String(error)}`));
process.on('uncaughtException', (error) => {
  wrong.push(`uncaught exception: ${error.stack}`);
  console.error(error);
});

const spans = spansFor();
const pool = new DatabasePool('many', { url, size: 4, maxOverflow: 0 }, { spans });
const pipelined = new DatabasePool('pipelined', { url, size: 2, maxOverflow: 0, pipelining: {} }, { spans });
const db = createKysely<Record<string, never>>(pool);

const server = createHttpServer((request, response) => {
  if (request.url === '/missing') return void response.writeHead(404).end();
  if (request.url === '/busy') return void response.writeHead(503).end();
  if (request.url === '/moved') return void response.writeHead(302, { location: '/' }).end();
  if (request.url === '/never') return;
  response.end('{}');
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const home = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const closed = createServer();
await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
const refusing = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`;
await new Promise((resolve) => closed.close(resolve));
const http = new HttpClient(
  'many',
  { retry: { attempts: 2, budget: 1 }, redirect: true, limitPerHost: 8 },
  { spans, random: () => 0 },
);

async function fails(promise: Promise<unknown>, code: string): Promise<void> {
  const found = await promise.then(
    () => 'nothing',
    (error: { code?: unknown; name?: unknown }) => error.code ?? error.name,
  );
  if (found !== code && !(typeof found === 'number' && code === 'AbortError')) {
    wrong.push(`failed with ${String(found)} instead of ${code}`);
  }
}

/** One operation: how many spans it has of its own, and how many where a tracer sees what is sent. */
interface Kind {
  readonly own: number;
  readonly seen: number;
  /** Every so many times. */
  readonly every: number;
  run(n: number): Promise<unknown>;
}

const QUERIES: Readonly<Record<string, Kind>> = {
  simple: { own: 1, seen: 1, every: 1, run: () => pool.query('select 1') },
  prepared: { own: 1, seen: 1, every: 1, run: (n) => pool.query('select $1::int + 1 as more', [n]) },
  pipelined: { own: 1, seen: 1, every: 1, run: (n) => pipelined.query('select $1::int + 2 as more', [n]) },
  transaction: {
    own: 2,
    seen: 4,
    every: 1,
    run: () =>
      db.transaction().execute(async (trx) => {
        await sql`select 1`.execute(trx);
        await sql`select ${2}::int`.execute(trx);
      }),
  },
  stream: {
    own: 1,
    seen: 1,
    every: 3,
    run: () =>
      pool.withConnection(async (client) => {
        for await (const _ of client.query(new QueryStream('select generate_series(1, 5)')));
      }),
  },
  copy: {
    own: 1,
    seen: 1,
    every: 3,
    run: () =>
      pool.withConnection(async (client) => {
        for await (const _ of client.query(copyTo('copy (select generate_series(1, 5)) to stdout')));
      }),
  },
  failing: { own: 1, seen: 1, every: 1, run: () => fails(pool.query('select 1 / 0'), '22012') },
  cancelled: {
    own: 1,
    seen: 1,
    every: 3,
    run: () => fails(pool.query('select pg_cancel_backend(pg_backend_pid())'), '57014'),
  },
  'timed out': {
    own: 1,
    seen: 1,
    every: 30,
    run: () => fails(pool.query({ text: 'select pg_sleep(9)', query_timeout: 5 } as never), 'ERR_POOL_QUERY_TIMEOUT'),
  },
  lost: {
    own: 1,
    seen: 1,
    every: 30,
    run: () => fails(pool.query('select pg_terminate_backend(pg_backend_pid())'), '57P01'),
  },
};

const EXCHANGES: Readonly<Record<string, Kind>> = {
  answered: { own: 1, seen: 1, every: 1, run: () => http.get(`${home}/`) },
  missing: { own: 1, seen: 1, every: 1, run: () => http.get(`${home}/missing`) },
  retried: { own: 3, seen: 3, every: 3, run: () => http.get(`${home}/busy`) },
  redirected: { own: 2, seen: 2, every: 1, run: () => http.get(`${home}/moved`) },
  streamed: {
    own: 1,
    seen: 1,
    every: 1,
    run: async () => {
      for await (const _ of (await http.stream(`${home}/`)).body);
    },
  },
  fetched: { own: 1, seen: 1, every: 1, run: async () => (await http.fetch(`${home}/`)).text() },
  refused: { own: 1, seen: 1, every: 1, run: () => fails(http.get(refusing, { retry: false }), 'ECONNREFUSED') },
  aborted: {
    own: 1,
    seen: 1,
    every: 10,
    run: async () => {
      const controller = new AbortController();
      const aborted = fails(http.get(`${home}/never`, { signal: controller.signal }), 'AbortError');
      await delay(20);
      controller.abort();
      await aborted;
    },
  },
};

const ours = ({ scope }: Span): boolean => scope === 'nestjs-pooling';
const isOf: Readonly<Record<string, { query(span: Span): boolean; exchange(span: Span): boolean }>> = {
  sdk: {
    query: (span) => ours(span) && span.client === true && span.attributes?.includes('db.system.name') === true,
    exchange: (span) => ours(span) && span.attributes?.includes('http.request.method') === true,
  },
  opentelemetry: {
    query: (span) =>
      span.name.startsWith('pg.query') || (ours(span) && span.client === true && span.text !== undefined),
    exchange: ({ name }) => name === 'GET',
  },
  datadog: {
    query: ({ name }) => name === 'pg.query',
    exchange: ({ name }) => name === 'undici.request' || name === 'http.request',
  },
  sentry: {
    query: ({ name, text }) => name === 'db' && text !== 'pg.connect',
    exchange: ({ name }) => name === 'http.client',
  },
};
const { query: isQuery, exchange: isExchange } = isOf[TRACER] as (typeof isOf)[string];

const CALLERS = 8;
const BATCH = 400;
/** Half a minute. */
const MOST_LOOKS = 600;
const counts: Record<string, [operations: number, found: number, wanted: number]> = {};
const attributes = new Set<string>();
let open = 0;
let strangers = 0;

function expectedOf({ own, seen }: Kind): number {
  return TRACER === 'sdk' ? own : seen;
}

/** Runs a batch of operations in turn, each under a span of its own, by several callers at once. */
async function runBatch(
  kinds: Readonly<Record<string, Kind>>,
  from: number,
  isOne: (span: Span) => boolean,
): Promise<void> {
  const names = Object.keys(kinds);
  const wanted = new Map<string, string>();
  let next = from;
  const caller = async (): Promise<void> => {
    while (next < from + BATCH && next < total) {
      const n = next++;
      let name = names[n % names.length] as string;
      if (Math.floor(n / names.length) % (kinds[name] as Kind).every !== 0) name = names[0] as string;
      wanted.set(`${name} #${n}`, name);
      await tracer.run(`${name} #${n}`, () => (kinds[name] as Kind).run(n));
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  const sum = [...wanted.values()].reduce((all, name) => all + expectedOf(kinds[name] as Kind), 0);
  // Some tracers give spans away a moment after their end, and a connection may still be dialled for nobody.
  await delay(50);
  let given = await tracer.spans();
  const complete = (): boolean => given.filter(isOne).length >= sum && given.every(({ ended }) => ended);
  for (let look = 0; look < MOST_LOOKS && !complete(); look++) {
    await delay(50);
    given = await tracer.spans();
  }
  const found = new Map<string, number>();
  for (const span of given) {
    for (const name of span.attributes ?? []) attributes.add(name);
    if (!span.ended) {
      open++;
      wrong.push(`${span.name} of ${span.parent} is open`);
    }
    if (!isOne(span)) continue;
    if (span.parent === undefined || !wanted.has(span.parent)) strangers++;
    else found.set(span.parent, (found.get(span.parent) ?? 0) + 1);
  }
  tracer.forget();
  for (const [operation, name] of wanted) {
    const expected = expectedOf(kinds[name] as Kind);
    const count = (counts[name] ??= [0, 0, 0]);
    count[0]++;
    count[1] += found.get(operation) ?? 0;
    count[2] += expected;
    if (found.get(operation) !== expected && wrong.length < 20) {
      wrong.push(`${operation}: ${found.get(operation) ?? 0} spans instead of ${expected}`);
    }
  }
}

for (let from = 0; from < total; from += BATCH) {
  await runBatch(QUERIES, from, isQuery);
  await runBatch(EXCHANGES, from, isExchange);
}
await Promise.all([pool.close(), pipelined.close(), http.close()]);
server.closeAllConnections();
server.close();
console.log(`FOUND ${JSON.stringify({ counts, wrong, open, strangers, attributes: [...attributes] })}`);
setTimeout(() => process.exit(0), 10);
