import { AdvisedPools, found } from '#test/support/advised-pools.js';
import { PostgresServer } from 'nestjs-pooling/testing';
import type { DatabasePool } from '../database/database-pool.js';

let server: PostgresServer;
let advised: AdvisedPools;

beforeAll(async () => {
  server = await PostgresServer.start({ authentication: 'trust', maxConnections: 30 });
});
afterAll(() => server.close());
afterEach(() => advised.end());
beforeEach(async () => {
  advised = new AdvisedPools(server.url);
  await advised.undisturbed();
});

const other = (at: number): string => `shop#00000${at}/1.1.1`;

/** A pool that has looked. */
async function open(connections: number, size = 5): Promise<DatabasePool> {
  const pool = await advised.open({ applicationName: 'shop', size, budget: { connections } });
  await vi.waitFor(() => expect(pool.statistics().fleet?.state).toBe('on'));
  return pool;
}

describe('FLEET_OVER_BUDGET', () => {
  it('isn’t found while each process can have what it always may have', async () => {
    await advised.openOthers(4, other);
    await open(10);
    expect(await found(advised.advisor(), 'FLEET_OVER_BUDGET')).toEqual([]);
  });

  it('is found when the processes are too many for that', async () => {
    await advised.openOthers(5, other);
    await open(10);
    expect(await found(advised.advisor(), 'FLEET_OVER_BUDGET')).toMatchObject([
      {
        severity: 'warning',
        message: expect.stringContaining('6 processes share 10 connections') as string,
        evidence: { budget: 10, processes: 6, connections: 6, min: 2 },
      },
    ]);
  });

  it('is an error when there isn’t one connection for each', async () => {
    await advised.openOthers(5, other);
    await open(4);
    expect(await found(advised.advisor(), 'FLEET_OVER_BUDGET')).toMatchObject([{ severity: 'error' }]);
  });

  it('is found when processes without a budget take more than is left', async () => {
    await advised.openOthers(10, () => 'shop');
    await open(10);
    expect(await found(advised.advisor(), 'FLEET_OVER_BUDGET')).toMatchObject([
      { severity: 'warning', message: expect.stringContaining('11 connections are open of a budget of 10') as string },
    ]);
  });

  it('is found once for the pools that share a budget', async () => {
    await advised.openOthers(5, other);
    await open(10);
    const reports = advised.create({ applicationName: 'shop', budget: { connections: 10 } }, 'reports');
    expect(reports.statistics().fleet?.state).toBe('on');
    expect(await found(advised.advisor(), 'FLEET_OVER_BUDGET')).toHaveLength(1);
  });
});

describe('POOL_EXCEEDS_SERVER with a budget', () => {
  it('counts the budget, for all processes, instead of what one pool may have at this moment', async () => {
    await advised.openOthers(4, other);
    await open(40);
    expect(await found(advised.advisor({ replicas: () => 5 }), 'POOL_EXCEEDS_SERVER')).toMatchObject([
      {
        message: expect.stringMatching(/up to 40 connections, but .* has 27 for them.*Lower the budget/) as string,
        evidence: { wanted: 40, free: 27, others: 0, budget: 40 },
      },
    ]);
  });

  it('is silent when the budget fits, whatever the sizes of all processes together', async () => {
    await advised.openOthers(4, other);
    await open(27, 20);
    expect(await found(advised.advisor({ replicas: () => 5 }), 'POOL_EXCEEDS_SERVER')).toEqual([]);
  });
});
