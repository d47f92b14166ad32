// Runs in a project that has the package and its peers alone, and uses every feature once.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import * as kysely from 'kysely';
import * as pooling from 'nestjs-pooling';
import { PostgresServer, TcpProxy } from 'nestjs-pooling/testing';

const { Kysely, NoResultError, sql } = kysely;
const requireHere = createRequire(import.meta.url);
const done = [];

async function step(name, run) {
  try {
    const result = await run();
    done.push(name);
    return result;
  } catch (error) {
    console.error(`failed: ${name} (worked: ${done.join(', ') || 'nothing'})`);
    throw error;
  }
}

await step('require() gives what import gives', () => {
  const required = requireHere('nestjs-pooling');
  assert.deepEqual(Object.keys(required).sort(), Object.keys(pooling).sort());
  for (const [name, value] of Object.entries(pooling)) assert.equal(required[name], value, `${name} is there twice`);
  assert.equal(requireHere('nestjs-pooling/testing').TcpProxy, TcpProxy);
  assert.equal(requireHere('nestjs-pooling/package.json').name, 'nestjs-pooling');
});

await step('OpenTelemetry is absent', () => {
  assert.throws(() => requireHere.resolve('@opentelemetry/api'), { code: 'MODULE_NOT_FOUND' });
});

const server = await step('testing entry: a PostgreSQL of its own', () =>
  PostgresServer.start({ authentication: 'trust' }),
);
const proxy = await step('testing entry: a proxy', () => TcpProxy.listen({ port: server.port }));
const url = Object.assign(new URL(server.url), { port: String(proxy.port) }).href;

const { PoolingModule, getDbToken, getDbPoolToken, getHttpClientToken } = pooling;
class ApplicationModule {}
Reflect.defineMetadata(
  'imports',
  [
    PoolingModule.forRoot({
      database: { url, leakDetectionMs: 10_000, slowQueryMs: 10_000 },
      http: { baseUrl: 'http://127.0.0.1:9' },
      metrics: { defaultMetrics: true },
      console: { allowedActions: ['expireAll'] },
      advice: { replicas: 1 },
    }),
    PoolingModule.forDatabaseAsync({ name: 'second', useFactory: () => ({ url, preset: 'high', pipelining: {} }) }),
    PoolingModule.forHttpClient({ name: 'self' }),
  ],
  ApplicationModule,
);

Logger.overrideLogger(['error']);
const application = await step('the module starts with every part on', async () => {
  const made = await NestFactory.create(ApplicationModule, { logger: ['error'] });
  made.enableShutdownHooks();
  await made.listen(0, '127.0.0.1');
  return made;
});
const base = await application.getUrl();

async function get(path) {
  const response = await fetch(base + path);
  assert.equal(response.status, 200, `GET ${path} gave ${response.status}`);
  return { type: response.headers.get('content-type') ?? '', text: await response.text() };
}

await step('Kysely, transactions, prepared queries, streams, retries', async () => {
  const db = application.get(getDbToken(), { strict: false });
  await sql`create table item (id int primary key, name text)`.execute(db);
  await pooling.retryTransaction(db, (trx) => trx.insertInto('item').values({ id: 1, name: 'one' }).execute());
  const find = pooling.prepareQuery(db, (p) => db.selectFrom('item').selectAll().where('id', '=', p.id));
  for (let use = 0; use < 5; use++) assert.deepEqual(await find.execute({ id: 1 }), [{ id: 1, name: 'one' }]);
  // Of the very copy that the application imports: Kysely 0.28 has another one for `require`.
  assert.ok(db instanceof Kysely);
  const none = db.selectFrom('item').selectAll().where('id', '=', 2);
  await assert.rejects(none.executeTakeFirstOrThrow(), NoResultError);
  const rows = [];
  for await (const row of db.selectFrom('item').selectAll().stream()) rows.push(row);
  assert.equal(rows.length, 1);
});

await step('without Nest', async () => {
  const pool = new pooling.DatabasePool('alone', { url, size: 1 });
  const db = pooling.createKysely(pool, { kysely });
  assert.ok(db instanceof Kysely);
  const none = db.selectFrom('item').selectAll().where('id', '=', 2);
  await assert.rejects(none.executeTakeFirstOrThrow(), NoResultError);
  const { rows } = await sql`select name from item`.execute(pooling.createKysely(pool));
  assert.deepEqual(rows, [{ name: 'one' }]);
  await pool.close();
});

await step('pg.Pool’s surface, pipelined and not', async () => {
  for (const name of ['default', 'second']) {
    const pool = application.get(getDbPoolToken(name), { strict: false });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, at) => pool.query('select $1::int as n', [at])));
    assert.deepEqual(
      answers.map(({ rows }) => rows[0].n),
      Array.from({ length: 20 }, (_, at) => at),
    );
    const client = await pool.connect();
    client.release();
  }
});

await step('the HTTP client', async () => {
  const client = application.get(getHttpClientToken('self'), { strict: false });
  const body = await client.get(`${base}/health/live`).json();
  assert.equal(body.status, 'ok');
  assert.equal((await client.fetch(`${base}/health/ready`)).status, 200);
});

await step('health', async () => {
  for (const path of ['/health', '/health/live', '/health/ready']) {
    assert.equal(JSON.parse((await get(path)).text).status, 'ok');
  }
});

await step('metrics', async () => {
  const { text } = await get('/metrics');
  for (const series of [
    'db_pool_size{pool="default"}',
    'db_pool_acquire_seconds_count{pool="second"}',
    'http_pool_size{pool="self"',
    'http_pool_size{pool="default",origin="http://127.0.0.1:9"}',
    'process_cpu_seconds_total',
  ]) {
    assert.ok(text.includes(series), `GET /metrics has no ${series}`);
  }
});

await step('the console: page, every file of it, feed, actions', async () => {
  const page = await get('/pools');
  const seen = new Set();
  const files = [...page.text.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, file]) => file);
  assert.ok(files.length > 3);
  while (files.length > 0) {
    const path = new URL(files.pop(), `${base}/pools`).pathname;
    if (seen.has(path)) continue;
    seen.add(path);
    const { type, text } = await get(path);
    assert.match(type, /javascript|css|svg/);
    assert.ok(text.length > 100, `${path} is empty`);
    if (!type.includes('javascript')) continue;
    for (const [, file] of text.matchAll(/^\s*(?:import|export)[^'"]*['"](\.[^'"]+)['"]/gm)) {
      files.push(new URL(file, base + path).pathname);
    }
  }
  for (const needed of ['uplot.js', 'uplot.css', 'app.js', 'charts.js']) {
    assert.ok(
      [...seen].some((path) => path.endsWith(`/${needed}`)),
      `the page doesn't load ${needed}`,
    );
  }
  const feed = await fetch(`${base}/pools/events`);
  assert.match(feed.headers.get('content-type'), /^text\/event-stream/);
  let heard = '';
  for await (const piece of feed.body.pipeThrough(new TextDecoderStream())) {
    heard += piece;
    if (heard.includes('event: tick')) break;
  }
  const hello = JSON.parse(/event: hello\ndata: (.*)\n/.exec(heard)[1]);
  assert.deepEqual(
    hello.databases.map(({ name }) => name),
    ['default', 'second'],
  );
  assert.deepEqual(hello.allowedActions, ['expireAll']);
  const strangers = await fetch(`${base}/pools/actions`, { method: 'POST', body: '{}' });
  assert.equal(strangers.status, 403);
});

await step('registry, advisor, sizing, errors', async () => {
  const registry = application.get(pooling.PoolRegistry, { strict: false });
  const snapshot = registry.snapshot();
  assert.equal(snapshot.databases.length, 2);
  assert.equal(snapshot.httpClients.length, 2);
  assert.ok(Array.isArray(await application.get(pooling.PoolAdvisor, { strict: false }).advise()));
  assert.equal(pooling.recommendPoolSize({ concurrentRequests: 100, queriesPerRequest: 3 }), 50);
  assert.throws(() => new pooling.DatabasePool('wrong', { size: 0 }), { code: 'ERR_POOL_OPTIONS_INVALID' });
});

await step('the application ends, and leaves nothing behind', async () => {
  await application.close();
  await proxy.close();
  await server.close();
});

console.log(`the tarball works in a project of its own: ${done.length} steps`);
// Nothing is left that would keep the process alive.
setTimeout(() => {
  console.error('the process does not end by itself');
  process.exit(1);
}, 5_000).unref();
