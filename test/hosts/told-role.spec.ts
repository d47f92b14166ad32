/** What a server tells of its role by itself, and what happens where it tells nothing: PostgreSQL before 14. */
import { DatabasePool, type DatabaseOptions } from 'nestjs-pooling';
import { PostgresCluster, type ClusterNode } from 'nestjs-pooling/testing';
import { AlteringProxy } from '#test/support/altering-proxy.js';

let cluster: PostgresCluster;
let nodes: readonly [ClusterNode, ClusterNode, ClusterNode];
const pools: DatabasePool[] = [];

beforeEach(async () => {
  cluster = await PostgresCluster.start({ authentication: 'trust' });
  nodes = cluster.nodes as never;
}, 60_000);

afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
  await cluster.close();
});

function createPool(options: DatabaseOptions): DatabasePool {
  const pool = new DatabasePool('shop', { size: 4, maxOverflow: 0, ...options });
  pools.push(pool);
  return pool;
}

async function portOf(pool: DatabasePool): Promise<number> {
  const { rows } = await pool.query<{ port: number }>('select inet_server_port() as port');
  return rows[0]?.port as number;
}

async function fill(pool: DatabasePool): Promise<void> {
  const clients = await Promise.all(Array.from({ length: 4 }, () => pool.connect()));
  for (const client of clients) client.release();
}

describe('a standby that is promoted while it is connected to', { timeout: 90_000 }, () => {
  it('tells so with its next answer, and is left by whoever wants a standby', async () => {
    const [, second, third] = nodes;
    const pool = createPool({ url: `${cluster.url}?target_session_attrs=standby`, hostRecheckMs: 600_000 });
    await fill(pool);
    expect(await portOf(pool)).toBe(second.server.port);
    await cluster.promote(second);
    // The first answer tells; whatever is asked for next goes to the other standby. No query fails.
    await portOf(pool);
    const ports = await Promise.all(Array.from({ length: 8 }, () => portOf(pool)));
    expect(new Set(ports)).toEqual(new Set([third.server.port]));
  });
});

/** A cluster that seems to be older: no server says by itself what it is. */
async function older(): Promise<{ url: string; [Symbol.asyncDispose](): Promise<void> }> {
  const proxies = await Promise.all(nodes.map(({ proxy }) => AlteringProxy.before(proxy.port)));
  const told = /^(?:in_hot_standby|default_transaction_read_only)\0/;
  for (const proxy of proxies) {
    proxy.alter = ({ type, bytes }) =>
      type === 'S' && told.test(bytes.subarray(5).toString('latin1')) ? { send: [] } : undefined;
  }
  const hosts = proxies.map(({ port }) => `127.0.0.1:${port}`).join(',');
  return {
    url: `postgres://postgres@${hosts}/postgres`,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
      await Promise.all(proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
    },
  };
}

describe('servers before PostgreSQL 14, which don’t tell their role', { timeout: 90_000 }, () => {
  it('are asked for it when a connection is opened', async () => {
    await using servers = await older();
    const [first, second] = nodes;
    expect(await portOf(createPool({ url: servers.url }))).toBe(first.server.port);
    const standby = createPool({ url: `${servers.url}?target_session_attrs=standby` });
    expect(await portOf(standby)).toBe(second.server.port);
    expect(standby.statistics().hosts?.states.slice(0, 2)).toMatchObject([{ role: 'primary' }, { role: 'standby' }]);
  });

  it('are left when they refuse a write: each connection is asked before it is used again', async () => {
    await using servers = await older();
    const [first, second] = nodes;
    await first.ask('create table written (n int)');
    await cluster.caughtUp();
    const pool = createPool({ url: servers.url });
    await fill(pool);
    expect(await portOf(pool)).toBe(first.server.port);
    await first.allowWrites(false);
    await cluster.promote(second);
    await pool.query('insert into written values (1)');
    for (let at = 0; at < 8; at++) expect(await portOf(pool)).toBe(second.server.port);
    expect(pool.statistics()).toMatchObject({ hosts: { failovers: 1 } });
    expect((await first.server.backends()).length).toBe(0);
  });
});
