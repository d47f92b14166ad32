import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import fastifyHelmet from '@fastify/helmet';
import {
  Body,
  Catch,
  Controller,
  Get,
  Injectable,
  Module,
  Post,
  SetMetadata,
  UnauthorizedException,
  ValidationPipe,
  VersioningType,
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE, HttpAdapterHost, Reflector } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { Test } from '@nestjs/testing';
import { SkipThrottle, ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import { IsString } from 'class-validator';
import helmet from 'helmet';
import { PoolingModule, type StaticOptions } from 'nestjs-pooling';
import { map, of, type Observable } from 'rxjs';
import request, { type Response, type Test as Request } from 'supertest';

type Adapter = 'express' | 'fastify';

const Public = (): ReturnType<typeof SetMetadata> => SetMetadata('public', true);
const OPEN = { decorators: [Public(), SkipThrottle()] };
const ALL_OPEN: StaticOptions = { health: OPEN, metrics: OPEN, console: OPEN };
const LIMIT = 2;

/** As its documentation has it: asks the handler, and nobody else. */
@Injectable()
class AuthGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    if (this.reflector.get<boolean | undefined>('public', context.getHandler()) === true) return true;
    throw new UnauthorizedException();
  }
}

/** Wraps whatever a handler says, and keeps it for ever. */
@Injectable()
class WrapAndCache implements NestInterceptor {
  readonly #kept = new Map<string, unknown>();

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { url } = context.switchToHttp().getRequest<{ url: string }>();
    if (this.#kept.has(url)) return of(this.#kept.get(url));
    return next.handle().pipe(
      map((data: unknown) => {
        const wrapped = { success: true, data };
        this.#kept.set(url, wrapped);
        return wrapped;
      }),
    );
  }
}

/** Makes one form of every error. */
@Catch()
class EveryError implements ExceptionFilter {
  constructor(private readonly adapter: HttpAdapterHost) {}

  catch(error: { getStatus?(): number }, host: ArgumentsHost): void {
    const status = error.getStatus?.() ?? 500;
    this.adapter.httpAdapter.reply(host.switchToHttp().getResponse(), { success: false, status }, status);
  }
}

class Order {
  @IsString()
  name!: string;
}

@Controller('orders')
class OrdersController {
  @Get()
  all(): string[] {
    return [];
  }

  @Public()
  @Post()
  place(@Body() { name }: Order): string {
    return name;
  }
}

const applications: INestApplication[] = [];
afterEach(async () => {
  for (const application of applications.splice(0)) await application.close();
});

/** An application that has everything globally that applications have globally. */
async function start(adapter: Adapter, options: StaticOptions): Promise<INestApplication> {
  @Module({
    imports: [
      ThrottlerModule.forRoot([{ ttl: 60_000, limit: LIMIT }]),
      // Its database can't be reached: readiness is an error, and those are what filters reshape.
      PoolingModule.forRoot({
        database: { url: 'postgres://nobody@127.0.0.1:1/none', startup: 'lazy' },
        ...options,
      }),
    ],
    controllers: [OrdersController],
    providers: [
      { provide: APP_GUARD, useClass: AuthGuard },
      { provide: APP_GUARD, useClass: ThrottlerGuard },
      { provide: APP_INTERCEPTOR, useClass: WrapAndCache },
      { provide: APP_FILTER, useClass: EveryError },
      {
        provide: APP_PIPE,
        useValue: new ValidationPipe({ whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: true }),
      },
    ],
  })
  class Application {}
  const testing = await Test.createTestingModule({ imports: [Application] }).compile();
  const application =
    adapter === 'express'
      ? testing.createNestApplication({ logger: false })
      : testing.createNestApplication(new FastifyAdapter(), { logger: false });
  applications.push(application);
  if (adapter === 'express') application.use(helmet());
  else await (application as NestFastifyApplication).register(fastifyHelmet);
  application.setGlobalPrefix('api');
  application.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
  await application.listen(0, '127.0.0.1');
  return application;
}

function agent(application: INestApplication): ReturnType<typeof request> {
  const { port } = application.getHttpServer().address() as AddressInfo;
  return request(`http://127.0.0.1:${port}`);
}

function get(application: INestApplication, path: string): Request {
  return agent(application).get(path);
}

/** Answers to more requests than the throttler lets through. */
async function often(application: INestApplication, path: string): Promise<Response[]> {
  const answers: Response[] = [];
  for (let at = 0; at <= LIMIT + 1; at++) answers.push(await get(application, path));
  return answers;
}

describe.each<Adapter>(['express', 'fastify'])('in an application with everything global, on %s', (adapter) => {
  it('health answers as ever, whatever wraps, caches, counts or filters answers', async () => {
    const application = await start(adapter, ALL_OPEN);
    for (const { status, body, headers } of await often(application, '/api/health/live')) {
      expect([status, body]).toEqual([200, { status: 'ok', info: {}, error: {}, details: {} }]);
      expect(headers['cache-control']).toBe('no-cache, no-store, must-revalidate');
    }
    for (const path of ['/api/health', '/api/health/ready']) {
      for (const { status, body } of await often(application, path)) {
        expect(status).toBe(503);
        expect(body).toMatchObject({ status: 'error', error: { database: { status: 'down' } } });
      }
    }
  });

  it('metrics are text', async () => {
    const application = await start(adapter, ALL_OPEN);
    for (const { status, text, headers } of await often(application, '/api/metrics')) {
      expect(status).toBe(200);
      // An older Express puts the parameters in another order.
      expect(headers['content-type']).toMatch(/^text\/plain;.* ?version=0\.0\.4\b/);
      expect(text).toContain('db_pool_size{pool="default"} 0');
    }
  });

  it('the console is served with its own content security policy, files, calculator and orders', async () => {
    const application = await start(adapter, {
      ...ALL_OPEN,
      console: { ...OPEN, allowedActions: ['expireAll'] },
    });
    for (const { status, text, headers } of await often(application, '/api/pools')) {
      expect(status).toBe(200);
      expect(text).toContain('<title>Pools</title>');
      expect(headers['content-security-policy']).toContain("default-src 'none'");
    }
    expect((await get(application, '/api/pools/app.js')).headers['content-type']).toContain('text/javascript');
    expect((await get(application, '/api/pools/none.js')).status).toBe(404);
    const size = await get(application, '/api/pools/size?acquiresPerSecond=100&meanUseMs=10&waitTargetMs=5');
    expect(size.body).toMatchObject({ size: expect.any(Number) as number });
    const order = { action: 'expireAll', pool: 'default' };
    const done = await agent(application).post('/api/pools/actions').set('x-pool-console', '1').send(order);
    expect([done.status, Object.keys(done.body as object)]).toEqual([200, ['done']]);
    expect((await agent(application).post('/api/pools/actions').send(order)).status).toBe(403);
  });

  it('guards and throttlers apply to routes of which nothing else is said', async () => {
    const closed = await start(adapter, { console: {} });
    for (const path of ['/api/health/live', '/api/health/ready', '/api/metrics', '/api/pools', '/api/pools/app.js']) {
      expect((await get(closed, path)).status).toBe(401);
    }
    const counted = await start(adapter, { health: { decorators: [Public()] } });
    const statuses = (await often(counted, '/api/health/live')).map(({ status }) => status);
    expect(statuses).toEqual([...Array.from({ length: LIMIT }, () => 200), 429, 429]);
  });

  it('the application’s own routes are as before', async () => {
    const application = await start(adapter, ALL_OPEN);
    const refused = await get(application, '/api/v1/orders');
    expect([refused.status, refused.body]).toEqual([401, { success: false, status: 401 }]);
    expect(refused.headers['content-security-policy']).toContain("default-src 'self'");
    const place = (body: object): Request => agent(application).post('/api/v1/orders').send(body);
    expect((await place({ nom: 'one' })).body).toEqual({ success: false, status: 400 });
    expect((await place({ name: 'one' })).body).toEqual({ success: true, data: 'one' });
  });

  it('Swagger shows the application’s routes alone', async () => {
    const application = await start(adapter, ALL_OPEN);
    const { paths } = SwaggerModule.createDocument(application, new DocumentBuilder().build());
    expect(Object.keys(paths)).toEqual(['/api/v1/orders']);
  });
});

it('Swagger shows the health routes where that is wanted', async () => {
  const { ApiExcludeController } = await import('@nestjs/swagger');
  const application = await start('express', { health: { decorators: [ApiExcludeController(false)] } });
  const { paths } = SwaggerModule.createDocument(application, new DocumentBuilder().build());
  expect(Object.keys(paths).toSorted()).toEqual([
    '/api/health',
    '/api/health/live',
    '/api/health/ready',
    '/api/v1/orders',
  ]);
});

it('what isn’t a decorator is refused with the other wrong options', async () => {
  const options = { health: { decorators: ['Public'] } } as unknown as StaticOptions;
  await expect(start('express', options)).rejects.toMatchObject({
    code: 'ERR_POOL_OPTIONS_INVALID',
    message: expect.stringContaining('health.decorators') as string,
  });
});
