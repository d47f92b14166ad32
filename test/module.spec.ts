import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Injectable, Module, type DynamicModule, type INestApplication, type Type } from '@nestjs/common';
import request from 'supertest';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import { sql, type Kysely } from 'kysely';
import {
  DatabasePool,
  getDbPoolToken,
  getDbToken,
  getHttpClientToken,
  HttpClient,
  InjectDb,
  InjectDbPool,
  InjectHttpClient,
  PoolingModule,
  PoolRegistry,
  type DatabaseOptions,
  type DatabaseOptionsFactory,
  type HttpClientOptions,
  type HttpClientOptionsFactory,
  type PoolingModuleOptions,
  type PoolingOptionsFactory,
} from 'nestjs-pooling';
import { TcpProxy } from 'nestjs-pooling/testing';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

type Imports = readonly (Type<unknown> | DynamicModule)[];

let database: TestDatabase;
let upstream: Server;
let upstreamUrl: string;
const applications: INestApplication[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  upstream = createServer((request, response) => response.end(JSON.stringify({ path: request.url })));
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
});

afterEach(async () => {
  for (const application of applications.splice(0)) await application.close();
});

afterAll(async () => {
  upstream.closeAllConnections();
  upstream.close();
  await database.drop();
});

/** An application with these imports, started. */
async function start(
  imports: Imports,
  adapt: (builder: TestingModuleBuilder) => TestingModuleBuilder = (builder) => builder,
  providers: Type<unknown>[] = [],
): Promise<INestApplication> {
  const builder = Test.createTestingModule({ imports: [...imports], providers });
  const application = (await adapt(builder).compile()).createNestApplication({ logger: false });
  applications.push(application);
  await application.init();
  return application;
}

/** The error that an application with these imports fails to start with. */
async function startError(imports: Imports): Promise<Error & { code?: string }> {
  return await start(imports).then(
    () => {
      throw new Error('it started');
    },
    (error: Error) => error,
  );
}

async function selectOne(application: INestApplication, name?: string): Promise<unknown> {
  const db = application.get<Kysely<unknown>>(getDbToken(name));
  return (await sql<{ one: number }>`select 1 as one`.execute(db)).rows[0]?.one;
}

function backends(): Promise<{ application_name: string }[]> {
  return database.query(
    `select application_name from pg_stat_activity where datname = $1 and application_name <> 'test support'`,
    [database.name],
  );
}

/** The server's address with a proxy in between. */
function through(proxy: TcpProxy): string {
  const url = new URL(database.url);
  url.port = String(proxy.port);
  return url.href;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

@Injectable()
class Settings {
  readonly url = database.url;
}

@Injectable()
class OptionsFactory implements PoolingOptionsFactory, DatabaseOptionsFactory, HttpClientOptionsFactory {
  readonly made: string[] = [];

  constructor(private readonly settings: Settings) {}

  createPoolingOptions(): PoolingModuleOptions {
    this.made.push('default');
    return { database: this.createDatabaseOptions('default'), http: false };
  }

  createDatabaseOptions(name: string): DatabaseOptions {
    if (name !== 'default') this.made.push(name);
    return { url: this.settings.url, size: name === 'default' ? 4 : 5 };
  }

  createHttpClientOptions(name: string): HttpClientOptions {
    this.made.push(name);
    return { limit: 6 };
  }
}

@Module({ providers: [Settings, OptionsFactory], exports: [Settings, OptionsFactory] })
class SettingsModule {}

@Injectable()
class Orders {
  constructor(
    @InjectDb() readonly db: Kysely<unknown>,
    @InjectDbPool() readonly pool: DatabasePool,
    @InjectHttpClient() readonly http: HttpClient,
    @InjectDb('reports') readonly reports: Kysely<unknown>,
    @InjectDbPool('reports') readonly reportsPool: DatabasePool,
    @InjectHttpClient('carrier') readonly carrier: HttpClient,
    readonly registry: PoolRegistry,
  ) {}
}

describe('PoolingModule', () => {
  it('injects the default and the named pools, their Kysely and the HTTP clients', async () => {
    const application = await start(
      [
        PoolingModule.forRoot({ database: { url: database.url } }),
        PoolingModule.forDatabase({ name: 'reports', url: database.url, size: 2 }),
        PoolingModule.forHttpClient({ name: 'carrier', baseUrl: upstreamUrl }),
      ],
      undefined,
      [Orders],
    );
    const orders = application.get(Orders);
    expect((await sql<{ one: number }>`select 1 as one`.execute(orders.db)).rows).toEqual([{ one: 1 }]);
    expect((await sql<{ one: number }>`select 1 as one`.execute(orders.reports)).rows).toEqual([{ one: 1 }]);
    expect(await orders.carrier.get('/parcels/7').json()).toEqual({ path: '/parcels/7' });
    expect([orders.pool.name, orders.reportsPool.name]).toEqual(['default', 'reports']);
    expect([orders.http.name, orders.carrier.name]).toEqual(['default', 'carrier']);
    expect(orders.registry.database()).toBe(orders.pool);
    expect(orders.registry.http('carrier')).toBe(orders.carrier);
    expect(orders.registry.databases().map(({ name }) => name)).toEqual(['default', 'reports']);
    expect(orders.registry.httpClients().map(({ name }) => name)).toEqual(['default', 'carrier']);
  });

  it('makes the options in a function, with what it imports, injects and is given beside', async () => {
    const EXTRA = Symbol('extra');
    const application = await start([
      PoolingModule.forRootAsync({
        imports: [SettingsModule],
        inject: [Settings, EXTRA],
        extraProviders: [{ provide: EXTRA, useValue: 3 }],
        useFactory: (settings: Settings, size: number) => ({ database: { url: settings.url, size } }),
      }),
      PoolingModule.forDatabaseAsync({
        name: 'reports',
        imports: [SettingsModule],
        inject: [Settings],
        useFactory: async (settings: Settings) => ({ url: settings.url, size: 2 }),
      }),
      PoolingModule.forHttpClientAsync({ name: 'carrier', useFactory: () => ({ baseUrl: upstreamUrl }) }),
    ]);
    expect(await selectOne(application)).toBe(1);
    expect(await selectOne(application, 'reports')).toBe(1);
    const registry = application.get(PoolRegistry);
    expect(registry.databases().map(({ configuration }) => configuration.size)).toEqual([3, 2]);
    expect(await registry.http('carrier').get('/a').json()).toEqual({ path: '/a' });
  });

  it('refuses what stands beside a factory and is read by nobody, and a factory that gives nothing', async () => {
    const useFactory = (): object => ({ database: false });
    expect(() => PoolingModule.forRootAsync({ useFactory, database: { size: 3 } } as never)).toThrow(
      /database: no such option beside a factory; options belong into what the factory gives/,
    );
    expect(() => PoolingModule.forDatabaseAsync({ name: 'reports', useFactory, size: 3 } as never)).toThrow(
      /reports: 1 wrong option:\n.*size: no such option beside a factory/,
    );
    expect(() => PoolingModule.forHttpClientAsync({ name: 'carrier', useFactroy: useFactory } as never)).toThrow(
      /did you mean useFactory\?/,
    );
    expect(() => PoolingModule.forRootAsync({ useClass: OptionsFactory, inject: [Settings] })).toThrow(
      /inject: is for useFactory alone/,
    );
    const forgetful = (() => undefined) as never;
    await expect(start([PoolingModule.forDatabaseAsync({ name: 'reports', useFactory: forgetful })])).rejects.toThrow(
      /what the factory gave: undefined is not allowed; an object with options/,
    );
    await expect(start([PoolingModule.forHttpClientAsync({ name: 'carrier', useFactory: forgetful })])).rejects.toThrow(
      /what the factory gave: undefined is not allowed/,
    );
  });

  it('makes the options in a class of its own', async () => {
    const application = await start([
      PoolingModule.forRootAsync({ imports: [SettingsModule], useClass: OptionsFactory }),
      PoolingModule.forDatabaseAsync({ name: 'reports', imports: [SettingsModule], useClass: OptionsFactory }),
      PoolingModule.forHttpClientAsync({ name: 'carrier', imports: [SettingsModule], useClass: OptionsFactory }),
    ]);
    expect(await selectOne(application)).toBe(1);
    expect(await selectOne(application, 'reports')).toBe(1);
    const registry = application.get(PoolRegistry);
    expect(registry.databases().map(({ configuration }) => configuration.size)).toEqual([4, 5]);
    expect(registry.http('carrier').options.limit).toBe(6);
  });

  it('makes the options in an instance that exists', async () => {
    const application = await start([
      PoolingModule.forRootAsync({ imports: [SettingsModule], useExisting: OptionsFactory }),
      PoolingModule.forDatabaseAsync({ name: 'reports', imports: [SettingsModule], useExisting: OptionsFactory }),
      PoolingModule.forHttpClientAsync({ name: 'carrier', imports: [SettingsModule], useExisting: OptionsFactory }),
    ]);
    expect(await selectOne(application)).toBe(1);
    // In which order is Nest's affair, and has changed.
    expect(application.get(OptionsFactory).made.toSorted()).toEqual(['carrier', 'default', 'reports']);
  });

  it.each([
    ['none', {}],
    ['two', { useFactory: () => ({}), useClass: Settings }],
  ])('refuses asynchronous options with %s of the three styles', (_what, styles) => {
    expect(() => PoolingModule.forRootAsync(styles as never)).toThrow(/exactly one is allowed/);
    expect(() => PoolingModule.forDatabaseAsync({ name: 'reports', ...styles } as never)).toThrow(/reports/);
  });

  it('connects nothing while providers are made, and fills minIdle when the application has started', async () => {
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const testing = await Test.createTestingModule({
      imports: [PoolingModule.forRoot({ database: { url: through(proxy), minIdle: 3 } })],
    }).compile();
    await pause(100);
    expect(proxy.accepted).toBe(0);
    const application = testing.createNestApplication({ logger: false });
    applications.push(application);
    await application.init();
    await vi.waitFor(() => expect(proxy.accepted).toBe(3));
  });

  it("starts nothing in the background with startup: 'lazy'", async () => {
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const application = await start([
      PoolingModule.forRoot({ database: { url: through(proxy), minIdle: 3, startup: 'lazy' } }),
    ]);
    await pause(100);
    expect(proxy.accepted).toBe(0);
    expect(await selectOne(application)).toBe(1);
  });

  it("has a connection when it has started, with startup: 'required'", async () => {
    const application = await start([PoolingModule.forRoot({ database: { url: database.url, startup: 'required' } })]);
    expect(application.get(PoolRegistry).database().statistics().opened).toBe(1);
  });

  it("fails to start with the real cause, and leaves nothing open, with startup: 'required'", async () => {
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    await proxy.refuse();
    const url = through(proxy);
    const error = await startError([
      PoolingModule.forRoot({ database: { url, startup: 'required', connectTimeoutMs: 300 } }),
      PoolingModule.forDatabase({
        name: 'reports',
        url: database.url,
        startup: 'required',
        applicationName: 'left open',
      }),
    ]);
    expect(error).toMatchObject({ code: 'ERR_POOL_CONNECT_FAILED', cause: { code: 'ECONNREFUSED' } });
    expect(error.message).toMatch(/default: no connection could be opened within 300 ms.*ECONNREFUSED/s);
    await vi.waitFor(async () => {
      expect((await backends()).filter(({ application_name }) => application_name === 'left open')).toEqual([]);
    });
  });

  it('says what the database calls the application', async () => {
    const application = await start([
      PoolingModule.forRoot({ database: { url: database.url, applicationName: 'orders' } }),
    ]);
    await selectOne(application);
    expect(await backends()).toContainEqual({ application_name: 'orders' });
  });

  it('takes DATABASE_URL when no database is configured', async () => {
    vi.stubEnv('DATABASE_URL', database.url);
    try {
      expect(await selectOne(await start([PoolingModule.forRoot()]))).toBe(1);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('names', () => {
  it.each<[string, Imports]>([
    ['forRoot', [PoolingModule.forRoot({ database: false }), PoolingModule.forRoot({ database: false })]],
    [
      'a database',
      [
        PoolingModule.forDatabase({ name: 'reports', url: 'postgres://nobody@127.0.0.1/nothing' }),
        PoolingModule.forDatabase({ name: 'reports', url: 'postgres://nobody@127.0.0.1/nothing' }),
      ],
    ],
    [
      'an HTTP client',
      [
        PoolingModule.forHttpClient({ name: 'carrier' }),
        PoolingModule.forHttpClientAsync({ name: 'carrier', useFactory: () => ({}) }),
      ],
    ],
    [
      'the default database beside that of forRoot',
      [PoolingModule.forRoot({ database: false }), PoolingModule.forDatabase({ name: 'default' })],
    ],
  ])('are refused when they are given twice: %s', async (_what, imports) => {
    const error = await startError(imports);
    expect(error).toMatchObject({ code: 'ERR_POOL_OPTIONS_INVALID' });
    expect(error.message).toMatch(/registered already|imported twice/);
  });

  it('may be given to a database and to an HTTP client', async () => {
    const application = await start([
      PoolingModule.forDatabase({ name: 'billing', url: database.url }),
      PoolingModule.forHttpClient({ name: 'billing', baseUrl: upstreamUrl }),
    ]);
    expect(await selectOne(application, 'billing')).toBe(1);
  });

  it('belong to their application: two in one process never meet', async () => {
    const imports = (size: number): Imports => [PoolingModule.forRoot({ database: { url: database.url, size } })];
    const [one, other] = [await start(imports(1)), await start(imports(2))];
    expect(one.get(PoolRegistry).databases()).toHaveLength(1);
    expect(other.get(PoolRegistry).database().configuration.size).toBe(2);
    await one.close();
    await expect(selectOne(one)).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect(await selectOne(other)).toBe(1);
  });

  it('of one module object imported in several places are registered once', async () => {
    const pooling = PoolingModule.forRoot({ database: { url: database.url } });
    @Module({ imports: [pooling] })
    class One {}
    @Module({ imports: [pooling] })
    class Other {}
    const application = await start([One, Other]);
    expect(application.get(PoolRegistry).databases()).toHaveLength(1);
  });

  it.each([undefined, '', 7])('are refused when they are %j', (name) => {
    expect(() => PoolingModule.forDatabase({ name } as never)).toThrow(/name: .* is not allowed/);
    expect(() => PoolingModule.forHttpClient({ name } as never)).toThrow(/name: .* is not allowed/);
  });

  it('that nobody registered are named, with those there are', async () => {
    const application = await start([PoolingModule.forDatabase({ name: 'reports', url: database.url })]);
    const registry = application.get(PoolRegistry);
    expect(() => registry.database('reprots')).toThrow(
      'reprots: no database of this name is configured; there is reports',
    );
    expect(() => registry.http()).toThrow('default: no HTTP client of this name is configured; there is none');
  });

  it('of forRoot can be kept to the modules that import it', async () => {
    const local = PoolingModule.forRoot({ database: { url: database.url }, isGlobal: false });
    @Injectable()
    class Service {
      constructor(@InjectDb() readonly db: Kysely<unknown>) {}
    }
    @Module({ imports: [local], providers: [Service] })
    class Inside {}
    @Module({ providers: [Service] })
    class Outside {}
    await start([Inside]);
    expect((await startError([Inside, Outside])).message).toContain(getDbToken());
  });
});

describe('what is not configured', () => {
  it('can be injected, and fails at its first use with what to set', async () => {
    const application = await start(
      [
        PoolingModule.forRoot({ database: false, http: false }),
        PoolingModule.forDatabase({ name: 'reports', url: database.url }),
        PoolingModule.forHttpClient({ name: 'carrier' }),
      ],
      undefined,
      [Orders],
    );
    const { db, pool, http } = application.get(Orders);
    for (const use of [() => db.selectFrom('orders' as never), () => pool.query('select 1'), () => http.get('/')]) {
      expect(use).toThrow(expect.objectContaining({ code: 'ERR_POOL_NOT_CONFIGURED' }) as Error);
    }
    expect(() => db.selectFrom('orders' as never)).toThrow(/set `database` in the options of PoolingModule.forRoot/);
    expect(
      application
        .get(PoolRegistry)
        .snapshot()
        .databases.map(({ name }) => name),
    ).toEqual(['reports']);
    await application.close();
  });
});

describe('wrong options', () => {
  it('are refused all at once, with the path, the value and what is allowed, and without the password', async () => {
    const error = await startError([
      PoolingModule.forRoot({
        database: { url: 'postgres://orders:s3cret@:99999/x', size: -1, minIdle: 4, maxLifetime: 5 },
        http: { limit: 1.5 },
        shutdown: { drainDelayMs: -1 },
        health: { path: 7 },
        metric: false,
      } as never),
    ]);
    expect(error).toMatchObject({ code: 'ERR_POOL_OPTIONS_INVALID', pool: 'default' });
    for (const part of [
      'database.url: ',
      'database.size: -1 is not allowed; an integer ≥ 1',
      'database.maxLifetime: no such option; did you mean maxLifetimeMs?',
      'http.limit: 1.5 is not allowed; an integer ≥ 0',
      'shutdown.drainDelayMs: -1 is not allowed',
      'health.path: 7 is not allowed',
      'metric: no such option; did you mean metrics?',
    ]) {
      expect(error.message).toContain(part);
    }
    expect(error.message).not.toContain('s3cret');
  });

  it('of a named pool are refused with its name', async () => {
    const error = await startError([
      PoolingModule.forDatabaseAsync({ name: 'reports', useFactory: () => ({ size: 2, minIdle: 3 }) }),
    ]);
    expect(error.message).toMatch(
      /^reports: 1 wrong option:\n {2}- minIdle: 3 is not allowed; an integer from 0 to size \(2\)$/,
    );
  });

  it('that a factory makes are refused like any other, and static ones there are told where they belong', async () => {
    const wrong = await startError([
      PoolingModule.forRootAsync({ useFactory: () => ({ database: { size: 'ten' } }) as never }),
    ]);
    expect(wrong.message).toContain('database.size: "ten" is not allowed');
    const misplaced = await startError([
      PoolingModule.forRootAsync({ useFactory: () => ({ health: false }) as never }),
    ]);
    expect(misplaced.message).toContain("health: is not the factory's to make");
    const nothing = await startError([PoolingModule.forRootAsync({ useFactory: () => undefined as never })]);
    expect(nothing.message).toContain('the options: undefined is not allowed; an object');
  });

  it('in the environment are refused when the application starts', async () => {
    vi.stubEnv('DATABASE_URL', 'postgres://orders:s3cret@host:port/x');
    try {
      const error = await startError([PoolingModule.forRoot()]);
      expect(error.message).toContain('DATABASE_URL');
      expect(error.message).not.toContain('s3cret');
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('overriding tokens in a test', () => {
  it.each([
    ['the Kysely', getDbToken()],
    ['the pool', getDbPoolToken()],
  ])('keeps everything else of the module from dialling: %s', async (_what, token) => {
    await using proxy = await TcpProxy.listen({ port: Number(new URL(database.url).port) });
    const fake = { fake: true };
    const application = await start(
      [PoolingModule.forRoot({ database: { url: through(proxy), minIdle: 2, startup: 'required' } })],
      (builder) => builder.overrideProvider(token).useValue(fake),
    );
    expect(application.get(token)).toBe(fake);
    await request(application.getHttpServer()).get('/health').expect(200);
    await request(application.getHttpServer()).get('/metrics').expect(200);
    await pause(100);
    expect(proxy.accepted).toBe(0);
  });

  it('lets a Kysely over a stand-in for its pool say so when it is used', async () => {
    const application = await start([PoolingModule.forRoot({ database: { url: database.url } })], (builder) =>
      builder.overrideProvider(getDbPoolToken()).useValue({ fake: true }),
    );
    const db = application.get<Kysely<unknown>>(getDbToken());
    await expect(sql`select 1`.execute(db)).rejects.toThrow(
      new TypeError('this takes a DatabasePool, made by the same copy of nestjs-pooling'),
    );
  });

  it('replaces an HTTP client', async () => {
    const fake = { get: () => 'fake' };
    const application = await start([PoolingModule.forRoot({ database: false })], (builder) =>
      builder.overrideProvider(getHttpClientToken()).useValue(fake),
    );
    expect(application.get(getHttpClientToken())).toBe(fake);
    expect(application.get(PoolRegistry).httpClients()).toEqual([]);
  });
});

describe('PoolRegistry', () => {
  it('shows everything as plain JSON, without a secret', async () => {
    const url = new URL(database.url);
    url.password = 's3cret';
    const application = await start([
      PoolingModule.forRoot({
        database: { url: url.href, session: { timezone: 'UTC' }, onConnect: () => {} },
        http: {
          baseUrl: 'https://user:s3cret@carrier.example',
          headers: { authorization: 's3cret' },
          tls: { key: 's3cret' },
        },
      }),
    ]);
    const registry = application.get(PoolRegistry);
    await registry.database().withConnection(async () => {
      const snapshot = registry.snapshot();
      const text = JSON.stringify(snapshot);
      expect(JSON.parse(text)).toEqual(snapshot);
      expect(text).not.toContain('s3cret');
      expect(snapshot.databases).toMatchObject([
        {
          name: 'default',
          configuration: { size: 10, preset: 'small', session: { timezone: 'UTC' }, onConnect: '[function onConnect]' },
          statistics: { inUse: 1 },
          holders: [{ connection: expect.any(Number) as number }],
          advice: [],
        },
      ]);
      expect(snapshot.httpClients).toMatchObject([{ name: 'default', configuration: { limit: 100 }, statistics: {} }]);
    });
  });

  it('shows of a setting, of options and of a webhook’s address that they are given, not which', async () => {
    const url = new URL(database.url);
    url.searchParams.set('options', '-c app.key=s3cret');
    const application = await start([
      PoolingModule.forRoot({
        database: { url: url.href, session: { search_path: 'shop', 'app.tenant_key': 's3cret' } },
        http: { baseUrl: 'https://hooks.example/services/T0123456789/s3cret' },
      }),
      PoolingModule.forHttpClient({ name: 'carrier', baseUrl: 'https://carrier.example/v1/' }),
    ]);
    const snapshot = application.get(PoolRegistry).snapshot();
    expect(JSON.stringify(snapshot)).not.toContain('s3cret');
    expect(snapshot.databases[0]?.configuration).toMatchObject({
      session: { search_path: 'shop', 'app.tenant_key': '[given]' },
    });
    expect(snapshot.httpClients.map(({ configuration }) => configuration['baseUrl'])).toEqual([
      'https://hooks.example/[…]',
      'https://carrier.example/v1/',
    ]);
  });
});
