import type { AddressInfo } from 'node:net';
import {
  Controller,
  Get,
  Module,
  RequestMethod,
  type Type,
  VersioningType,
  type INestApplication,
  type VersioningOptions,
} from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { PoolingModule } from 'nestjs-pooling';

type Adapter = 'express' | 'fastify';

@Controller('orders')
class OrdersController {
  @Get()
  all(): string[] {
    return [];
  }
}

/** Short links, and a page that routes by itself: patterns that fit the library's paths as well. */
@Controller()
class PatternsController {
  @Get(':code')
  link(): string {
    return 'a link';
  }

  @Get([':page/:part', '*'])
  page(): string {
    return 'a page';
  }
}

const applications: INestApplication[] = [];
afterEach(async () => {
  for (const application of applications.splice(0)) await application.close();
});

async function start(
  adapter: Adapter,
  configure: (application: INestApplication) => void,
  controllers = [OrdersController] as Type<unknown>[],
): Promise<string> {
  @Module({
    imports: [PoolingModule.forRoot({ database: false, console: { allowedActions: ['expireAll'] } })],
    controllers,
  })
  class Application {}
  const testing = await Test.createTestingModule({ imports: [Application] }).compile();
  const application =
    adapter === 'express'
      ? testing.createNestApplication({ logger: false })
      : testing.createNestApplication(new FastifyAdapter(), { logger: false });
  applications.push(application);
  configure(application);
  await application.listen(0, '127.0.0.1');
  return `http://127.0.0.1:${(application.getHttpServer().address() as AddressInfo).port}`;
}

const ROUTES = ['health', 'health/live', 'health/ready', 'metrics', 'pools'];

async function statuses(base: string, paths: readonly string[], headers = {}): Promise<Record<string, number>> {
  const answers: Record<string, number> = {};
  for (const path of paths) answers[path] = (await fetch(`${base}/${path}`, { headers })).status;
  return answers;
}

const all = (paths: readonly string[], status: number): Record<string, number> =>
  Object.fromEntries(paths.map((path) => [path, status]));

describe.each<Adapter>(['express', 'fastify'])('routes on %s', (adapter) => {
  it.each<[string, VersioningOptions, Record<string, string>]>([
    ['a header', { type: VersioningType.HEADER, header: 'x-version', defaultVersion: '1' }, { 'x-version': '2' }],
    ['a header, no default', { type: VersioningType.HEADER, header: 'x-version' }, { 'x-version': '2' }],
    ['the media type', { type: VersioningType.MEDIA_TYPE, key: 'v=', defaultVersion: '1' }, { accept: '*/*;v=2' }],
    ['what it says', { type: VersioningType.CUSTOM, extractor: () => '7', defaultVersion: '1' }, {}],
    ['the path', { type: VersioningType.URI, defaultVersion: '1' }, {}],
  ])('answer in an application whose versions are told by %s', async (_what, versioning, headers) => {
    const base = await start(adapter, (application) => application.enableVersioning(versioning));
    expect(await statuses(base, ROUTES)).toEqual(all(ROUTES, 200));
    expect(await statuses(base, ROUTES, headers)).toEqual(all(ROUTES, 200));
  });

  it('stay outside the global prefix where the application excludes them', async () => {
    const base = await start(adapter, (application) => {
      application.setGlobalPrefix('api', {
        exclude: ['health', 'health/*path', { path: 'metrics', method: RequestMethod.GET }, 'pools', 'pools/*path'],
      });
      application.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
    });
    expect(await statuses(base, ROUTES)).toEqual(all(ROUTES, 200));
    expect(await statuses(base, ['api/v1/orders', 'api/health', 'pools/app.js', 'pools/size'])).toEqual({
      'api/v1/orders': 200,
      'api/health': 404,
      'pools/app.js': 200,
      'pools/size': 200,
    });
  });

  it('are there beside patterns of the application that fit their paths', async () => {
    const base = await start(adapter, () => undefined, [PatternsController]);
    const text = async (path: string): Promise<string> => (await fetch(`${base}/${path}`)).text();
    expect(await Promise.all(['abc', 'abc/def', 'abc/def/ghi'].map(text))).toEqual(['a link', 'a page', 'a page']);
    expect(await text('health')).toContain('"ok"');
    expect(await text('health/live')).toContain('"ok"');
    expect(await text('metrics')).toContain('http_pool_size');
    expect(await text('pools')).toContain('<title>Pools</title>');
    expect(await text('pools/app.js')).toContain('import ');
  });

  it('answer GET and HEAD where the prefix has a parameter', async () => {
    const base = await start(adapter, (application) => application.setGlobalPrefix(':tenant/api'));
    expect(
      await statuses(
        base,
        ROUTES.map((path) => `one/api/${path}`),
      ),
    ).toEqual(
      all(
        ROUTES.map((path) => `one/api/${path}`),
        200,
      ),
    );
    for (const path of ROUTES)
      expect((await fetch(`${base}/one/api/${path}`, { method: 'HEAD' })).status, path).toBe(200);
  });
});
