import { createServer, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import {
  Controller,
  Get,
  Logger,
  Module,
  VersioningType,
  type INestApplication,
  type ModuleMetadata,
} from '@nestjs/common';
import { RouterModule } from '@nestjs/core';
import {
  HealthCheck,
  HealthCheckService,
  HealthIndicatorService,
  TerminusModule,
  type HealthCheckResult,
} from '@nestjs/terminus';
import { PoolHealthIndicator, PoolingModule, PoolRegistry } from 'nestjs-pooling';
import { PostgresServer, TcpProxy } from 'nestjs-pooling/testing';
import request, { type Response } from 'supertest';
import { urlOf, useApplications, type Adapter } from '#test/support/applications.js';
import { urlAt, useTestDatabase } from '#test/support/database.js';

/** Terminus 11 doesn't know `degraded`: there, it is `up` with a detail that says so. */
const [OVERALL, DEGRADED] =
  typeof new HealthIndicatorService().check('any').degraded === 'function'
    ? (['degraded', { status: 'degraded' }] as const)
    : (['ok', { status: 'up', state: 'degraded' }] as const);

const database = useTestDatabase();
const startAs = useApplications();

afterEach(() => void vi.restoreAllMocks());

/** A started application, which listens. */
function start(
  metadata: ModuleMetadata,
  adapter: Adapter = 'express',
  configure?: (application: INestApplication) => void,
): Promise<INestApplication> {
  return startAs(metadata, { adapter, ...(configure === undefined ? {} : { configure }) });
}

function get(application: INestApplication, path: string): Promise<Response> {
  return request(urlOf(application)).get(path);
}

/** Resolves when readiness answers with a status. After how long that has to be is in ping-cache.spec.ts. */
async function readinessIs(application: INestApplication, status: number): Promise<void> {
  await vi.waitFor(async () => expect((await get(application, '/health/ready')).status).toBe(status));
}

function everyLeaf(value: unknown): unknown[] {
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(everyLeaf) : [value];
}

describe.each<Adapter>(['express', 'fastify'])('health on %s', (adapter) => {
  it("answers in Terminus' form at the three routes", async () => {
    const application = await start(
      {
        imports: [
          PoolingModule.forRoot({ database: { url: database.url } }),
          PoolingModule.forDatabase({ name: 'reports', url: database.url, size: 3, maxOverflow: 0 }),
          PoolingModule.forHttpClient({ name: 'carrier' }),
        ],
      },
      adapter,
    );
    const client = { status: 'up', sockets: 0, idle: 0, inUse: 0, waiting: 0, limit: 100, limitPerHost: 20 };
    for (const path of ['/health', '/health/ready']) {
      const { status, body, headers } = await get(application, path);
      expect(status).toBe(200);
      expect(body).toMatchObject({
        status: 'ok',
        error: {},
        details: {
          database: { status: 'up', size: 1, idle: 1, inUse: 0, connecting: 0, waiting: 0, max: 15 },
          'database:reports': { status: 'up', max: 3 },
          http: client,
          'http:carrier': client,
        },
      });
      expect((body as HealthCheckResult).info).toEqual((body as HealthCheckResult).details);
      expect(headers['cache-control']).toContain('no-store');
    }
    const live = await get(application, '/health/live');
    expect([live.status, live.body]).toEqual([200, { status: 'ok', info: {}, error: {}, details: {} }]);
  });

  it('goes red when the database goes down, and green again by itself, with nothing said twice', async () => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
    const log = vi.spyOn(Logger.prototype, 'log').mockImplementation(() => {});
    const error = vi.spyOn(Logger.prototype, 'error').mockImplementation(() => {});
    await using server = await PostgresServer.start({ authentication: 'trust' });
    const application = await start(
      { imports: [PoolingModule.forRoot({ database: { url: server.url }, http: false })] },
      adapter,
    );
    expect((await get(application, '/health/ready')).status).toBe(200);

    await server.stop('immediate');
    await readinessIs(application, 503);
    for (let probe = 0; probe < 5; probe++) {
      const { status, body } = await get(application, '/health');
      expect(status).toBe(503);
      expect(body).toMatchObject({ status: 'error', info: {}, error: { database: { status: 'down', size: 0 } } });
      const { details } = body as HealthCheckResult;
      expect(everyLeaf(details).filter((leaf) => typeof leaf !== 'number')).toEqual(['down']);
    }
    expect((await get(application, '/health/live')).status).toBe(200);

    await server.start();
    await readinessIs(application, 200);

    const said = [...warn.mock.calls, ...log.mock.calls].map(([message]) => String(message));
    const down = said.filter((message) => message.startsWith("default: the database doesn't answer: "));
    expect(down).toEqual([expect.stringContaining('ECONNREFUSED')]);
    expect(said.filter((message) => message.startsWith('default: the database answers again'))).toHaveLength(1);
    expect(error.mock.calls).toEqual([]);
  });

  it('goes red when the server accepts connections and says nothing', async () => {
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const url = urlAt(database.url, proxy.port);
    const application = await start({ imports: [PoolingModule.forRoot({ database: { url } })] }, adapter);
    expect((await get(application, '/health/ready')).status).toBe(200);
    proxy.blackhole();
    await proxy.stall();
    await readinessIs(application, 503);
    proxy.cut('rst');
    await proxy.forward();
    await readinessIs(application, 200);
  });

  it('stays green, as degraded, when the pool is saturated, and no probe joins the queue', async () => {
    const application = await start(
      { imports: [PoolingModule.forRoot({ database: { url: database.url, size: 2, maxOverflow: 0 } })] },
      adapter,
    );
    const pool = application.get(PoolRegistry).database();
    const [one, other] = [await pool.connect(), await pool.connect()];
    const waiting = pool.query('select 1');
    try {
      const answers = await Promise.all(Array.from({ length: 20 }, () => get(application, '/health/ready')));
      for (const { status, body } of answers) {
        expect(status).toBe(200);
        expect(body).toMatchObject({ status: OVERALL, details: { database: { ...DEGRADED, waiting: 1 } } });
      }
    } finally {
      one.release();
      other.release();
      await waiting;
    }
  });

  it('stays green, as degraded, while requests wait for an HTTP client at its limit', async () => {
    const held: ServerResponse[] = [];
    const upstream: Server = createServer((_request, response) => void held.push(response));
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const application = await start(
      { imports: [PoolingModule.forRoot({ database: false, http: { limitPerHost: 1 } })] },
      adapter,
    );
    const http = application.get(PoolRegistry).http();
    const { port } = upstream.address() as AddressInfo;
    const requests = Promise.all([1, 2].map(() => http.get(`http://127.0.0.1:${port}/`)));
    try {
      await vi.waitFor(() => expect(held).toHaveLength(1));
      const { status, body } = await get(application, '/health/ready');
      expect(status).toBe(200);
      expect(body).toMatchObject({
        status: OVERALL,
        details: { http: { ...DEGRADED, waiting: 1, inUse: 1 } },
      });
    } finally {
      held[0]?.end();
      await vi.waitFor(() => expect(held).toHaveLength(2));
      held[1]?.end();
      await requests;
      upstream.close();
    }
  });

  it('is where it was asked to be, under the global prefix and in every version', async () => {
    const application = await start(
      { imports: [PoolingModule.forRoot({ database: false, health: { path: 'ops/status' } })] },
      adapter,
      (configured) =>
        configured.setGlobalPrefix('api').enableVersioning({ type: VersioningType.URI, defaultVersion: '1' }),
    );
    expect((await get(application, '/api/ops/status')).status).toBe(200);
    expect((await get(application, '/api/ops/status/live')).status).toBe(200);
    expect((await get(application, '/health')).status).toBe(404);
  });

  it('can be left out', async () => {
    const application = await start({ imports: [PoolingModule.forRoot({ database: false, health: false })] }, adapter);
    expect((await get(application, '/health')).status).toBe(404);
  });

  it("leaves the route to the application's own controller", async () => {
    @Controller('health')
    class OwnHealthController {
      @Get()
      check(): string {
        return 'mine';
      }
    }
    const application = await start(
      { imports: [PoolingModule.forRoot({ database: false })], controllers: [OwnHealthController] },
      adapter,
    );
    expect((await get(application, '/health')).text).toBe('mine');
    expect((await get(application, '/health/live')).body).toMatchObject({ status: 'ok' });
    expect((await get(application, '/health/ready')).body).toMatchObject({ status: 'ok' });
  });

  it('leaves all of them to controllers that have all of them', async () => {
    @Controller('health')
    class OwnHealthController {
      @Get(['', 'live'])
      check(): string {
        return 'mine';
      }
    }
    @Controller('health/ready')
    class OwnReadinessController {
      @Get()
      check(): string {
        return 'mine, too';
      }
    }
    const controllers = [OwnHealthController, OwnReadinessController];
    const application = await start({ imports: [PoolingModule.forRoot({ database: false })], controllers }, adapter);
    const answers = await Promise.all(['', '/live', '/ready'].map((path) => get(application, `/health${path}`)));
    expect(answers.map(({ text }) => text)).toEqual(['mine', 'mine', 'mine, too']);
  });
});

describe('a route of the application', () => {
  @Controller('health')
  class Elsewhere {
    @Get()
    check(): string {
      return 'elsewhere';
    }
  }

  it('in another version of its API is no conflict', async () => {
    @Controller({ path: 'health', version: '2' })
    class SecondVersion extends Elsewhere {
      @Get()
      override check(): string {
        return 'version 2';
      }
    }
    const application = await start(
      { imports: [PoolingModule.forRoot({ database: false })], controllers: [SecondVersion] },
      'fastify',
      (configured) => configured.enableVersioning({ type: VersioningType.URI }),
    );
    expect((await get(application, '/health/ready')).status).toBe(200);
    expect((await get(application, '/v2/health')).text).toBe('version 2');
  });

  it('in a module that is mounted elsewhere is no conflict', async () => {
    @Module({ controllers: [Elsewhere] })
    class AdminModule {}
    const application = await start({
      imports: [
        PoolingModule.forRoot({ database: false }),
        AdminModule,
        RouterModule.register([{ path: 'admin', module: AdminModule }]),
      ],
    });
    expect((await get(application, '/health/ready')).status).toBe(200);
    expect((await get(application, '/admin/health')).text).toBe('elsewhere');
  });

  it('made of a controller without a path and a handler with one is a conflict all the same', async () => {
    @Controller()
    class RootController {
      @Get(['alive', '/health/'])
      check(): string {
        return 'mine';
      }
    }
    const application = await start(
      { imports: [PoolingModule.forRoot({ database: false })], controllers: [RootController] },
      'fastify',
    );
    expect((await get(application, '/health')).text).toBe('mine');
  });
});

describe('PoolHealthIndicator', () => {
  @Controller('status')
  class StatusController {
    constructor(
      private readonly health: HealthCheckService,
      private readonly pools: PoolHealthIndicator,
    ) {}

    @Get()
    @HealthCheck()
    check(): Promise<HealthCheckResult> {
      return this.health.check([
        () => this.pools.database('orders'),
        () => this.pools.database('reports', 'reports'),
        () => this.pools.http('carrier', 'carrier'),
      ]);
    }

    @Get('unknown')
    @HealthCheck()
    unknown(): Promise<HealthCheckResult> {
      return this.health.check([() => this.pools.database('orders', 'ordres')]);
    }
  }

  @Module({ imports: [TerminusModule], controllers: [StatusController] })
  class StatusModule {}

  it("serves an application's own controller, under its own keys", async () => {
    const application = await start({
      imports: [
        PoolingModule.forRoot({ database: { url: database.url }, health: false }),
        PoolingModule.forDatabase({ name: 'reports', url: database.url }),
        PoolingModule.forHttpClient({ name: 'carrier' }),
        StatusModule,
      ],
    });
    const { body } = await get(application, '/status');
    expect(body).toMatchObject({
      status: 'ok',
      details: { orders: { status: 'up' }, reports: { status: 'up' }, carrier: { status: 'up' } },
    });
    expect((await get(application, '/status/unknown')).status).toBe(500);
  });
});
