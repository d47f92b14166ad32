import { Agent, get as httpGet } from 'node:http';
import {
  Controller,
  Get,
  Global,
  Injectable,
  Logger,
  Module,
  type INestApplication,
  type ModuleMetadata,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { sql, type Kysely } from 'kysely';
import { InjectDb, PoolingModule, PoolRegistry, type PoolingModuleOptions } from 'nestjs-pooling';
import { urlOf, useApplications, type Adapter } from '#test/support/applications.js';
import { runTypeScript } from '#test/support/child.js';
import { useTestDatabase } from '#test/support/database.js';
import { isAtLeast } from '#test/support/peer-version.js';
import { heldTimer } from '#test/support/turned-time.js';

interface Answer {
  readonly status: number;
  readonly body: string;
}

const database = useTestDatabase();
const startAs = useApplications();
const agents: Agent[] = [];

afterEach(() => {
  vi.restoreAllMocks();
  for (const agent of agents.splice(0)) agent.destroy();
});

@Controller()
class WorkController {
  constructor(@InjectDb() private readonly db: Kysely<unknown>) {}

  @Get('work')
  async work(): Promise<string> {
    await sql`select pg_sleep(0.3)::text`.execute(this.db);
    await sql`select 1`.execute(this.db);
    return 'done';
  }
}

function pooling(options: PoolingModuleOptions = {}): ReturnType<typeof PoolingModule.forRoot> {
  return PoolingModule.forRoot({ database: { url: database.url }, http: false, ...options });
}

function start(metadata: ModuleMetadata, adapter: Adapter = 'express', listen = true): Promise<INestApplication> {
  return startAs(metadata, { adapter, listen });
}

/** Sends requests to an address over sockets that are kept. */
function client(url: string): (path: string) => Promise<Answer> {
  const agent = new Agent({ keepAlive: true });
  agents.push(agent);
  return (path) =>
    new Promise((resolve, reject) => {
      const sent = httpGet(`${url}${path}`, { agent }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => (body += text));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
        response.on('error', reject);
      });
      sent.on('error', reject);
    });
}

/** Resolves when the server works on a request for `/work`. */
async function working(): Promise<void> {
  const asleep = "select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
  await vi.waitFor(async () => expect(await database.query(asleep)).not.toEqual([]));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function backends(): Promise<number> {
  const [row] = await database.query<{ count: number }>(
    `select count(*)::int from pg_stat_activity where datname = $1 and application_name <> 'test support'`,
    [database.name],
  );
  return row?.count ?? 0;
}

describe.each<Adapter>(['express', 'fastify'])('shutting down on %s', (adapter) => {
  it('answers requests under way, fails readiness, and closes the pool after that', async () => {
    const drained = heldTimer(60_000);
    const application = await start(
      { imports: [pooling({ shutdown: { drainDelayMs: 60_000 } })], controllers: [WorkController] },
      adapter,
    );
    const send = client(urlOf(application));
    expect((await send('/health/ready')).status).toBe(200);
    const under = send('/work');
    await working();
    const closing = application.close();
    await drained.set;
    const [ready, live, late] = await Promise.all([send('/health/ready'), send('/health/live'), send('/work')]);
    expect(ready.status).toBe(503);
    expect(JSON.parse(ready.body)).toMatchObject({
      error: { database: { status: 'down' }, shutdown: { status: 'down' } },
    });
    expect(live.status).toBe(200);
    expect(await under).toEqual({ status: 200, body: 'done' });
    expect(late).toEqual({ status: 200, body: 'done' });
    drained.fire();
    await closing;
    expect(await backends()).toBe(0);
  });

  it('does not wait for the keep-alive time of its clients', async () => {
    const application = await start({ imports: [pooling()], controllers: [WorkController] }, adapter);
    application.getHttpServer().keepAliveTimeout = 60_000;
    const send = client(urlOf(application));
    const under = send('/work');
    await working();
    const startedAt = performance.now();
    await application.close();
    expect(performance.now() - startedAt).toBeLessThan(30_000);
    expect((await under).status).toBe(200);
  });

  it('answers every request that it took, under load and a signal', async () => {
    const child = runTypeScript(new URL('./support/programs/pooling-application.ts', import.meta.url), {
      env: { ADAPTER: adapter, DATABASE_URL: database.url },
    });
    onTestFinished(() => void child.process.kill('SIGKILL'));
    const [, url] = await child.prints(/listening at (\S+)/);
    const send = client(url as string);
    let answered = 0;
    const failures: unknown[] = [];
    const borrowers = Array.from({ length: 40 }, async () => {
      for (;;) {
        try {
          const { status, body } = await send('/work');
          if (status === 200 && body.includes('42')) answered++;
          else failures.push({ status, body });
        } catch (error) {
          // It doesn't listen any more: that request was never taken.
          if ((error as { code?: string }).code === 'ECONNREFUSED') return;
          failures.push(error);
        }
      }
    });
    await vi.waitFor(() => expect(answered).toBeGreaterThan(200));
    child.process.kill('SIGTERM');
    child.process.kill('SIGTERM');
    await pause(20);
    child.process.kill('SIGINT');
    await Promise.all(borrowers);
    expect(failures).toEqual([]);
    // An older Nest doesn't know `useProcessExit`.
    const exits = isAtLeast('@nestjs/core', '11.1.10');
    expect(await child.ended).toEqual(exits ? { code: 0, signal: null } : { code: null, signal: 'SIGTERM' });
    expect(child.output().match(/Closed database default in \d+ ms/g)).toHaveLength(1);
    expect(await backends()).toBe(0);
  });
});

describe('closing', () => {
  it('refuses who waits, lets leases finish, and closes all pools at the same time', async () => {
    const application = await start(
      {
        imports: [
          pooling({ database: { url: database.url, size: 1, maxOverflow: 0 } }),
          PoolingModule.forDatabase({ name: 'reports', url: database.url }),
        ],
      },
      'express',
      false,
    );
    const registry = application.get(PoolRegistry);
    const [one, other] = [await registry.database().connect(), await registry.database('reports').connect()];
    const waiting = registry
      .database()
      .query('select 1')
      .catch((error: unknown) => error);
    const startedAt = performance.now();
    const closing = application.close();
    expect(await waiting).toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect((await one.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    setTimeout(() => one.release(), 150);
    setTimeout(() => other.release(), 150);
    await closing;
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThanOrEqual(149);
    // The deadline, which nobody waits for, is 10 s.
    expect(tookMs).toBeLessThan(9_000);
    expect(await backends()).toBe(0);
  });

  it('destroys what is left at the deadline, and says who held it', async () => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
    const log = vi.spyOn(Logger.prototype, 'log').mockImplementation(() => {});
    const application = await start(
      {
        imports: [
          pooling({ database: { url: database.url }, shutdown: { timeoutMs: 200 } }),
          PoolingModule.forDatabase({ name: 'reports', url: database.url }),
        ],
      },
      'express',
      false,
    );
    const registry = application.get(PoolRegistry);
    const client = await registry.database().connect();
    await client.query('begin');
    await registry.database('reports').connect();
    const startedAt = performance.now();
    await application.close();
    const tookMs = performance.now() - startedAt;
    // One deadline for both: not one after the other.
    expect(tookMs).toBeGreaterThanOrEqual(199);
    expect(tookMs).toBeLessThan(9_000);
    const warnings = warn.mock.calls.map(([message]) => String(message));
    expect(warnings).toEqual([
      expect.stringMatching(
        /^default: 1 connection of this database was still in use after 200 ms.*idle in transaction.*begin/,
      ),
      expect.stringMatching(/^reports: 1 connection of this database was still in use after 200 ms/),
    ]);
    expect(log.mock.calls.flat()).toContainEqual(
      expect.stringMatching(/^Closed database default, database reports in \d+ ms$/),
    );
    await vi.waitFor(async () => expect(await backends()).toBe(0));
  });

  it('happens once, however often the application is closed', async () => {
    const log = vi.spyOn(Logger.prototype, 'log').mockImplementation(() => {});
    const application = await start({ imports: [pooling()] });
    await application.get(PoolRegistry).database().query('select 1');
    await Promise.all([application.close(), application.close()]);
    await application.close();
    expect(log.mock.calls.flat().filter((message) => String(message).startsWith('Closed '))).toHaveLength(1);
  });

  it('waits for load balancers only when a server listens', async () => {
    const shutdown = { drainDelayMs: 60_000 };
    const drained = heldTimer(60_000);
    const silent = await start({ imports: [pooling({ shutdown })] }, 'express', false);
    await silent.close();
    const listening = await start({ imports: [pooling({ shutdown })] });
    let isClosed = false;
    const closing = listening.close().then(() => (isClosed = true));
    await drained.set;
    await pause(50);
    expect(isClosed).toBe(false);
    drained.fire();
    await closing;
  });

  it.each(['before', 'after'] as const)(
    'comes after the shutdown of a global module that still uses them, imported %s',
    async (when) => {
      const ended: unknown[] = [];

      @Injectable()
      class JobQueue implements OnApplicationShutdown {
        constructor(@InjectDb() private readonly db: Kysely<unknown>) {}

        // As a queue's worker does, whose job is half done.
        async onApplicationShutdown(): Promise<void> {
          // An older Nest runs the hooks at each close, and there is another one after each test.
          if (ended.length > 0) return;
          await pause(50);
          await sql`select 1`.execute(this.db);
          await pause(50);
          await sql`select 1`.execute(this.db);
          ended.push('job');
        }
      }

      @Global()
      @Module({ providers: [JobQueue] })
      class JobQueueModule {}

      const imports = when === 'before' ? [JobQueueModule, pooling()] : [pooling(), JobQueueModule];
      const application = await start({ imports });
      await application.get(PoolRegistry).database().query('select 1');
      await application.close();
      expect(ended).toEqual(['job']);
      expect(await backends()).toBe(0);
    },
  );

  it('works without an HTTP server', async () => {
    const testing = await Test.createTestingModule({ imports: [pooling()] }).compile();
    await testing.init();
    await testing.get(PoolRegistry).database().query('select 1');
    await testing.close();
    expect(await backends()).toBe(0);
  });
});
