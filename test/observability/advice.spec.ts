import type { AddressInfo } from 'node:net';
import { Logger, type INestApplication } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  PoolAdvisor,
  PoolingModule,
  PoolRegistry,
  type DatabaseOptions,
  type PoolingModuleOptions,
} from 'nestjs-pooling';
import { PostgresServer } from 'nestjs-pooling/testing';
import { PoolAdvice } from '#pooling/module/pool-advice.js';
import { PoolStore } from '#pooling/module/pool-store.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { runTypeScript } from '#test/support/child.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

let database: TestDatabase;
let clock: ManualClock;
let lines: string[];
const applications: INestApplication[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(() => {
  clock = new ManualClock();
  lines = [];
  for (const level of ['log', 'warn', 'error'] as const) {
    vi.spyOn(Logger.prototype, level).mockImplementation((line: unknown) => {
      if (/^[A-Z_]+ /.test(String(line))) lines.push(`${level}: ${String(line)}`);
    });
  }
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const application of applications.splice(0)) await application.close();
});
afterAll(() => database.drop());

/** An application whose advisor looks when the clock is turned. */
async function start(options: PoolingModuleOptions): Promise<INestApplication> {
  const testing = await Test.createTestingModule({ imports: [PoolingModule.forRoot({ http: false, ...options })] })
    .overrideProvider(PoolAdvice)
    .useFactory({
      factory: (store: PoolStore, host: HttpAdapterHost) => new PoolAdvice(store, host, clock),
      inject: [PoolStore, HttpAdapterHost],
    })
    .compile();
  const application = testing.createNestApplication();
  applications.push(application);
  await application.init();
  return application;
}

/** Lets the advisor look, as often as it does in this time: its next look is planned when the last one was answered. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1_000) {
    await clock.advance(Math.min(left, 1_000));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Lets the advisor look until this holds. */
async function passUntil(check: () => void): Promise<void> {
  await vi.waitFor(async () => {
    await pass(1_000);
    check();
  });
}

const RISKY: DatabaseOptions = { prePing: false, maxLifetimeMs: 0, size: 2, maxOverflow: 0 };

describe('the log of advice', () => {
  it('tells each finding once, a second after the start', async () => {
    await start({ database: { url: database.url, ...RISKY } });
    expect(lines).toEqual([]);
    await clock.advance(1_000);
    await vi.waitFor(() => expect(lines).not.toEqual([]));
    expect(lines).toEqual([
      expect.stringMatching(/^warn: STALE_CONNECTION_RISK default: connections live without end/),
    ]);
    await pass(120_000);
    expect(lines).toHaveLength(1);
  });

  it('tells what comes up later, and once more when it comes back after ten quiet minutes', async () => {
    const application = await start({ database: { url: database.url, size: 2, leakDetectionMs: 20 } });
    const pool = application.get(PoolRegistry).database();
    await pass(1_000);
    expect(lines).toEqual([]);
    const leak = async (told: number): Promise<void> => {
      const client = await pool.connect();
      await vi.waitFor(() => expect(pool.holders()).toMatchObject([{ leaked: true }]));
      await passUntil(() => expect(lines).toHaveLength(told));
      await pass(60_000);
      client.release();
    };
    await leak(1);
    expect(lines).toEqual([expect.stringMatching(/^error: LEAK_SUSPECTED default: 1 connection held and not used/)]);
    await pass(30_000);
    await leak(1);
    expect(lines).toHaveLength(1);
    await clock.leap(600_000);
    await leak(2);
    expect(lines).toHaveLength(2);
  });

  it('says nothing of a healthy application', async () => {
    const application = await start({ database: { url: database.url, size: 2 } });
    await application.get(PoolRegistry).database().query('select 1');
    await pass(60_000);
    expect(lines).toEqual([]);
    expect(application.get(PoolRegistry).snapshot().databases[0]?.advice).toEqual([]);
    expect(await application.get(PoolAdvisor).advise()).toEqual([]);
  });
});

describe('db_pool_recommended_size', () => {
  it('is what the live load asks for', async () => {
    const application = await start({ database: { url: database.url, size: 10 } });
    await application.listen(0, '127.0.0.1');
    const { port } = application.getHttpServer().address() as AddressInfo;
    const scrape = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(await scrape()).not.toContain('db_pool_recommended_size{');
    const pool = application.get(PoolRegistry).database();
    await Promise.all(Array.from({ length: 100 }, () => pool.query('select pg_sleep(0.02)')));
    await clock.advance(5_000);
    const advisor = application.get(PoolAdvisor);
    const load = advisor.load('default');
    expect(load?.arrivals).toBeGreaterThanOrEqual(100);
    expect(load?.meanUseMs).toBeGreaterThan(20);
    expect(await scrape()).toContain(`db_pool_recommended_size{pool="default"} ${load?.recommended.size}\n`);
  });
});

describe('a required pool that its server can never fill', { timeout: 60_000 }, () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await PostgresServer.start({ authentication: 'trust', maxConnections: 10 });
  });
  afterAll(() => server.close());

  it('refuses to start, with the figures, and leaves nothing open', async () => {
    const failed = start({ database: { url: server.url, size: 8, startup: 'required' } });
    await expect(failed).rejects.toMatchObject({
      code: 'ERR_POOL_OPTIONS_INVALID',
      message: expect.stringMatching(
        /^default: up to 13 connections, but the server .* has 7 for them: max_connections 10/,
      ) as string,
      details: { wanted: 13, capacity: 7, maxConnections: 10, reserved: 3 },
    });
    await vi.waitFor(async () =>
      expect((await server.backends()).filter(({ user }) => user !== undefined)).toEqual([]),
    );
  });

  it('starts when it fits', async () => {
    const application = await start({ database: { url: server.url, size: 4, maxOverflow: 2, startup: 'required' } });
    expect(application.get(PoolRegistry).database().totalCount).toBe(1);
  });

  it('counts the replicas', async () => {
    const options = { url: server.url, size: 2, maxOverflow: 0, startup: 'required' } as const;
    await expect(start({ database: options, advice: { replicas: 4 } })).rejects.toThrow(
      'up to 8 connections (4 replicas × 2)',
    );
    await start({ database: options, advice: { replicas: 3 } });
  });

  it('is only advice when it isn’t required: the server may be given room later', async () => {
    const application = await start({ database: { url: server.url, size: 8 } });
    await application.get(PoolRegistry).database().query('select 1');
    await clock.advance(1_000);
    await vi.waitFor(() => expect(lines).not.toEqual([]));
    expect(lines).toEqual([expect.stringMatching(/^warn: POOL_EXCEEDS_SERVER default: up to 13 connections/)]);
  });
});

describe('NO_SHUTDOWN_HOOKS', { timeout: 60_000 }, () => {
  it.each([
    { hooks: 'no', logged: true },
    { hooks: 'yes', logged: false },
  ])('of an application that listens with hooks: $hooks is logged: $logged', async ({ hooks, logged }) => {
    const child = runTypeScript(new URL('./programs/advised-application.ts', import.meta.url), {
      env: { DATABASE_URL: database.url, HOOKS: hooks },
    });
    const [, advice] = await child.prints(/advice: (\S*)\n/);
    expect(advice).toBe(logged ? 'NO_SHUTDOWN_HOOKS' : '');
    if (logged) await child.prints(/WARN.*NO_SHUTDOWN_HOOKS A signal ends this process at once/);
    child.process.kill('SIGTERM');
    expect(await child.ended).toEqual({ code: null, signal: 'SIGTERM' });
  });
});
