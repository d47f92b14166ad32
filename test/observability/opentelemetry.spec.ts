import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { metrics } from '@opentelemetry/api';
import { MeterProvider, MetricReader, type MetricData } from '@opentelemetry/sdk-metrics';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { PoolingModule, PoolRegistry, type PoolingModuleOptions } from 'nestjs-pooling';
import { acquireChannel, connectChannel, releaseChannel, requestChannel } from '#pooling/core/diagnostics.js';
import { runTypeScript } from '#test/support/child.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { CountingServer, refusedPort } from '#test/support/http-server.js';

class Reader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }

  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

const POOL = conventions.ATTR_DB_CLIENT_CONNECTION_POOL_NAME;
const STATE = conventions.ATTR_DB_CLIENT_CONNECTION_STATE;

let database: TestDatabase;
let reader: Reader;
const applications: INestApplication[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(() => {
  reader = new Reader();
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
});
afterEach(async () => {
  for (const application of applications.splice(0)) await application.close();
  await reader.shutdown();
  metrics.disable();
});
afterAll(() => database.drop());

async function start(
  options: PoolingModuleOptions = {},
): Promise<{ application: INestApplication; registry: PoolRegistry }> {
  const testing = await Test.createTestingModule({
    imports: [
      PoolingModule.forRoot({ database: { url: database.url, size: 3, maxOverflow: 2 }, http: {}, ...options }),
    ],
  }).compile();
  const application = testing.createNestApplication({ logger: false });
  applications.push(application);
  await application.init();
  return { application, registry: application.get(PoolRegistry) };
}

/** Everything of our scope, by name. */
async function collect(): Promise<Map<string, MetricData>> {
  const { resourceMetrics, errors } = await reader.collect();
  expect(errors).toEqual([]);
  const scope = resourceMetrics.scopeMetrics.find(({ scope: { name } }) => name === 'nestjs-pooling');
  return new Map(scope?.metrics.map((metric) => [metric.descriptor.name, metric]));
}

/** The values of one metric, by their attributes. */
function values(collected: Map<string, MetricData>, name: string): (readonly [attributes: object, value: unknown])[] {
  return (collected.get(name)?.dataPoints ?? []).map(({ attributes, value }) => [attributes, value] as const);
}

/** A histogram's only point: how many were recorded, with which attributes and buckets. */
function recorded(
  collected: Map<string, MetricData>,
  name: string,
): { attributes: object; count: number; bounds: number[] } {
  const [[attributes, value]] = values(collected, name) as [readonly [object, unknown]];
  const { count, buckets } = value as { count: number; buckets: { boundaries: number[] } };
  return { attributes, count, bounds: buckets.boundaries };
}

describe('with a metrics SDK', () => {
  it('a database pool is published under the names and units of the semantic conventions', async () => {
    const { registry } = await start();
    const pool = registry.database();
    const [one, two] = await Promise.all([pool.connect(), pool.connect()]);
    one.release();
    const collected = await collect();
    const of = { [POOL]: 'default' };
    const name = conventions.METRIC_DB_CLIENT_CONNECTION_COUNT;
    expect(values(collected, name)).toEqual([
      [{ ...of, [STATE]: conventions.DB_CLIENT_CONNECTION_STATE_VALUE_IDLE }, 1],
      [{ ...of, [STATE]: conventions.DB_CLIENT_CONNECTION_STATE_VALUE_USED }, 1],
    ]);
    expect(values(collected, conventions.METRIC_DB_CLIENT_CONNECTION_IDLE_MAX)).toEqual([[of, 3]]);
    expect(values(collected, conventions.METRIC_DB_CLIENT_CONNECTION_IDLE_MIN)).toEqual([[of, 0]]);
    expect(values(collected, conventions.METRIC_DB_CLIENT_CONNECTION_LIMIT)).toEqual([[of, 5]]);
    expect(values(collected, 'db.client.connection.max')).toEqual([[of, 5]]);
    expect(values(collected, conventions.METRIC_DB_CLIENT_CONNECTION_PENDING_REQUESTS)).toEqual([[of, 0]]);
    expect(values(collected, conventions.METRIC_DB_CLIENT_CONNECTION_TIMEOUTS)).toEqual([[of, 0]]);
    const bounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30];
    expect(recorded(collected, conventions.METRIC_DB_CLIENT_CONNECTION_CREATE_TIME)).toEqual({
      attributes: of,
      count: 2,
      bounds,
    });
    expect(recorded(collected, conventions.METRIC_DB_CLIENT_CONNECTION_WAIT_TIME)).toEqual({
      attributes: of,
      count: 2,
      bounds,
    });
    expect(recorded(collected, conventions.METRIC_DB_CLIENT_CONNECTION_USE_TIME)).toEqual({
      attributes: of,
      count: 1,
      bounds,
    });
    const units = Object.fromEntries([...collected].map(([each, { descriptor }]) => [each, descriptor.unit]));
    expect(units).toMatchObject({
      'db.client.connection.count': '{connection}',
      'db.client.connection.idle.max': '{connection}',
      'db.client.connection.pending_requests': '{request}',
      'db.client.connection.timeouts': '{timeout}',
      'db.client.connection.create_time': 's',
    });
    two.release();
  });

  it('waiting acquires, time-outs and a resize are seen', async () => {
    const { registry } = await start({
      database: { url: database.url, size: 1, maxOverflow: 0, acquireTimeoutMs: 60_000 },
    });
    const pool = registry.database();
    const client = await pool.connect();
    const waiting = pool.connect();
    await expect(pool.connect({ timeoutMs: 20 })).rejects.toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
    const starving = await collect();
    expect(values(starving, 'db.client.connection.pending_requests')).toMatchObject([[{}, 1]]);
    expect(values(starving, 'db.client.connection.timeouts')).toMatchObject([[{}, 1]]);
    pool.resize({ size: 4, maxOverflow: 2 });
    (await waiting).release();
    client.release();
    const resized = await collect();
    expect(values(resized, 'db.client.connection.idle.max')).toMatchObject([[{}, 4]]);
    expect(values(resized, 'db.client.connection.limit')).toMatchObject([[{}, 6]]);
    expect(values(resized, 'db.client.connection.pending_requests')).toMatchObject([[{}, 0]]);
  });

  it('an HTTP client is published by server, method and status', async () => {
    await using server = await CountingServer.listen((request, response) => {
      response.writeHead(request.url === '/missing' ? 404 : 200).end('{}');
    });
    const { registry } = await start({ database: false, http: { retry: false } });
    const client = registry.http();
    await client.get(`${server.url}/found`);
    await client.request(`${server.url}/missing`, { method: 'PURGE' });
    const nobody = await refusedPort();
    await client.get(`http://127.0.0.1:${nobody}`).catch(() => {});
    const collected = await collect();
    const address = {
      [conventions.ATTR_SERVER_ADDRESS]: '127.0.0.1',
      [conventions.ATTR_SERVER_PORT]: server.port,
      [conventions.ATTR_URL_SCHEME]: 'http',
    };
    const requests = values(collected, conventions.METRIC_HTTP_CLIENT_REQUEST_DURATION);
    expect(requests.map(([attributes]) => attributes)).toEqual([
      {
        ...address,
        [conventions.ATTR_HTTP_REQUEST_METHOD]: 'GET',
        [conventions.ATTR_HTTP_RESPONSE_STATUS_CODE]: 200,
      },
      {
        ...address,
        [conventions.ATTR_HTTP_REQUEST_METHOD]: '_OTHER',
        [conventions.ATTR_HTTP_RESPONSE_STATUS_CODE]: 404,
        [conventions.ATTR_ERROR_TYPE]: '404',
      },
      {
        ...address,
        [conventions.ATTR_SERVER_PORT]: nobody,
        [conventions.ATTR_HTTP_REQUEST_METHOD]: 'GET',
        [conventions.ATTR_ERROR_TYPE]: 'error',
      },
    ]);
    const boundaries = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
    expect(requests[0]?.[1]).toMatchObject({ buckets: { boundaries } });
    expect(
      values(collected, conventions.METRIC_HTTP_CLIENT_OPEN_CONNECTIONS).filter(
        ([attributes]) => (attributes as Record<string, unknown>)[conventions.ATTR_SERVER_PORT] === server.port,
      ),
    ).toMatchObject([
      [{ ...address, [conventions.ATTR_HTTP_CONNECTION_STATE]: 'idle' }, 1],
      [{ ...address, [conventions.ATTR_HTTP_CONNECTION_STATE]: 'active' }, 0],
    ]);
    client.beginDrain();
    expect(recorded(await collect(), conventions.METRIC_HTTP_CLIENT_CONNECTION_DURATION)).toEqual({
      attributes: address,
      count: 1,
      bounds: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300],
    });
  });

  it('every name is one that the conventions know', async () => {
    await using server = await CountingServer.listen((_request, response) => response.end());
    const { registry } = await start();
    await registry.database().query('select 1');
    await registry.http().get(server.url);
    registry.http().beginDrain();
    const known = new Set<unknown>(Object.values(conventions));
    const names = [...(await collect()).keys()];
    expect(names).toHaveLength(13);
    expect(names.filter((name) => !known.has(name))).toEqual([]);
  });

  it('of two applications with pools of one name the newer one counts, and its end leaves the other', async () => {
    await start();
    const { application: newer } = await start({
      database: { url: database.url, size: 1, maxOverflow: 0 },
      http: false,
    });
    expect(values(await collect(), 'db.client.connection.limit')).toMatchObject([[{}, 1]]);
    applications.pop();
    await newer.close();
    expect(values(await collect(), 'db.client.connection.limit')).toMatchObject([[{}, 5]]);
    expect(acquireChannel.hasSubscribers).toBe(true);
  });

  it('openTelemetry: false publishes nothing', async () => {
    const { registry } = await start({ openTelemetry: false });
    await registry.database().query('select 1');
    expect([...(await collect()).keys()]).toEqual([]);
    expect(acquireChannel.hasSubscribers).toBe(false);
  });
});

describe('without OpenTelemetry’s API', () => {
  it('an application starts and serves', async () => {
    const child = runTypeScript(new URL('./programs/without-opentelemetry.ts', import.meta.url), {
      env: { DATABASE_URL: database.url },
    });
    await child.prints(/^asked for the API: true, rows: 1$/m);
    expect(await child.ended).toEqual({ code: 0, signal: null });
  });
});

describe('without a metrics SDK', () => {
  it('nothing listens', async () => {
    metrics.disable();
    const { registry } = await start();
    await registry.database().query('select 1');
    for (const { hasSubscribers } of [acquireChannel, releaseChannel, connectChannel, requestChannel]) {
      expect(hasSubscribers).toBe(false);
    }
  });
});
