/** Several hosts: which one a connection is opened to, what it costs when one is dead, and what is said when none will do. */
import { createServer, type Server } from 'node:net';
import { DatabasePool, type DatabaseOptions } from 'nestjs-pooling';
import type { DatabasePoolDependencies } from '#pooling/database/database-parts.js';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { FlightCounter } from '#test/support/flight-counter.js';
import { refusedAfterDial } from '#test/support/turned-time.js';
import { PostgresCluster, type ClusterNode } from 'nestjs-pooling/testing';

let cluster: PostgresCluster;
let nodes: readonly [ClusterNode, ClusterNode, ClusterNode];

beforeAll(async () => {
  cluster = await PostgresCluster.start({ authentication: 'trust' });
  nodes = cluster.nodes as never;
}, 120_000);
afterAll(() => cluster.close());

const pools: DatabasePool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
  for (const { proxy } of nodes) await proxy.forward();
});

function createPool(options: DatabaseOptions, dependencies: DatabasePoolDependencies = {}): DatabasePool {
  const pool = new DatabasePool('shop', { startup: 'lazy', acquireTimeoutMs: 60_000, ...options }, dependencies);
  pools.push(pool);
  return pool;
}

/** The port of the server that answers. */
async function portOf(pool: DatabasePool): Promise<number> {
  const { rows } = await pool.query<{ port: number }>('select inet_server_port() as port');
  return rows[0]?.port as number;
}

/** The addresses of the cluster's servers in an order of the test's. */
function urlOf(order: readonly ClusterNode[], parameters = ''): string {
  const hosts = order.map(({ proxy }) => `127.0.0.1:${proxy.port}`).join(',');
  return `postgres://postgres@${hosts}/postgres${parameters}`;
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as { port: number }).port;
}

describe('several hosts in the URL', () => {
  it('give a connection to the primary, wherever it stands', async () => {
    const [first, second, third] = nodes;
    for (const order of [
      [first, second, third],
      [third, second, first],
    ]) {
      const pool = createPool({ url: urlOf(order) });
      expect(pool.configuration.targetSessionAttrs).toBe('read-write');
      expect(await portOf(pool)).toBe(first.server.port);
    }
  });

  it.each([
    ['any', [1, 0, 2], 1],
    ['read-write', [1, 0, 2], 0],
    ['read-only', [0, 2, 1], 2],
    ['primary', [1, 2, 0], 0],
    ['standby', [0, 1, 2], 1],
    ['prefer-standby', [0, 2, 1], 2],
    ['prefer-standby', [0], 0],
    ['prefer-primary', [2, 1, 0], 0],
    ['prefer-primary', [2, 1], 2],
  ] as const)('that are asked for %s, in the order %j, lead to db%i', async (attrs, order, found) => {
    const url = urlOf(
      order.map((at) => nodes[at] as ClusterNode),
      `?target_session_attrs=${attrs}`,
    );
    const pool = createPool({ url, size: 1 });
    expect(await portOf(pool)).toBe(nodes[found]?.server.port);
    // Nobody else keeps a connection.
    const open = await Promise.all(nodes.map(({ server }) => server.backends()));
    await vi.waitFor(async () => {
      const backends = await Promise.all(nodes.map(({ server }) => server.backends()));
      expect(backends.flat()).toHaveLength(1);
    });
    expect(open.flat().length).toBeGreaterThan(0);
  });

  it('may stand in the option hosts, with user and database from the URL', async () => {
    const hosts = nodes.map(({ proxy }) => ({ host: '127.0.0.1', port: proxy.port })).reverse();
    const pool = createPool({ url: 'postgres://postgres@/postgres', hosts });
    expect(await portOf(pool)).toBe(nodes[0].server.port);
  });

  it('may be given by a function, which is asked again when its answer is old', async () => {
    let asked = 0;
    const pool = createPool({
      connection: { user: 'postgres', database: 'postgres' },
      hostRecheckMs: 1,
      maxUses: 1,
      hosts: async () => {
        const node = nodes[asked++ % 2] as ClusterNode;
        return [{ host: '127.0.0.1', port: node.proxy.port }];
      },
      targetSessionAttrs: 'any',
    });
    const ports = new Set([await portOf(pool)]);
    await vi.waitFor(async () => {
      ports.add(await portOf(pool));
      expect(ports).toEqual(new Set([nodes[0].server.port, nodes[1].server.port]));
    });
  });

  it('are tried in another order at each dial when the load is balanced', async () => {
    const pool = createPool({ url: urlOf(nodes, '?load_balance_hosts=random&target_session_attrs=any'), maxUses: 1 });
    const ports = new Set<number>();
    await vi.waitFor(async () => {
      ports.add(await portOf(pool));
      expect(ports.size).toBe(3);
    });
  });
});

describe('a host that is dead', () => {
  it('costs its share of the dial’s time, and then nothing', async () => {
    const [first, second, third] = nodes;
    await second.proxy.stall();
    for (const { proxy } of nodes) proxy.resetCounters();
    const dialled = (): number[] => [second, third, first].map(({ proxy }) => proxy.accepted);
    const clock = new ManualClock();
    const pool = createPool({ url: urlOf([second, third, first]), connectTimeoutMs: 6_000, size: 2 }, { clock });
    const found = portOf(pool);
    await vi.waitFor(() => expect(dialled()).toEqual([1, 0, 0]));
    await clock.advance(1_800);
    expect(dialled()).toEqual([1, 0, 0]);
    await clock.advance(210);
    expect(await found).toBe(first.server.port);
    const held = [await pool.connect(), await pool.connect()];
    // The first dial has found out who is dead, and who takes writes.
    expect(dialled()).toEqual([1, 1, 2]);
    for (const client of held) client.release();
  });

  it('is passed by when it refuses, starts up or has no connection left', async () => {
    const [first, second] = nodes;
    const refusing = await listening(
      createServer((socket) => {
        socket.on('error', () => undefined);
        const fields = ['SFATAL', 'VFATAL', 'C57P03', 'Mthe database system is starting up', ''].join('\0');
        const length = Buffer.alloc(4);
        length.writeInt32BE(fields.length + 5);
        socket.once('data', () => socket.end(Buffer.concat([Buffer.from('E'), length, Buffer.from(`${fields}\0`)])));
      }),
    );
    await second.proxy.refuse();
    const url = `postgres://postgres@127.0.0.1:${refusing},127.0.0.1:${second.proxy.port},127.0.0.1:${first.proxy.port}/postgres`;
    expect(await portOf(createPool({ url }))).toBe(first.server.port);
  });
});

describe('a dial that fails when its host was chosen', () => {
  it('counts as no connection to that host', async () => {
    let failures = 2;
    const pool = createPool({
      url: urlOf(nodes),
      size: 1,
      onConnect: () => {
        if (failures-- > 0) throw new Error('not now');
      },
    });
    await portOf(pool);
    expect(pool.statistics()).toMatchObject({ size: 1, connectErrors: 2 });
    expect(pool.statistics().hosts?.states.map(({ connections }) => connections)).toEqual([1, 0, 0]);
  });
});

describe('no host that will do', () => {
  it('is said with the name of every host, and why not', async () => {
    const [first, second, third] = nodes;
    await second.proxy.refuse();
    await third.proxy.reset();
    const clock = new ManualClock();
    const url = urlOf(nodes, '?target_session_attrs=standby');
    const pool = createPool({ url, acquireTimeoutMs: 1_500 }, { clock });
    const at = (node: ClusterNode): string => `127.0.0.1:${node.proxy.port}`;
    expect(await refusedAfterDial(pool, clock)).toMatchObject({
      code: 'ERR_POOL_ACQUIRE_TIMEOUT',
      message: expect.stringContaining(
        `${at(first)} is a primary and standby is wanted; ${at(second)} refused the connection; ${at(third)} hung up`,
      ),
    });
  });

  it('fails at once where another host would say the same', async () => {
    const pool = createPool({ url: urlOf(nodes).replace(/\/postgres$/, '/nowhere') });
    const dials = nodes.map(({ proxy }) => proxy.accepted);
    await expect(pool.query('select 1')).rejects.toMatchObject({
      code: 'ERR_POOL_CONNECT_FAILED',
      cause: { code: '3D000' },
    });
    expect(nodes[0].proxy.accepted - (dials[0] as number)).toBe(1);
    expect(nodes[1].proxy.accepted).toBe(dials[1]);
  });

  it('is found again half a second after one was promoted', async () => {
    const own = await PostgresCluster.start({ standbys: 1, authentication: 'trust' });
    onTestFinished(() => own.close());
    const [first, second] = own.nodes as [ClusterNode, ClusterNode];
    await first.kill();
    const clock = new ManualClock();
    const pool = createPool({ url: own.url }, { clock });
    const found = pool.query('select inet_server_port() as port');
    // The pauses between dials grow, up to half a second.
    for (let dials = 1; dials <= 12; dials++) {
      await vi.waitFor(() => expect(pool.statistics().connectErrors).toBeGreaterThanOrEqual(dials));
      await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ waiting: 1, size: 0, connecting: 0 }));
      if (dials < 12) await clock.advance(500);
    }
    await own.promote(second);
    await clock.advance(500);
    expect((await found).rows).toEqual([{ port: second.server.port }]);
  });
});

describe('one host', () => {
  it('costs not one more round trip: what is to be known of its role is told, or answered with the session’s set-up', async () => {
    const [first] = nodes;
    await using counter = await FlightCounter.before(first.server.port);
    const flightsFor = async (parameters: string): Promise<number> => {
      counter.reset();
      await using pool = new DatabasePool('one', {
        url: `postgres://postgres@127.0.0.1:${counter.port}/postgres${parameters}`,
        startup: 'lazy',
      });
      await pool.query('select 1');
      return counter.flights;
    };
    // The login, the set-up, the query.
    expect(await flightsFor('')).toBe(3);
    for (const attrs of ['any', 'read-write', 'primary', 'prefer-standby']) {
      expect(await flightsFor(`?target_session_attrs=${attrs}`)).toBe(3);
    }
  });
});
