import { Client } from 'pg';
import { becomes } from './delay.js';
import { PostgresCluster } from './postgres-cluster.js';

async function ask<Row>(url: string, sql: string, timeoutMs = 30_000): Promise<Row[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: timeoutMs, query_timeout: timeoutMs });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return (await client.query(sql)).rows as Row[];
  } finally {
    await client.end().catch(() => undefined);
  }
}

describe('PostgresCluster', { timeout: 120_000 }, () => {
  let cluster: PostgresCluster;

  beforeAll(async () => {
    cluster = await PostgresCluster.start({ settings: { 'lab.word': 'hello' } });
  }, 120_000);
  afterAll(() => cluster.close());

  const roles = (): Promise<string[]> => Promise.all(cluster.nodes.map((node) => node.role()));
  const count = async (at: number): Promise<number> =>
    (await ask<{ n: number }>(cluster.nodes[at]?.urlOf() as string, 'select count(*)::int as n from written'))[0]
      ?.n as number;

  it('starts a primary and two standbys, which have what the primary has written', async () => {
    expect(await roles()).toEqual(['primary', 'standby', 'standby']);
    expect(cluster.nodes.map(({ name }) => name)).toEqual(['db1', 'db2', 'db3']);
    await ask(cluster.primary.urlOf(), 'create table written as select 1 as n');
    await cluster.caughtUp();
    expect([await count(1), await count(2)]).toEqual([1, 1]);
    for (const node of cluster.nodes)
      expect(await ask(node.urlOf(), "select current_setting('lab.word') as word")).toEqual([{ word: 'hello' }]);
  });

  it('names every server in its URL, each by its proxy', () => {
    const ports = cluster.nodes.map(({ proxy }) => proxy.port);
    const hosts = ports.map((port) => `127.0.0.1:${port}`).join(',');
    expect(cluster.urlOf('shop')).toMatch(new RegExp(`^postgres://postgres:[^@]+@${hosts}/shop$`));
    expect(cluster.url).toBe(cluster.urlOf('postgres'));
    for (const node of cluster.nodes) expect(ports).not.toContain(node.server.port);
  });

  it('has a standby show what was written some time ago, until it may show all', async () => {
    const [, second] = cluster.nodes as [never, (typeof cluster.nodes)[number]];
    await second.delayReplay(3_600_000);
    await ask(cluster.primary.urlOf(), 'insert into written values (2)');
    expect(await becomes(async () => (await count(2)) === 2, 30_000)).toBe(true);
    expect(await count(1)).toBe(1);
    await second.delayReplay(0);
    await cluster.caughtUp();
    expect(await count(1)).toBe(2);
  });

  it('cuts a standby off, and has it follow its primary again', async () => {
    const [, , third] = cluster.nodes as [never, never, (typeof cluster.nodes)[number]];
    await third.cutOff();
    await ask(cluster.primary.urlOf(), 'insert into written values (3)');
    expect(await becomes(async () => (await count(1)) === 3, 30_000)).toBe(true);
    expect(await count(2)).toBe(2);
    await third.follow(cluster.primary);
    await cluster.caughtUp();
    expect(await count(2)).toBe(3);
  });

  it('lets a primary refuse writes and take them again, also from connections that are open', async () => {
    const client = new Client({ connectionString: cluster.primary.urlOf() });
    await client.connect();
    await cluster.primary.allowWrites(false);
    await expect
      .poll(() =>
        client.query('insert into written values (4)').then(undefined, (error: { code: string }) => error.code),
      )
      .toBe('25006');
    await cluster.primary.allowWrites(true);
    await expect
      .poll(async () => (await client.query('show default_transaction_read_only')).rows)
      .toEqual([{ default_transaction_read_only: 'off' }]);
    await client.end();
    await ask(cluster.primary.urlOf(), 'delete from written where n > 3');
  });

  it('promotes a standby after the primary was killed, has the other follow it, and takes the old primary back', async () => {
    const [first, second, third] = cluster.nodes as [
      (typeof cluster.nodes)[number],
      (typeof cluster.nodes)[number],
      (typeof cluster.nodes)[number],
    ];
    await first.kill();
    expect(await first.role()).toBe('stopped');
    await cluster.promote(second);
    expect(cluster.primary).toBe(second);
    await ask(second.urlOf(), 'insert into written values (5)');
    await cluster.caughtUp();
    expect(await count(2)).toBe(4);
    await cluster.rejoin(first);
    expect(await roles()).toEqual(['standby', 'primary', 'standby']);
    await cluster.caughtUp();
    expect(await count(0)).toBe(4);
    await expect(ask(first.urlOf(), 'insert into written values (6)')).rejects.toMatchObject({ code: '25006' });
    await third.server.pause();
    expect(await third.role()).toBe('frozen');
    // Its old primary goes on: a cluster without a fence has two.
    await cluster.promote(first);
    expect(await roles()).toEqual(['primary', 'primary', 'frozen']);
    await third.server.resume();
    await cluster.rejoin(second);
    await cluster.rejoin(third);
    expect(await roles()).toEqual(['primary', 'standby', 'standby']);
    await expect(cluster.rejoin(first)).rejects.toThrow('db1 is the primary');
  });
});

describe('PostgresCluster, closed', { timeout: 120_000 }, () => {
  it('leaves no server and no port behind, and works with one standby and without a password', async () => {
    const cluster = await PostgresCluster.start({ standbys: 1, authentication: 'trust', maxConnections: 21 });
    const [first, second] = cluster.nodes;
    expect(cluster.nodes).toHaveLength(2);
    expect(await ask(second?.urlOf() as string, 'show max_connections')).toEqual([{ max_connections: '21' }]);
    const url = first?.urlOf() as string;
    await cluster.close();
    expect(cluster.nodes.map(({ server }) => server.running)).toEqual([false, false]);
    await expect(ask(url, 'select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
