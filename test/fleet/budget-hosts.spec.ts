/** A budget of several hosts counts on the one that takes writes: after a fail-over on the new one. */
import { Client } from 'pg';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { instanceId } from '#pooling/database/fleet/published-name.js';
import { PostgresCluster, type ClusterNode } from 'nestjs-pooling/testing';

let cluster: PostgresCluster;
const pools: DatabasePool[] = [];
const others: Client[] = [];

beforeEach(async () => {
  cluster = await PostgresCluster.start({ standbys: 1, authentication: 'trust' });
}, 60_000);

afterEach(async () => {
  await Promise.all([
    ...pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })),
    ...others.splice(0).map((other) => other.end()),
  ]);
  await cluster.close();
});

/** The most connections of this process on a server at one time, from now on. */
class Watched {
  most = 0;
  #watching = true;
  readonly #over: Promise<void>;

  constructor(client: Client) {
    this.#over = this.#watch(client);
  }

  async #watch(client: Client): Promise<void> {
    while (this.#watching) {
      const { rows } = await client.query<{ count: number }>(
        'select count(*)::int as count from pg_stat_activity where application_name like $1',
        [`orders#${instanceId()}%`],
      );
      this.most = Math.max(this.most, rows[0]?.count as number);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async stop(): Promise<void> {
    this.#watching = false;
    await this.#over;
  }
}

async function connect({ server }: ClusterNode, application_name: string): Promise<Client> {
  const client = new Client({ connectionString: server.url, application_name });
  await client.connect();
  others.push(client);
  return client;
}

describe('a budget of several hosts', { timeout: 90_000 }, () => {
  it.each([
    ['is killed', (first: ClusterNode) => first.kill()],
    ['is demoted, and keeps its connections', (first: ClusterNode) => first.allowWrites(false)],
    ['runs on without a fence', () => Promise.resolve()],
  ])('counts on the new primary when the old one %s', async (_what, end) => {
    const [first, second] = cluster.nodes as [ClusterNode, ClusterNode];
    await first.ask('create table written (n int)');
    await cluster.caughtUp();
    const pool = new DatabasePool('orders', {
      url: cluster.url,
      applicationName: 'orders',
      size: 60,
      maxOverflow: 0,
      hostRecheckMs: 200,
      budget: { connections: 40, checkMs: 3_000 },
      acquireTimeoutMs: 60_000,
    });
    pools.push(pool);
    let over = false;
    onTestFinished(() => void (over = true));
    const load = Array.from({ length: 60 }, async () => {
      while (!over) await pool.query('insert into written select 1 from pg_sleep(0.02)').catch(() => undefined);
    });
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ size: 40, max: 40 }), 20_000);
    // Another process is on the new primary already, holds 30 and wants more than that: ten are left.
    await connect(second, 'orders#000000/30.39.1');
    const watched = new Watched(await connect(second, 'control'));
    await end(first);
    await cluster.promote(second);
    await vi.waitFor(() => {
      const { fleet, max, size } = pool.statistics();
      expect({ max, size, processes: fleet?.processes }).toEqual({ max: 10, size: 10, processes: 2 });
    }, 20_000);
    await watched.stop();
    over = true;
    await Promise.all(load);
    // One more for a moment: who asks whether it takes writes.
    expect(watched.most).toBeGreaterThanOrEqual(10);
    expect(watched.most).toBeLessThanOrEqual(11);
  });
});
