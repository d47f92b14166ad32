/** Several hosts, each a pooler before its own server: it logs everybody in, whatever has become of the server. */
import { sql } from 'kysely';
import { Client } from 'pg';
import { createKysely, type DatabasePool } from 'nestjs-pooling';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { AlteringProxy } from '#test/support/altering-proxy.js';
import { rejection } from '#test/support/outcomes.js';
import { message } from '#test/support/server-messages.js';
import { TrackedSockets } from '#test/support/tracked-sockets.js';
import { keepTurning } from '#test/support/turned-time.js';
import { fill, PooledCluster, poolerKinds, portOf, type PoolerKind } from './pooled-cluster.js';

/** How long what happens by itself may take on a machine that is busy, in milliseconds. */
const PATIENCE_MS = 30_000;

/** What a pooler reports of its server's role when somebody logs in. */
async function reportedStandby(url: string): Promise<string | undefined> {
  const client = new Client({ connectionString: url });
  let reported: string | undefined;
  const protocol = (client as unknown as { connection: NodeJS.EventEmitter }).connection;
  protocol.on('parameterStatus', (message: { parameterName: string; parameterValue: string }) => {
    if (message.parameterName === 'in_hot_standby') reported = message.parameterValue;
  });
  await client.connect();
  await client.end();
  return reported;
}

const NOT_FOUND = Buffer.from(['SERROR', 'VERROR', 'C08006', 'Mno server is connected to', '', ''].join('\0'));

/** A pooler that says with each answer that it has no server, once it is told to, and keeps its clients. */
async function lackingServer(port: number): Promise<{ readonly proxy: AlteringProxy; lose(): void }> {
  const proxy = await AlteringProxy.before(port);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  return {
    proxy,
    lose: () => {
      let before = '';
      proxy.alter = ({ type, bytes }) => {
        const ofLogin = 'RSK'.includes(type) || before === 'K';
        before = type;
        if (ofLogin) return undefined;
        return { send: type === 'Z' ? [message('E', NOT_FOUND), bytes] : [] };
      };
    },
  };
}

async function startPooled(kind: PoolerKind, standbys = 1): Promise<PooledCluster> {
  const pooled = await PooledCluster.start(kind, standbys);
  onTestFinished(() => pooled[Symbol.asyncDispose]());
  await pooled.nodes[0].ask('create table written (n int)');
  await pooled.cluster.caughtUp();
  return pooled;
}

async function reaches(pool: DatabasePool, port: number): Promise<void> {
  const asked = (): Promise<number> => portOf(pool).catch(() => 0);
  await vi.waitFor(async () => expect(await asked()).toBe(port), PATIENCE_MS);
}

const KINDS = poolerKinds();

describe.each(KINDS)('hosts behind $name', { timeout: 120_000 }, (kind) => {
  describe('that log in with the role that their servers had before', () => {
    let pooled: PooledCluster;

    beforeAll(async () => {
      pooled = await PooledCluster.start(kind);
      await pooled.welcome();
      const [first, second] = pooled.nodes;
      await first.kill();
      await pooled.cluster.promote(second);
      await pooled.cluster.rejoin(first);
      // The primary is the second one, and both poolers say the opposite.
      await vi.waitFor(async () => {
        await pooled.welcome();
        expect(await Promise.all(pooled.poolers.map(({ url }) => reportedStandby(url)))).toEqual(['off', 'on']);
      }, PATIENCE_MS);
    }, 120_000);
    afterAll(() => pooled[Symbol.asyncDispose]());

    it.each([
      ['any', 0],
      ['read-write', 1],
      ['primary', 1],
      ['prefer-primary', 1],
      ['standby', 0],
      ['read-only', 0],
      ['prefer-standby', 0],
    ] as const)('are told apart by asking: %s leads to db%i', async (targetSessionAttrs, at) => {
      const pool = pooled.open({ targetSessionAttrs });
      await fill(pool);
      expect(await portOf(pool)).toBe(pooled.nodes[at]?.server.port);
      expect(pool.statistics().hosts?.states[at]).toMatchObject({
        host: pooled.nameOf(at),
        role: at === 1 ? 'primary' : 'standby',
        state: 'up',
        connections: 4,
      });
    });

    it.each([
      ['nothing set and nothing prepared', { session: {}, preparedStatements: false }],
      ['sessions that are read-only by the user’s own wish', { session: { default_transaction_read_only: 'on' } }],
    ] as const)('are told apart with %s', async (_what, options) => {
      const pool = pooled.open({ lockTimeoutMs: 0, idleInTransactionTimeoutMs: 0, ...options });
      // The next connections meet sessions at the pooler that others have made read-only.
      for (let at = 0; at < 3; at++) {
        await fill(pool);
        expect(await portOf(pool)).toBe(pooled.nodes[1].server.port);
        await pool.query('set default_transaction_read_only = on');
        pool.expireAll();
      }
      await pool.query('set default_transaction_read_only = off');
      expect(pool.statistics()).toMatchObject({ readOnly: false, hosts: { failovers: 0 } });
    });

    it('say in the error of a dial what each of them really is', async () => {
      const pool = pooled.open({
        hosts: pooled.hosts.slice(0, 1),
        targetSessionAttrs: 'primary',
        acquireTimeoutMs: 500,
      });
      await expect(pool.query('select 1')).rejects.toThrow(`${pooled.nameOf(0)} is a standby and primary is wanted`);
    });
  });

  it.each(['never had it', 'had it once'])(
    'lead to the new primary when a pool starts and the old one’s server is dead: its pooler %s',
    async (had) => {
      const pooled = await startPooled(kind);
      const [first, second] = pooled.nodes;
      if (had === 'had it once') await pooled.welcome();
      await first.kill();
      await pooled.cluster.promote(second);
      const sockets = new TrackedSockets();
      const pool = pooled.open({
        connection: { stream: sockets.make },
        connectTimeoutMs: 2_000,
        acquireTimeoutMs: PATIENCE_MS,
        hostRecheckMs: 60_000,
      });
      await fill(pool);
      expect(await portOf(pool)).toBe(second.server.port);
      expect(pool.statistics().hosts?.states).toMatchObject([{ state: 'down' }, { role: 'primary', connections: 4 }]);
      // What was tried at the first one is given up.
      await vi.waitFor(() => expect(sockets.open).toBe(4), PATIENCE_MS);
    },
  );
});

describe.each(KINDS.slice(-1))('hosts behind $name', { timeout: 120_000 }, (kind) => {
  describe('of which the primary’s has lost its server', () => {
    it('lead to the standby that is promoted, under load: a pooler that waits for its server is not waited for', async () => {
      const pooled = await startPooled(kind);
      const [first, second] = pooled.nodes;
      // A round of dials that waited for the silent one would take as long.
      const pool = pooled.open({ size: 8, connectTimeoutMs: 90_000, acquireTimeoutMs: 100_000, queryTimeoutMs: 2_000 });
      await fill(pool, 8);
      expect(await portOf(pool)).toBe(first.server.port);
      let stopped = false;
      let written = 0;
      const write = async (): Promise<void> => {
        while (!stopped)
          await pool.query('insert into written values (1)').then(
            () => written++,
            () => undefined,
          );
      };
      const load = Array.from({ length: 16 }, write);
      await first.kill();
      await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ inUse: 0, size: 0 }), PATIENCE_MS);
      const before = written;
      await pooled.cluster.promote(second);
      await vi.waitFor(() => expect(written).toBeGreaterThan(before), PATIENCE_MS);
      await pooled.cluster.rejoin(first);
      stopped = true;
      await Promise.all(load);
      expect(await portOf(pool)).toBe(second.server.port);
      expect(pool.statistics()).toMatchObject({ inUse: 0, waiting: 0, hosts: { failovers: 1 } });
    });

    it('lead on when that server is frozen, and the error says that it let us in', async () => {
      const pooled = await startPooled(kind);
      const [first, second] = pooled.nodes;
      const clock = new ManualClock();
      const times = { connectTimeoutMs: 4_000, acquireTimeoutMs: 6_000, queryTimeoutMs: 1_000 };
      const pool = pooled.open({ ...times, size: 1 }, { clock });
      expect(await portOf(pool)).toBe(first.server.port);
      await first.server.pause();
      onTestFinished(() => first.server.resume());
      await using _turning = keepTurning(clock);
      await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_QUERY_TIMEOUT' });
      const refused = await rejection(pool.query('select 1'));
      expect(refused).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
      expect(refused.message).toMatch(
        new RegExp(`${pooled.nameOf(0)} let us in, and its server gave no answer within \\d+ ms`),
      );
      expect(refused.message).toContain(`${pooled.nameOf(1)} is a standby and read-write is wanted`);
      await pooled.cluster.promote(second);
      await reaches(pool, second.server.port);
    });

    it('are dialled again when the second choice dies while a better one is waited for', async () => {
      const pooled = await startPooled(kind);
      const [first] = pooled.nodes;
      const clock = new ManualClock();
      const pool = pooled.open({ targetSessionAttrs: 'prefer-standby', connectTimeoutMs: 4_000, size: 1 }, { clock });
      await pooled.proxies[1]?.stall();
      const found = portOf(pool);
      await vi.waitFor(() => expect(pooled.proxies[1]?.accepted).toBe(1), PATIENCE_MS);
      pooled.proxies[0]?.cut('rst');
      await using _turning = keepTurning(clock);
      expect(await found).toBe(first.server.port);
      expect(pool.statistics()).toMatchObject({ connectErrors: 1, size: 1, queries: 1 });
      expect(pool.statistics().hosts?.states).toMatchObject([{ connections: 1 }, { connections: 0 }]);
    });

    it('lead on when it says so with each answer, and keeps its clients', async () => {
      const pooled = await startPooled(kind);
      const [first, second] = pooled.nodes;
      const { proxy, lose } = await lackingServer(pooled.proxies[0]?.port as number);
      const hosts = [{ host: '127.0.0.1', port: proxy.port }, ...pooled.hosts.slice(1)];
      const pool = pooled.open({ hosts, acquireTimeoutMs: PATIENCE_MS });
      await fill(pool);
      expect(await portOf(pool)).toBe(first.server.port);
      lose();
      await pooled.cluster.promote(second);
      let failures = 0;
      await vi.waitFor(async () => {
        const port = await portOf(pool).catch(() => ++failures);
        expect(port).toBe(second.server.port);
      }, PATIENCE_MS);
      // Each connection has failed once at the most.
      expect(failures).toBeLessThanOrEqual(4);
    });
  });

  describe('whose servers change their roles and keep their connections', () => {
    it('are left unseen by writes that are refused', async () => {
      const pooled = await startPooled(kind);
      const [first, second] = pooled.nodes;
      const pool = pooled.open();
      await fill(pool);
      await pool.query('insert into written values (0)');
      await first.allowWrites(false);
      const writes = Array.from({ length: 40 }, (_, n) => pool.query('insert into written values ($1)', [n]));
      await pooled.cluster.promote(second);
      await Promise.all(writes);
      expect(await portOf(pool)).toBe(second.server.port);
      expect((await second.ask('select count(*)::int as count from written')).rows).toEqual([{ count: 41 }]);
      expect(pool.statistics().hosts).toMatchObject({ failovers: 1 });
    });

    it('are told apart by their timelines when two take writes', async () => {
      const pooled = await startPooled(kind);
      const [first, second] = pooled.nodes;
      const pool = pooled.open({ hostRecheckMs: 300 });
      expect(await portOf(pool)).toBe(first.server.port);
      await pooled.cluster.promote(second);
      await reaches(pool, second.server.port);
      await vi.waitFor(
        () => expect(pool.statistics().hosts?.states[0]).toMatchObject({ supersededBy: pooled.nameOf(1) }),
        PATIENCE_MS,
      );
    });

    it('are left by who reads without a pause, though nothing is reported', async () => {
      const pooled = await startPooled(kind, 2);
      const [, second, third] = pooled.nodes;
      const silent = await Promise.all(pooled.proxies.map(({ port }) => AlteringProxy.before(port)));
      for (const proxy of silent) {
        onTestFinished(() => proxy[Symbol.asyncDispose]());
        proxy.alter = ({ type, bytes }) =>
          type === 'S' && bytes.subarray(5).toString('latin1').startsWith('in_hot_standby') ? { send: [] } : undefined;
      }
      const hosts = silent.map(({ port }) => ({ host: '127.0.0.1', port }));
      const pool = pooled.open({ hosts, targetSessionAttrs: 'standby', size: 2, hostRecheckMs: 300 });
      let port = await portOf(pool);
      expect(port).toBe(second.server.port);
      await pooled.cluster.promote(second);
      const reading = Array.from({ length: 4 }, async () => {
        const deadline = performance.now() + PATIENCE_MS;
        while (port !== third?.server.port && performance.now() < deadline) port = await portOf(pool);
      });
      await Promise.all(reading);
      expect(port).toBe(third?.server.port);
    });

    it('are left for the first choice when that is back', async () => {
      const pooled = await startPooled(kind);
      const [first, second] = pooled.nodes;
      await pooled.welcome();
      await second.kill();
      const pool = pooled.open({
        targetSessionAttrs: 'prefer-standby',
        hostRecheckMs: 500,
        connectTimeoutMs: 2_000,
        acquireTimeoutMs: PATIENCE_MS,
      });
      await fill(pool);
      expect(await portOf(pool)).toBe(first.server.port);
      await second.server.start();
      await reaches(pool, second.server.port);
    });
  });

  it('serve reads as replicas: one whose server is dead is left out, and one that is promoted is no replica', async () => {
    const pooled = await startPooled(kind);
    const [first, second] = pooled.nodes;
    await pooled.welcome();
    const pool = pooled.open({
      hostRecheckMs: 300,
      connectTimeoutMs: 2_000,
      acquireTimeoutMs: PATIENCE_MS,
      // What is sent to a server that is dead waits at PgBouncer.
      queryTimeoutMs: 1_000,
      replicas: { hosts: pooled.hosts.slice(1), consistency: 'eventual' },
    });
    const replicas = createKysely(pool, { replicas: true });
    const read = async (): Promise<number> => {
      const { rows } = await sql<{ port: number }>`select inet_server_port() as port`.execute(replicas);
      return rows[0]?.port as number;
    };
    const reads = (port: number): Promise<void> =>
      vi.waitFor(async () => expect(await read().catch(() => 0)).toBe(port), PATIENCE_MS);
    await reads(second.server.port);
    await second.kill();
    await reads(first.server.port);
    await vi.waitFor(async () => {
      expect(await read()).toBe(first.server.port);
      expect(pool.statistics().replicas?.states).toMatchObject([{ state: 'down' }]);
    }, PATIENCE_MS);
    await second.server.start();
    await reads(second.server.port);
    await first.kill();
    await pooled.cluster.promote(second);
    await reaches(pool, second.server.port);
    await vi.waitFor(async () => {
      expect(await read()).toBe(second.server.port);
      expect(pool.statistics().replicas?.states).toMatchObject([{ role: 'primary' }]);
    }, PATIENCE_MS);
  });
});
