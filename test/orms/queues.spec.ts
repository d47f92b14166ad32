import { getQueueToken } from '@nestjs/bullmq';
import type { INestApplication, ModuleMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import type { Queue } from 'bullmq';
import { getDbPoolToken, PoolingModule, type DatabasePool } from 'nestjs-pooling';
import { Client } from 'pg';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { QueuesModule } from './bullmq.module.js';
import { GraphileWorker } from './graphile-worker.service.js';
import { Jobs } from './pg-boss.service.js';

let database: TestDatabase;
let app: INestApplication;
let pool: DatabasePool;

async function start({ imports = [], providers = [] }: ModuleMetadata): Promise<void> {
  const testing = await Test.createTestingModule({
    imports: [
      PoolingModule.forRoot({
        database: { url: database.url, size: 4, maxOverflow: 0, applicationName: 'queues' },
        http: false,
        metrics: false,
      }),
      ...imports,
    ],
    providers,
  }).compile();
  app = testing.createNestApplication({ logger: false });
  await app.init();
  pool = app.get<DatabasePool>(getDbPoolToken());
}

beforeEach(async () => {
  database = await createTestDatabase();
  await database.query('create table letter (id serial, body text not null)');
});
afterEach(async () => {
  await app.close();
  const { state, acquired, released } = pool.statistics();
  expect({ state, held: acquired - released }).toEqual({ state: 'closed', held: 0 });
  await database.drop();
});

const letters = async (): Promise<number> =>
  (await database.query<{ letters: number }>('select count(*)::int as letters from letter'))[0]!.letters;

const WAIT = { interval: 100 };

vi.setConfig({ testTimeout: 90_000 });

it('graphile-worker on a DatabasePool listens on a connection of it, runs fifty jobs, and stops with the application', async () => {
  await start({ providers: [GraphileWorker] });
  const worker = app.get(GraphileWorker);
  await Promise.all(Array.from({ length: 50 }, (_, number) => worker.addJob('letter', { number })));
  await vi.waitFor(async () => expect(await letters()).toBe(50), WAIT);
  expect(pool.statistics().inUse).toBeGreaterThanOrEqual(1);
  expect(pool.statistics().opened).toBeLessThanOrEqual(4);
});

it('graphile-worker listens again when its connection is ended', async () => {
  await start({ providers: [GraphileWorker] });
  const worker = app.get(GraphileWorker);
  // A worker whose very first look at its tables fails asks no more, on a pg.Pool as well: so it has worked before.
  await worker.addJob('letter', { number: 0 });
  await vi.waitFor(async () => expect(await letters()).toBe(1), WAIT);
  await database.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'queues'");
  await vi.waitFor(async () => {
    await worker.addJob('letter', { number: 1 });
  }, WAIT);
  await vi.waitFor(async () => expect(await letters()).toBeGreaterThanOrEqual(2), WAIT);
});

it('pg-boss on a DatabasePool works fifty jobs off, and stops with the application', async () => {
  await start({ providers: [Jobs] });
  const { boss } = app.get(Jobs);
  await boss.createQueue('letters');
  await Promise.all(Array.from({ length: 50 }, (_, number) => boss.send('letters', { number })));
  await boss.work<{ number: number }>('letters', { batchSize: 25, pollingIntervalSeconds: 0.5 }, async (jobs) => {
    for (const { data } of jobs) await pool.query('insert into letter (body) values ($1)', [String(data.number)]);
  });
  await vi.waitFor(async () => expect(await letters()).toBe(50), WAIT);
  expect(pool.statistics().opened).toBeLessThanOrEqual(4);
});

describe('BullMQ over a DatabasePool, without Redis', () => {
  let queue: Queue;
  let queues: DatabasePool;

  beforeEach(async () => {
    vi.stubEnv('DATABASE_URL', database.url);
    await start({ imports: [QueuesModule] });
    queue = app.get<Queue>(getQueueToken('letters'));
    queues = app.get<DatabasePool>(getDbPoolToken('queues'));
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await app.close();
    const { state, acquired, released } = queues.statistics();
    expect({ state, held: acquired - released }).toEqual({ state: 'closed', held: 0 });
  });

  const add = (body: string): Promise<unknown> => queue.add('letter', { body });

  it('works fifty jobs off on four connections', async () => {
    await Promise.all(Array.from({ length: 50 }, (_, number) => add(String(number))));
    await vi.waitFor(async () => expect(await letters()).toBe(50), WAIT);
    expect(queues.statistics().opened).toBeLessThanOrEqual(4);
    expect(await queue.getJobCounts('failed', 'waiting')).toEqual({ failed: 0, waiting: 0 });
  });

  it('goes on when all its connections are ended, the one that it listens on included', async () => {
    // What the queue says of it, since nobody listens to its errors.
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    onTestFinished(() => void vi.restoreAllMocks());
    await add('before');
    await vi.waitFor(async () => expect(await letters()).toBe(1), WAIT);
    await database.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`);
    await vi.waitFor(() => add('after'), WAIT);
    await vi.waitFor(async () => expect(await letters()).toBeGreaterThanOrEqual(2), WAIT);
  });

  it('ends its job in flight before the pools close', async () => {
    await closeWhileAJobWaits(() => add('in flight'));
    expect(await letters()).toBe(1);
  });
});

/** Closes the application while a job waits for a table that is locked, and lets go of that then. */
async function closeWhileAJobWaits(sendJob: () => Promise<unknown>): Promise<void> {
  const lock = new Client({ connectionString: database.url, application_name: 'test support' });
  await lock.connect();
  try {
    await lock.query('begin; lock table letter in access exclusive mode');
    await sendJob();
    await vi.waitFor(async () => {
      const waiting = await database.query(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      expect(waiting).toHaveLength(1);
    }, WAIT);
    const closing = app.close();
    expect(pool.statistics().state).not.toBe('closed');
    await lock.query('commit');
    await closing;
  } finally {
    await lock.end();
  }
}

it('graphile-worker’s job in flight runs to its end before the pool closes', async () => {
  await start({ providers: [GraphileWorker] });
  await closeWhileAJobWaits(() => app.get(GraphileWorker).addJob('letter', {}));
  expect(await letters()).toBe(1);
});

it('pg-boss’ job in flight runs to its end before the pool closes', async () => {
  await start({ providers: [Jobs] });
  const { boss } = app.get(Jobs);
  await boss.createQueue('letters');
  await boss.work('letters', { pollingIntervalSeconds: 0.5 }, async () => {
    for (const part of ['one', 'two']) await pool.query('insert into letter (body) values ($1)', [part]);
  });
  await closeWhileAJobWaits(() => boss.send('letters', {}));
  expect(await letters()).toBe(2);
});
