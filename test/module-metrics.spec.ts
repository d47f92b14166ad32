import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Controller, Get, type INestApplication, type ModuleMetadata } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { PrometheusModule } from '@willsoto/nestjs-prometheus';
import { sql, type Kysely } from 'kysely';
import { InjectDb, PoolingModule, PoolRegistry, type PoolingModuleOptions } from 'nestjs-pooling';
import { Counter, Gauge, register, Registry } from 'prom-client';
import request, { type Response } from 'supertest';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

type Adapter = 'express' | 'fastify';

const DATABASE_SERIES = [
  'db_pool_size',
  'db_pool_available',
  'db_pool_waiting',
  'db_pool_in_use',
  'db_pool_connecting',
  'db_pool_max',
  'db_pool_overflow',
  'db_pool_acquire_seconds',
  'db_pool_usage_seconds',
  'db_pool_connect_seconds',
  'db_pool_acquire_timeouts_total',
  'db_pool_queue_rejected_total',
  'db_pool_opened_total',
  'db_pool_closed_total',
  'db_pool_connect_errors_total',
  'db_pool_leaks_total',
  'db_pool_prepared_statement_hits_total',
  'db_pool_prepared_statement_misses_total',
];
const HTTP_SERIES = [
  'http_pool_size',
  'http_pool_available',
  'http_pool_in_use',
  'http_pool_waiting',
  'http_pool_limit',
  'http_pool_acquire_seconds',
  'http_client_request_seconds',
  'http_pool_timeouts_total',
  'http_pool_retries_total',
  'http_pool_leaks_total',
];

let database: TestDatabase;
let upstream: Server;
let origin: string;
const applications: INestApplication[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  upstream = createServer((_request, response) => response.end('{}'));
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
});

afterEach(async () => {
  for (const application of applications.splice(0)) await application.close();
  register.clear();
});

afterAll(async () => {
  upstream.closeAllConnections();
  upstream.close();
  await database.drop();
});

async function start(metadata: ModuleMetadata, adapter: Adapter = 'express'): Promise<INestApplication> {
  const testing = await Test.createTestingModule(metadata).compile();
  const application =
    adapter === 'express'
      ? testing.createNestApplication({ logger: false })
      : testing.createNestApplication(new FastifyAdapter(), { logger: false });
  applications.push(application);
  await application.listen(0, '127.0.0.1');
  return application;
}

function get(application: INestApplication, path = '/metrics'): Promise<Response> {
  const { port } = application.getHttpServer().address() as AddressInfo;
  return request(`http://127.0.0.1:${port}`).get(path);
}

/** The samples of a scrape: `name{labels}` to value. */
async function scrape(application: INestApplication, path?: string): Promise<Map<string, number>> {
  const { status, text } = await get(application, path);
  expect(status).toBe(200);
  return samplesOf(text);
}

function samplesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const samples = lines.map((line) => {
    const at = line.lastIndexOf(' ');
    return [line.slice(0, at), Number(line.slice(at + 1))] as const;
  });
  // A series printed twice is refused by Prometheus.
  expect(new Set(samples.map(([series]) => series)).size).toBe(samples.length);
  return new Map(samples);
}

function pooling(options: PoolingModuleOptions = {}): ReturnType<typeof PoolingModule.forRoot> {
  return PoolingModule.forRoot({ database: { url: database.url, size: 5, maxOverflow: 5 }, http: false, ...options });
}

describe.each<Adapter>(['express', 'fastify'])('metrics on %s', (adapter) => {
  it('show every series of every pool and client, in the text format', async () => {
    const application = await start(
      {
        imports: [pooling({ http: {} }), PoolingModule.forDatabase({ name: 'reports', url: database.url, size: 2 })],
      },
      adapter,
    );
    const registry = application.get(PoolRegistry);
    await registry.database().query('select 1');
    await registry.http().get(origin);
    const { headers, text } = await get(application);
    expect(headers['content-type']).toContain('text/plain');
    expect(headers['content-type']).toContain('version=0.0.4');
    const types = new Map(
      Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name, type]) => [name as string, type as string]),
    );
    for (const name of [...DATABASE_SERIES, ...HTTP_SERIES]) {
      const type = name.endsWith('_total') ? 'counter' : name.endsWith('_seconds') ? 'histogram' : 'gauge';
      expect([name, types.get(name)]).toEqual([name, type]);
    }
    const samples = samplesOf(text);
    expect(samples.get('db_pool_size{pool="default"}')).toBe(1);
    expect(samples.get('db_pool_available{pool="default"}')).toBe(1);
    expect(samples.get('db_pool_max{pool="default"}')).toBe(10);
    expect(samples.get('db_pool_max{pool="reports"}')).toBe(7);
    expect(samples.get('db_pool_opened_total{pool="default"}')).toBe(1);
    expect(samples.get('db_pool_closed_total{pool="default",reason="idle"}')).toBe(0);
    expect(samples.get('db_pool_usage_seconds_count{pool="default"}')).toBe(1);
    expect(samples.get('db_pool_acquire_seconds_bucket{le="+Inf",pool="default"}')).toBe(1);
    expect(samples.get('db_pool_acquire_seconds_bucket{le="60",pool="default"}')).toBe(1);
    expect(samples.get('db_pool_connect_seconds_sum{pool="default"}')).toBeGreaterThan(0);
    expect(samples.get('db_pool_connect_seconds_sum{pool="default"}')).toBeLessThan(5);
    expect(samples.get(`http_pool_size{pool="default",origin="${origin}"}`)).toBe(1);
    expect(samples.get(`http_pool_limit{pool="default",origin="${origin}"}`)).toBe(20);
    expect(samples.get(`http_pool_timeouts_total{pool="default",origin="${origin}",phase="connect"}`)).toBe(0);
    expect(
      samples.get(`http_client_request_seconds_count{pool="default",origin="${origin}",method="GET",status="200"}`),
    ).toBe(1);
  });

  it('of a client with a base URL are there before its first request', async () => {
    const http = { baseUrl: 'http://carrier.example/v1' };
    const samples = await scrape(await start({ imports: [pooling({ database: false, http })] }, adapter));
    const labels = 'pool="default",origin="http://carrier.example"';
    for (const name of ['size', 'available', 'in_use', 'waiting', 'retries_total', 'leaks_total', 'opened_total']) {
      expect(samples.get(`http_pool_${name}{${labels}}`)).toBe(0);
    }
    expect(samples.get(`http_pool_timeouts_total{${labels},phase="total"}`)).toBe(0);
    expect(samples.get(`http_pool_acquire_seconds_count{${labels}}`)).toBe(0);
    expect(samples.get(`http_pool_limit{${labels}}`)).toBe(20);
  });

  it('have buckets that only grow, up to the count', async () => {
    const application = await start({ imports: [pooling()] }, adapter);
    const pool = application.get(PoolRegistry).database();
    await Promise.all(Array.from({ length: 50 }, () => pool.query('select pg_sleep(0.002)')));
    const samples = await scrape(application);
    const buckets = [...samples].filter(([series]) => series.startsWith('db_pool_usage_seconds_bucket'));
    const values = buckets.map(([, value]) => value);
    expect(values).toEqual(values.toSorted((one, other) => one - other));
    expect(values.at(-1)).toBe(50);
    expect(values[0]).toBe(0);
    expect(samples.get('db_pool_usage_seconds_sum{pool="default"}')).toBeGreaterThan(50 * 0.002);
  });

  it.each(['before', 'after'])("stand beside an application's own PrometheusModule, imported %s it", async (order) => {
    const own = PrometheusModule.register();
    const application = await start({ imports: order === 'before' ? [pooling(), own] : [own, pooling()] }, adapter);
    new Counter({ name: 'orders_placed_total', help: 'Orders placed' }).inc(3);
    await application.get(PoolRegistry).database().query('select 1');
    const samples = await scrape(application);
    expect(samples.get('db_pool_size{pool="default"}')).toBe(1);
    expect(samples.get('orders_placed_total')).toBe(3);
    expect(samples.has('process_cpu_user_seconds_total')).toBe(true);
  });

  it("are there as well where an application's own PrometheusModule serves", async () => {
    const own = PrometheusModule.register({ path: '/internal/metrics', defaultMetrics: { enabled: false } });
    const application = await start({ imports: [pooling(), own] }, adapter);
    new Counter({ name: 'orders_placed_total', help: 'Orders placed' }).inc(3);
    for (const path of ['/metrics', '/internal/metrics']) {
      const samples = await scrape(application, path);
      expect(samples.get('db_pool_max{pool="default"}')).toBe(10);
      expect(samples.get('orders_placed_total')).toBe(3);
    }
  });

  it("include Node's own when they are asked for, once per process", async () => {
    const withDefaults = (): ModuleMetadata => ({
      imports: [PoolingModule.forRoot({ database: false, http: false, metrics: { path: 'm', defaultMetrics: true } })],
    });
    const [one, other] = [await start(withDefaults(), adapter), await start(withDefaults(), adapter)];
    for (const application of [one, other]) {
      expect((await scrape(application, '/m')).has('process_cpu_user_seconds_total')).toBe(true);
    }
    const without = await start({ imports: [pooling()] }, adapter);
    expect((await scrape(without)).has('process_cpu_user_seconds_total')).toBe(false);
    const own = await start(
      { imports: [PrometheusModule.register({ path: 'own' }), ...(withDefaults().imports ?? [])] },
      adapter,
    );
    expect((await scrape(own, '/m')).has('process_cpu_user_seconds_total')).toBe(true);
    expect((await scrape(own, '/own')).has('process_cpu_user_seconds_total')).toBe(true);
  });

  it('can be left out', async () => {
    const application = await start(
      { imports: [PoolingModule.forRoot({ database: { url: database.url }, metrics: false })] },
      adapter,
    );
    expect((await get(application)).status).toBe(404);
    expect(register.getSingleMetric('db_pool_size')).toBeUndefined();
  });
});

describe('metrics', () => {
  it('of two applications in one process do not mix', async () => {
    const [one, other] = [
      await start({ imports: [pooling()] }),
      await start({
        imports: [pooling({ database: { url: database.url, size: 7, maxOverflow: 0, startup: 'lazy' } })],
      }),
    ];
    await one.get(PoolRegistry).database().query('select 1');
    for (let round = 0; round < 3; round++) {
      const [first, second] = await Promise.all([scrape(one), scrape(other)]);
      expect([first.get('db_pool_max{pool="default"}'), first.get('db_pool_opened_total{pool="default"}')]).toEqual([
        10, 1,
      ]);
      expect([second.get('db_pool_max{pool="default"}'), second.get('db_pool_opened_total{pool="default"}')]).toEqual([
        7, 0,
      ]);
    }
    await one.close();
    expect((await scrape(other)).get('db_pool_max{pool="default"}')).toBe(7);
  });

  it.each(['/metrics', '/own'])(
    'of two applications do not mix where their own PrometheusModules serve %s',
    async (path) => {
      const own = (): ReturnType<typeof PrometheusModule.register> =>
        PrometheusModule.register({ path, defaultMetrics: { enabled: false } });
      const one = await start({ imports: [own(), pooling()] });
      const other = await start({
        imports: [own(), pooling({ database: { url: database.url, size: 7, maxOverflow: 0 } })],
      });
      expect((await scrape(one, path)).get('db_pool_max{pool="default"}')).toBe(10);
      expect((await scrape(other, path)).get('db_pool_max{pool="default"}')).toBe(7);
    },
  );

  it('in the default registry show each series once, when two applications have pools of one name', async () => {
    await start({ imports: [pooling()] });
    await start({ imports: [pooling({ database: { url: database.url, size: 7, maxOverflow: 0 } })] });
    expect(samplesOf(await register.metrics()).get('db_pool_max{pool="default"}')).toBe(7);
  });

  it('of a closed pool disappear, and those of a closed application with their families', async () => {
    const application = await start({
      imports: [pooling(), PoolingModule.forDatabase({ name: 'reports', url: database.url })],
    });
    expect((await scrape(application)).has('db_pool_size{pool="reports"}')).toBe(true);
    await application.get(PoolRegistry).database('reports').close();
    const samples = await scrape(application);
    expect([...samples.keys()].filter((series) => series.includes('reports'))).toEqual([]);
    expect(samples.has('db_pool_size{pool="default"}')).toBe(true);
    await application.close();
    expect(await register.metrics()).not.toContain('db_pool');
  });

  it('come back after the registry was cleared, and leave the names of others alone', async () => {
    const application = await start({ imports: [pooling()] });
    register.clear();
    new Gauge({ name: 'db_pool_size', help: "Somebody else's" }).set(99);
    const samples = await scrape(application);
    expect(samples.get('db_pool_size')).toBe(99);
    expect(samples.get('db_pool_max{pool="default"}')).toBe(10);
  });

  it('take the labels and the format of the default registry', async () => {
    const application = await start({
      imports: [pooling({ database: { url: database.url, size: 5, maxOverflow: 5, startup: 'lazy' } })],
    });
    register.setDefaultLabels({ region: 'eu' });
    expect((await scrape(application)).get('db_pool_max{pool="default",region="eu"}')).toBe(10);
    try {
      register.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
      const { text, headers } = await get(application);
      expect(headers['content-type']).toContain('openmetrics');
      expect(text).toContain('# TYPE db_pool_opened counter\ndb_pool_opened_total{pool="default",region="eu"} 0');
      expect(text.endsWith('# EOF\n')).toBe(true);
    } finally {
      register.setContentType(Registry.PROMETHEUS_CONTENT_TYPE);
    }
  });

  it('show 100 parallel requests queueing for 5 and 5 connections, and none of them fails', async () => {
    @Controller()
    class SlowController {
      constructor(@InjectDb() private readonly db: Kysely<unknown>) {}

      @Get('slow')
      async slow(): Promise<unknown> {
        return (await sql`select pg_sleep(0.2)::text`.execute(this.db)).rows;
      }
    }
    const application = await start({ imports: [pooling()], controllers: [SlowController] });
    let waitingSeen = 0;
    let backendsSeen = 0;
    let done = false;
    const watchingWaiters = (async () => {
      while (!done) {
        const samples = await scrape(application);
        waitingSeen = Math.max(waitingSeen, samples.get('db_pool_waiting{pool="default"}') ?? 0);
      }
    })();
    const watchingBackends = (async () => {
      while (!done) {
        const [row] = await database.query<{ count: number }>(
          `select count(*)::int from pg_stat_activity where datname = $1 and application_name <> 'test support'`,
          [database.name],
        );
        backendsSeen = Math.max(backendsSeen, row?.count ?? 0);
      }
    })();
    const answers = await Promise.all(Array.from({ length: 100 }, () => get(application, '/slow')));
    done = true;
    await Promise.all([watchingWaiters, watchingBackends]);
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 100 }, () => 200));
    expect(waitingSeen).toBeGreaterThan(0);
    expect(backendsSeen).toBeGreaterThan(5);
    expect(backendsSeen).toBeLessThanOrEqual(10);
  });
});
