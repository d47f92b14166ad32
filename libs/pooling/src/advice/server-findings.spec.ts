import { PostgresServer } from 'nestjs-pooling/testing';
import { AdvisedPools, found, run } from '#test/support/advised-pools.js';
import type { DatabasePool } from '../database/database-pool.js';
import type { Advice } from './advice.js';

describe('POOL_EXCEEDS_SERVER', { timeout: 60_000 }, () => {
  let server: PostgresServer;
  let advised: AdvisedPools;

  beforeAll(async () => {
    server = await PostgresServer.start({ authentication: 'trust', maxConnections: 20 });
  });
  afterAll(() => server.close());
  afterEach(() => advised.end());
  beforeEach(async () => {
    advised = new AdvisedPools(server.url);
    await advised.undisturbed();
  });

  it('is found when the pools may want more than max_connections leaves them', async () => {
    await advised.open({ size: 10, maxOverflow: 5 });
    advised.create({ size: 10 }, 'reports');
    const [advice, ...more] = await found(advised.advisor(), 'POOL_EXCEEDS_SERVER');
    expect(more).toEqual([]);
    expect(advice).toMatchObject({
      severity: 'warning',
      pool: 'default',
      evidence: { pools: ['default', 'reports'], wanted: 25, maxConnections: 20, reserved: 3, others: 0, free: 17 },
    });
    expect(advice?.message).toMatch(
      /^default, reports: up to 25 connections, but the server 127\.0\.0\.1:\d+ has 17 for them/,
    );
  });

  it('counts what others hold', async () => {
    const pool = await advised.open({ size: 12 });
    const advisor = advised.advisor();
    expect(await found(advisor, 'POOL_EXCEEDS_SERVER')).toEqual([]);
    expect(advisor.serverLoad(pool)).toEqual({ clients: 1, capacity: 17 });
    await advised.openOthers(6, () => 'another application');
    await pool.query('select 1');
    expect(await found(advisor, 'POOL_EXCEEDS_SERVER')).toMatchObject([
      { evidence: { wanted: 12, others: 6, free: 11 } },
    ]);
  });

  it('counts every replica, and not the replicas themselves as others', async () => {
    await advised.open({ size: 4 });
    // Another process of the same application, as the server sees it.
    await advised.open({ size: 4 }, 'replica');
    const [own] = advised.pools as [DatabasePool];
    const advise = (replicas: number): Promise<Advice[]> =>
      found(advised.advisor({ databases: () => [own], replicas: () => replicas }), 'POOL_EXCEEDS_SERVER');
    expect(await advise(4)).toEqual([]);
    expect(await advise(5)).toMatchObject([
      {
        message: expect.stringContaining('up to 20 connections (5 replicas × 4)') as string,
        evidence: { wanted: 20, others: 0, free: 17, replicas: 5 },
      },
    ]);
  });

  it('knows the limit of the role', async () => {
    await run(server.url, 'create role limited login connection limit 3');
    const url = new URL(server.url);
    url.username = 'limited';
    await advised.open({ url: url.href, size: 4 });
    expect(await found(advised.advisor(), 'POOL_EXCEEDS_SERVER')).toMatchObject([
      { message: expect.stringContaining('3 for this role') as string, evidence: { wanted: 4, free: 3 } },
    ]);
  });

  it('is an error for pools that are required at the start', async () => {
    await advised.open({ size: 30, startup: 'required' });
    expect(await found(advised.advisor(), 'POOL_EXCEEDS_SERVER')).toMatchObject([{ severity: 'error' }]);
  });

  it('leaves a pool alone that nobody uses, so that its last connection may idle out', async () => {
    const pool = await advised.open({ size: 4 });
    const advisor = advised.advisor();
    for (let look = 0; look < 3; look++) await advisor.advise();
    expect(pool.statistics().acquired).toBe(2);
    await pool.query('select 1');
    await advisor.advise();
    expect(pool.statistics().acquired).toBe(4);
  });

  it('never queues for a connection: the application comes first, and what was known is kept', async () => {
    const pool = await advised.open({ size: 1, maxOverflow: 30 });
    const advisor = advised.advisor();
    expect(await found(advisor, 'POOL_EXCEEDS_SERVER')).toHaveLength(1);
    pool.resize({ size: 1, maxOverflow: 17 });
    const client = await pool.connect();
    expect(await found(advisor, 'POOL_EXCEEDS_SERVER')).toMatchObject([{ evidence: { wanted: 18 } }]);
    expect(pool.statistics()).toMatchObject({ emptyAcquires: 1, opened: 1 });
    client.release();
  });

  it('says nothing when the server can’t be asked without opening or queueing for a connection', async () => {
    const pool = advised.create({ size: 1, maxOverflow: 30 });
    const advisor = advised.advisor();
    expect(await advisor.advise()).toEqual([]);
    expect(pool.statistics().opened).toBe(0);
  });
});
