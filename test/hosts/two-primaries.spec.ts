/** An old primary that runs on without a fence: the one that was promoted is the one that is used. */
import { DatabasePool, PoolAdvisor, type Advice, type DatabaseOptions } from 'nestjs-pooling';
import { PostgresCluster, PostgresServer, type ClusterNode } from 'nestjs-pooling/testing';

let cluster: PostgresCluster;
const pools: DatabasePool[] = [];

beforeEach(async () => {
  cluster = await PostgresCluster.start({ standbys: 1, authentication: 'trust' });
}, 60_000);

afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
  await cluster.close();
});

function createPool(options: DatabaseOptions = {}): DatabasePool {
  const pool = new DatabasePool('shop', { url: cluster.url, size: 4, maxOverflow: 0, hostRecheckMs: 200, ...options });
  pools.push(pool);
  return pool;
}

async function portOf(pool: DatabasePool): Promise<number> {
  const { rows } = await pool.query<{ port: number }>('select inet_server_port() as port');
  return rows[0]?.port as number;
}

const nameOf = ({ proxy }: ClusterNode): string => `127.0.0.1:${proxy.port}`;

async function advised(pool: DatabasePool): Promise<Advice[]> {
  const advice = await new PoolAdvisor({ databases: () => [pool] }).advise();
  return advice.filter(({ code }) => code === 'TWO_PRIMARIES');
}

describe('two hosts that take writes', { timeout: 90_000 }, () => {
  it('are told apart by their timelines: a pool leaves the old one, and whoever begins with it does so too', async () => {
    const [first, second] = cluster.nodes as [ClusterNode, ClusterNode];
    const pool = createPool();
    expect(await portOf(pool)).toBe(first.server.port);
    expect(await advised(pool)).toEqual([]);
    // The old primary isn't fenced, and keeps every connection to it.
    await cluster.promote(second);
    await vi.waitFor(async () => expect(await portOf(pool)).toBe(second.server.port), 20_000);
    const late = createPool();
    await late.query('select 1');
    await vi.waitFor(async () => expect(await portOf(late)).toBe(second.server.port), 20_000);
    for (const each of [pool, late]) {
      await vi.waitFor(
        () =>
          expect(each.statistics().hosts).toMatchObject({
            failovers: 1,
            states: [
              { host: nameOf(first), role: 'primary', connections: 0, supersededBy: nameOf(second) },
              { host: nameOf(second), role: 'primary', state: 'up' },
            ],
          }),
        20_000,
      );
    }
    expect(await advised(pool)).toEqual([
      {
        code: 'TWO_PRIMARIES',
        severity: 'error',
        pool: 'shop',
        message: expect.stringContaining(
          `${nameOf(first)} still takes writes, though ${nameOf(second)} has taken over`,
        ) as string,
        evidence: { primary: nameOf(second), superseded: [nameOf(first)] },
      },
    ]);
    await cluster.rejoin(first);
    await vi.waitFor(() => {
      expect(pool.statistics().hosts?.states[0]).toMatchObject({ role: 'standby' });
      expect(pool.statistics().hosts?.states[0]?.supersededBy).toBeUndefined();
    }, 20_000);
    expect(await advised(pool)).toEqual([]);
    expect(await portOf(pool)).toBe(second.server.port);
  });

  it('don’t lead back to the old one when the new one is away for a moment: the error says why', async () => {
    const [first, second] = cluster.nodes as [ClusterNode, ClusterNode];
    const pool = createPool({ hostRecheckMs: 3_000, acquireTimeoutMs: 1_000 });
    await portOf(pool);
    await cluster.promote(second);
    await vi.waitFor(() => expect(pool.statistics().hosts?.states[0]?.supersededBy).toBeDefined(), 20_000);
    await vi.waitFor(async () => expect(await portOf(pool)).toBe(second.server.port), 20_000);
    await second.proxy.reset();
    second.proxy.cut('rst');
    await vi.waitFor(
      () =>
        expect(pool.query('select 1')).rejects.toThrow(
          `${nameOf(first)} is a primary of an older timeline than ${nameOf(second)}`,
        ),
      20_000,
    );
    await second.proxy.forward();
    await vi.waitFor(async () => expect(await portOf(pool)).toBe(second.server.port), 20_000);
  });

  it('are both left alone where they have no past in common', async () => {
    await using other = await PostgresServer.start({ authentication: 'trust' });
    const [first] = cluster.nodes as [ClusterNode];
    const hosts = [
      { host: '127.0.0.1', port: first.proxy.port },
      { host: '127.0.0.1', port: other.port },
    ];
    const pool = createPool({ url: 'postgres://postgres@/postgres', hosts });
    expect(await portOf(pool)).toBe(first.server.port);
    await vi.waitFor(() => expect(pool.statistics().hosts?.states[1]).toMatchObject({ role: 'primary' }), 20_000);
    expect(pool.statistics().hosts?.states.every(({ supersededBy }) => supersededBy === undefined)).toBe(true);
    expect(await advised(pool)).toEqual([]);
  });
});
