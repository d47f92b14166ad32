import type { ReplicasStatistics, ReplicaStatistics } from '../database/replicas/replica-statistics.js';
import type { AdvisedDatabase } from './advised.js';
import { replicasUnfit } from './replica-findings.js';

const FIT: ReplicaStatistics = {
  host: 'db2:5432',
  role: 'standby',
  state: 'up',
  lagMs: 0,
  lagBytes: 0,
  fit: true,
  connections: 2,
  inUse: 1,
};
const DOWN: ReplicaStatistics = {
  ...FIT,
  host: 'db3:5432',
  role: undefined,
  state: 'down',
  lagMs: undefined,
  fit: false,
};
const BEHIND: ReplicaStatistics = { ...FIT, host: 'db4:5432', lagMs: 34_000, fit: false };
const PRIMARY: ReplicaStatistics = { ...FIT, host: 'db1:5432', role: 'primary', lagMs: undefined, fit: false };

function poolWith(states: readonly ReplicaStatistics[], reads = 1): AdvisedDatabase {
  const replicas: ReplicasStatistics = { reads: { replica: reads, waited: 0, primary: 0 }, states };
  return {
    name: 'shop',
    configuration: { replicas: { maxLagMs: 10_000 } },
    statistics: () => ({ replicas }),
  } as unknown as AdvisedDatabase;
}

describe('REPLICAS_UNFIT', () => {
  it('isn’t found while every replica serves, one of them is the primary, or nobody reads', () => {
    expect(replicasUnfit(poolWith([FIT, PRIMARY]))).toBeUndefined();
    expect(replicasUnfit(poolWith([FIT, DOWN], 0))).toBeUndefined();
    expect(replicasUnfit(poolWith([{ ...FIT, state: 'unknown', fit: false }]))).toBeUndefined();
  });

  it('isn’t found where there are no replicas', () => {
    const none = { ...poolWith([]), configuration: {}, statistics: () => ({}) } as unknown as AdvisedDatabase;
    expect(replicasUnfit(none)).toBeUndefined();
  });

  it('names those that are down or behind, and says who serves', () => {
    expect(replicasUnfit(poolWith([FIT, DOWN, BEHIND]))).toEqual({
      code: 'REPLICAS_UNFIT',
      severity: 'info',
      pool: 'shop',
      message:
        'shop: the replica db3:5432 is down; the replica db4:5432 is 34.0 s behind (maxLagMs: 10000). 1 replica serves them.',
      evidence: { hosts: ['db3:5432', 'db4:5432'], fit: 1, maxLagMs: 10_000 },
    });
  });

  it('warns when none is left', () => {
    expect(replicasUnfit(poolWith([DOWN]))).toMatchObject({
      severity: 'warning',
      message: expect.stringContaining('All reads go to the primary.') as string,
    });
  });
});
