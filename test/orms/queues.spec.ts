import type { INestApplication, Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { getDbPoolToken, PoolingModule, type DatabasePool } from 'nestjs-pooling';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { GraphileWorker } from './graphile-worker.service.js';
import { Jobs } from './pg-boss.service.js';

let database: TestDatabase;
let app: INestApplication;
let pool: DatabasePool;

async function start(provider: Type): Promise<void> {
  const testing = await Test.createTestingModule({
    imports: [
      PoolingModule.forRoot({
        database: { url: database.url, size: 4, maxOverflow: 0, applicationName: 'queues' },
        http: false,
        metrics: false,
      }),
    ],
    providers: [provider],
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

const WAIT = { timeout: 30_000, interval: 100 };

vi.setConfig({ testTimeout: 90_000 });

it('graphile-worker on a DatabasePool listens on a connection of it, runs fifty jobs, and stops with the application', async () => {
  await start(GraphileWorker);
  const worker = app.get(GraphileWorker);
  await Promise.all(Array.from({ length: 50 }, (_, number) => worker.addJob('letter', { number })));
  await vi.waitFor(async () => expect(await letters()).toBe(50), WAIT);
  expect(pool.statistics().inUse).toBeGreaterThanOrEqual(1);
  expect(pool.statistics().opened).toBeLessThanOrEqual(4);
});

it('graphile-worker listens again when its connection is ended', async () => {
  await start(GraphileWorker);
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
  await start(Jobs);
  const { boss } = app.get(Jobs);
  await boss.createQueue('letters');
  await Promise.all(Array.from({ length: 50 }, (_, number) => boss.send('letters', { number })));
  await boss.work<{ number: number }>('letters', { batchSize: 25, pollingIntervalSeconds: 0.5 }, async (jobs) => {
    for (const { data } of jobs) await pool.query('insert into letter (body) values ($1)', [String(data.number)]);
  });
  await vi.waitFor(async () => expect(await letters()).toBe(50), WAIT);
  expect(pool.statistics().opened).toBeLessThanOrEqual(4);
});
