import { holdJob } from './held-job.js';

vi.setConfig({ testTimeout: 90_000 });

const EXITED = { code: 0, signal: null };

describe('a cron job in flight at SIGTERM', () => {
  it('that is in its transaction ends it: the pool closes, and waits for what it has lent', async () => {
    const { child, letGo, letters } = await holdJob('cron-application', { ORDER: 'before', JOB: 'transaction' });
    child.process.kill('SIGTERM');
    await child.prints(/pool: closes/);
    await letGo();
    await child.prints(/job: done/);
    expect(await child.ended).toEqual(EXITED);
    expect(await letters()).toBe(1);
  });

  it('that has a query left when the pool closes is refused it, by ERR_POOL_CLOSED, and the process ends', async () => {
    const { child, letGo, letters } = await holdJob('cron-application', { ORDER: 'after', JOB: 'queries' });
    child.process.kill('SIGTERM');
    await child.prints(/pool: closes/);
    await letGo();
    await child.prints(/job: failed with ERR_POOL_CLOSED/);
    expect(child.output()).toContain('job: first query is done');
    expect(await child.ended).toEqual(EXITED);
    expect(child.output()).toMatch(/ERROR.*Scheduler.*PoolClosedError: default: the pool is closed/);
    expect(await letters()).toBe(0);
  });

  it.each(['before', 'after'])(
    'that the application waits for runs to its end, with PoolingModule imported %s the scheduler',
    async (ORDER) => {
      const { child, letGo, letters } = await holdJob('cron-application', { ORDER, JOB: 'queries', WAITS: 'yes' });
      child.process.kill('SIGTERM');
      await child.prints(/application: ends/);
      await letGo();
      await child.prints(/job: done/);
      expect(await child.ended).toEqual(EXITED);
      expect(child.output()).not.toContain('ERROR');
      expect(await letters()).toBe(1);
    },
  );
});
