import { holdJob } from './held-job.js';
import { findRedis, startRedis, type Redis } from './redis.js';

const program = findRedis();
if (program === undefined) {
  process.stderr.write(
    '\nNOT TESTED: Redis is not installed (apt-get install redis-server): BullMQ is tried over PostgreSQL alone\n',
  );
}

vi.setConfig({ testTimeout: 90_000 });

async function expectJobToEnd(env: NodeJS.ProcessEnv): Promise<void> {
  const { child, letGo, letters } = await holdJob('bullmq-application', { ...env, JOB: 'queries' });
  child.process.kill('SIGTERM');
  await child.prints(/application: ends/);
  await letGo();
  await child.prints(/job: done/);
  expect(await child.ended).toEqual({ code: 0, signal: null });
  expect(child.output()).not.toContain('ERROR');
  expect(child.output().split('job: done')[0]).not.toContain('pool: closes');
  expect(await letters()).toBe(1);
}

describe('a job of BullMQ in flight at SIGTERM runs to its end before the pools close', () => {
  it.each(['before', 'after'])('over PostgreSQL, with PoolingModule imported %s it', (ORDER) =>
    expectJobToEnd({ ORDER }),
  );

  describe.runIf(program !== undefined)('over Redis (needs redis-server)', () => {
    let redis: Redis;
    beforeAll(async () => {
      redis = await startRedis(program as string);
    });
    afterAll(() => redis[Symbol.asyncDispose]());

    it.each(['before', 'after'])('with PoolingModule imported %s it', (ORDER) =>
      expectJobToEnd({ ORDER, REDIS_PORT: String(redis.port) }),
    );
  });
});
