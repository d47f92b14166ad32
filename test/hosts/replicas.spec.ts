/** Reads from replicas: where they go, what they may do, and what becomes of them when a replica is no good. Real replication. */
import { sql, type Kysely } from 'kysely';
import { batch, DatabasePool, retryTransaction, transactional, withConsistency, type Holder } from 'nestjs-pooling';
import type { ClusterNode } from 'nestjs-pooling/testing';
import { accessWhenUsed } from '#pooling/database/database-access.js';
import { Gate } from '#test/support/gate.js';
import { ask, ReplicaLaboratory, type Tables } from './replica-laboratory.js';

let laboratory: ReplicaLaboratory;

beforeAll(async () => {
  laboratory = await ReplicaLaboratory.start();
}, 120_000);
afterAll(() => laboratory[Symbol.asyncDispose]());
afterEach(() => laboratory.reset());

const serverPort = sql<number>`inet_server_port()`.as('port');

/** The port of the server that answers a built query. */
async function portOf(db: Kysely<Tables>): Promise<number> {
  return (await db.selectNoFrom(serverPort).executeTakeFirstOrThrow()).port;
}

function portsOf(nodes: readonly ClusterNode[]): number[] {
  return nodes.map(({ server }) => server.port).toSorted((one, other) => one - other);
}

/** The servers that answer so many queries, each of them once. */
async function servers(db: Kysely<Tables>, queries = 60): Promise<number[]> {
  const ports = new Set<number>();
  for (let at = 0; at < queries; at++) ports.add(await portOf(db));
  return [...ports].toSorted((one, other) => one - other);
}

/** Waits until a replica is read from. */
async function untilRead({ replicas }: { readonly replicas: Kysely<Tables> }): Promise<void> {
  await vi.waitFor(async () => expect(portsOf(laboratory.standbys)).toContain(await portOf(replicas)), 20_000);
}

describe('reads from replicas', { timeout: 60_000 }, () => {
  it('go to all of them, and none to the primary; what goes to the database goes to the primary', async () => {
    const opened = laboratory.open();
    await untilRead(opened);
    await vi.waitFor(async () => expect(await servers(opened.replicas)).toEqual(portsOf(laboratory.standbys)), 20_000);
    expect(await servers(opened.db, 5)).toEqual(portsOf([laboratory.primary]));
  });

  it('may be single queries, raw ones, transactions, streams, batches and connections', async () => {
    const opened = laboratory.open();
    const { replicas } = opened;
    await untilRead(opened);
    const standbys = portsOf(laboratory.standbys);
    const raw = sql<{ port: number }>`select inet_server_port() as port`;
    expect(standbys).toContain((await raw.execute(replicas)).rows[0]?.port);
    await replicas.transaction().execute(async (transaction) => {
      const port = await portOf(transaction);
      expect(standbys).toContain(port);
      expect(await portOf(transaction)).toBe(port);
      const { rows } = await sql`select current_setting('transaction_read_only') as mode`.execute(transaction);
      expect(rows).toEqual([{ mode: 'on' }]);
    });
    for await (const { port } of replicas.selectNoFrom(serverPort).stream()) expect(standbys).toContain(port);
    const [[inBatch]] = await batch(replicas, [replicas.selectNoFrom(serverPort)]);
    expect(standbys).toContain(inBatch?.port);
    await replicas.connection().execute(async (connection) => {
      expect(standbys).toContain(await portOf(connection));
      expect(standbys).toContain((await raw.execute(connection)).rows[0]?.port);
    });
    await transactional(replicas, async () => {
      const port = await portOf(replicas);
      expect(standbys).toContain(port);
      expect(await portOf(replicas)).toBe(port);
    });
    await retryTransaction(replicas, async (transaction) => expect(standbys).toContain(await portOf(transaction)));
  });

  it('that are known to be slow leave a connection of their replica to quick ones', async () => {
    const [standby] = laboratory.standbys as [ClusterNode, ...ClusterNode[]];
    const hosts = [{ host: '127.0.0.1', port: standby.proxy.port }];
    const opened = laboratory.open({}, { hosts, size: 5, waitMs: 30_000 });
    const { pool, replicas } = opened;
    await untilRead(opened);
    const pass = (gate: Gate): Promise<unknown> =>
      replicas.selectNoFrom(sql`pg_advisory_xact_lock_shared(${gate.key}::bigint)::text`.as('passed')).execute();
    for (let use = 0; use < 2; use++) {
      const learned = await Gate.closed(standby.server.url);
      const passing = pass(learned);
      await learned.waitedAt();
      await new Promise((resolve) => setTimeout(resolve, 50));
      await learned.open();
      await passing;
    }
    await using gate = await Gate.closed(standby.server.url);
    const slow = Array.from({ length: 8 }, () => pass(gate));
    await gate.waitedAt(4);
    expect(await portOf(replicas)).toBe(standby.server.port);
    await gate.waitedAt(4);
    expect(pool.statistics().replicas?.states[0]).toMatchObject({ inUse: 4 });
    await gate.open();
    await Promise.all(slow);
  });

  it('are counted among the statements of the database, and the pool’s own questions aren’t', async () => {
    const opened = laboratory.open();
    const { tally } = accessWhenUsed(opened.pool);
    await untilRead(opened);
    tally.start();
    await withConsistency(undefined, async () => {
      await opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
      await opened.replicas.selectFrom('entry').select('n').execute();
    });
    const before = opened.pool.statistics().replicas?.reads.replica ?? 0;
    for (let at = 0; at < 5; at++) {
      await withConsistency(undefined, () => opened.replicas.selectFrom('entry').select('id').execute());
    }
    expect(opened.pool.statistics().replicas?.reads.replica).toBeGreaterThan(before);
    const counted = tally.list()?.statements.map(({ text, count }) => [text, count] as const);
    expect(Object.fromEntries(counted ?? [])).toEqual({
      'insert into "entry" ("id", "n") values ($1, …)': 1,
      // Once more where the replica wasn't there yet.
      'select "n" from "entry"': expect.any(Number),
      'select "id" from "entry"': 5,
    });
  });

  it('go to the database where it has no replicas, which may write by it', async () => {
    const { replicas, db } = laboratory.open({}, false);
    expect(await servers(replicas, 5)).toEqual(portsOf([laboratory.primary]));
    await replicas.insertInto('entry').values({ id: 1, n: 1 }).execute();
    expect(await db.selectFrom('entry').selectAll().execute()).toEqual([{ id: 1, n: 1 }]);
  });

  it('belong to the transaction of the database that they are made in', async () => {
    const { db, replicas } = laboratory.open();
    await transactional(db, async () => {
      await db.insertInto('entry').values({ id: 1, n: 1 }).execute();
      expect(await replicas.selectFrom('entry').selectAll().execute()).toEqual([{ id: 1, n: 1 }]);
      await transactional(replicas, async () => {
        expect(await replicas.selectFrom('entry').selectAll().execute()).toEqual([{ id: 1, n: 1 }]);
      });
    });
  });
});

describe('what writes by way of the replicas', { timeout: 60_000 }, () => {
  const WRITES: Record<string, (db: Kysely<Tables>) => Promise<unknown>> = {
    'a built insert': (db) => db.insertInto('entry').values({ id: 1, n: 1 }).execute(),
    'raw SQL': (db) => sql`insert into entry values (1, 1)`.execute(db),
    'a WITH that changes rows': (db) =>
      db
        .with('added', (cte) => cte.insertInto('entry').values({ id: 1, n: 1 }).returning('id'))
        .selectFrom('added')
        .selectAll()
        .execute(),
    'a stream of what an insert returns': async (db) => {
      for await (const row of db.insertInto('entry').values({ id: 1, n: 1 }).returningAll().stream()) {
        expect(row).toBeUndefined();
      }
    },
    'a transaction': (db) =>
      db.transaction().execute((transaction) => transaction.insertInto('entry').values({ id: 1, n: 1 }).execute()),
    'a batch': (db) => batch(db, [db.insertInto('entry').values({ id: 1, n: 1 })]),
    'a connection': (db) =>
      db.connection().execute((connection) => sql`insert into entry values (1, 1)`.execute(connection)),
    'an ambient transaction': (db) => transactional(db, () => db.insertInto('entry').values({ id: 1, n: 1 }).execute()),
  };

  it.each(Object.keys(WRITES))(
    'fails with 25006, on a replica and on the primary that stands in for it: %s',
    async (name) => {
      const opened = laboratory.open();
      const write = WRITES[name] as (typeof WRITES)[string];
      await untilRead(opened);
      await expect(write(opened.replicas)).rejects.toMatchObject({ code: '25006' });
      for (const { proxy } of laboratory.standbys) {
        await proxy.reset();
        proxy.cut('rst');
      }
      await vi.waitFor(
        async () => expect(await servers(opened.replicas, 3)).toEqual(portsOf([laboratory.primary])),
        20_000,
      );
      await expect(write(opened.replicas)).rejects.toMatchObject({ code: '25006' });
      expect(await laboratory.onPrimary('select * from entry')).toEqual([]);
      // The connection is as it was for those who may write.
      await opened.db.insertInto('entry').values({ id: 2, n: 2 }).execute();
      const { acquired, released } = opened.pool.statistics();
      expect(acquired).toBe(released);
    },
  );

  it('is refused by name where a transaction is asked for that writes', async () => {
    const { replicas } = laboratory.open();
    const asked = replicas
      .transaction()
      .setAccessMode('read write')
      .execute((transaction) => portOf(transaction));
    await expect(asked).rejects.toMatchObject({ code: 'ERR_POOL_TRANSACTION_MISMATCH' });
  });
});

describe('a replica', { timeout: 90_000 }, () => {
  it('that is killed costs no read: what was in flight runs elsewhere, and it is back when its server is', async () => {
    const opened = laboratory.open({ size: 8 });
    const { replicas, pool } = opened;
    await untilRead(opened);
    await vi.waitFor(async () => expect(await servers(replicas)).toEqual(portsOf(laboratory.standbys)), 20_000);
    const [victim, other] = laboratory.standbys as [ClusterNode, ClusterNode];
    let stopped = false;
    let reads = 0;
    const read = async (): Promise<void> => {
      while (!stopped) {
        await replicas
          .selectFrom('entry')
          .select(sql<number>`pg_sleep(0.002)`.as('slept'))
          .execute();
        await portOf(replicas);
        reads++;
      }
    };
    const load = Array.from({ length: 16 }, read);
    await vi.waitFor(() => expect(reads).toBeGreaterThan(50), 20_000);
    await victim.kill();
    const before = reads;
    await vi.waitFor(() => expect(reads).toBeGreaterThan(before + 100), 20_000);
    stopped = true;
    await Promise.all(load);
    await vi.waitFor(() => {
      const state = pool.statistics().replicas?.states.find(({ host }) => host.endsWith(`:${victim.proxy.port}`));
      expect(state).toMatchObject({ state: 'down', fit: false, role: undefined });
    }, 20_000);
    expect(await servers(replicas, 10)).toEqual(portsOf([other]));
    await victim.server.start();
    await vi.waitFor(async () => expect(await servers(replicas)).toEqual(portsOf(laboratory.standbys)), 30_000);
  });

  it('that falls behind by more than maxLagMs is left out, and is back when it has caught up', async () => {
    const opened = laboratory.open({}, { maxLagMs: 500, consistency: 'eventual' });
    const { pool, db, replicas } = opened;
    await untilRead(opened);
    await laboratory.pause();
    // Quiet as it is, nothing is missing.
    expect(await servers(replicas, 5)).not.toContain(laboratory.primary.server.port);
    await db.insertInto('entry').values({ id: 1, n: 1 }).execute();
    await vi.waitFor(async () => expect(await servers(replicas, 5)).toEqual(portsOf([laboratory.primary])), 20_000);
    for (const state of pool.statistics().replicas?.states ?? []) {
      expect(state).toMatchObject({ state: 'up', role: 'standby', fit: false });
      expect(state.lagMs).toBeGreaterThan(500);
    }
    expect(pool.statistics().replicas?.reads.primary).toBeGreaterThan(0);
    await laboratory.resume();
    await vi.waitFor(async () => {
      expect(await servers(replicas, 5)).not.toContain(laboratory.primary.server.port);
      expect(pool.statistics().replicas?.states.map(({ lagMs }) => lagMs)).toEqual([0, 0]);
    }, 20_000);
  });

  it('is no further behind for that nobody has looked at it: its lag isn’t known then', async () => {
    const opened = laboratory.open({}, { maxLagMs: 500, consistency: 'eventual' });
    const { pool, db, replicas } = opened;
    const states = () => pool.statistics().replicas?.states ?? [];
    await untilRead(opened);
    await laboratory.pause();
    await db.insertInto('entry').values({ id: 1, n: 1 }).execute();
    await vi.waitFor(async () => {
      await portOf(replicas);
      for (const { lagMs, lagBytes, fit } of states()) {
        expect(lagMs).toBeGreaterThan(500);
        expect(lagBytes).toBeGreaterThan(0);
        expect(fit).toBe(false);
      }
    }, 20_000);
    await vi.waitFor(() => {
      for (const state of states()) {
        expect(state).toMatchObject({ state: 'up', role: 'standby', lagMs: undefined, lagBytes: undefined, fit: true });
      }
    }, 20_000);
    // The next reads look before they trust.
    expect(await servers(replicas, 5)).toEqual(portsOf([laboratory.primary]));
  });

  it('whose idle connection is checked before it is used isn’t counted as waited for', async () => {
    const opened = laboratory.open({}, { size: 3, minIdle: 3, maxOverflow: 0, prePing: { idleMs: 1 } });
    const reads = () => opened.pool.statistics().replicas?.reads;
    opened.pool.start();
    await untilRead(opened);
    // One for the read, and one for a look that is under way.
    await vi.waitFor(() => {
      const open = opened.pool.statistics().replicas?.states.map(({ connections }) => connections);
      expect(open).toEqual([3, 3]);
    }, 20_000);
    const before = reads();
    for (let at = 0; at < 20; at++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      await portOf(opened.replicas);
    }
    expect(reads()?.replica).toBeGreaterThan(before?.replica ?? 0);
    expect(reads()?.waited).toBe(before?.waited);
  });

  it('that is full is passed by: its borrowers cost others no more than waitMs', async () => {
    const opened = laboratory.open({}, { size: 1, maxOverflow: 0, waitMs: 30 });
    await untilRead(opened);
    await vi.waitFor(async () => expect(await servers(opened.replicas)).toEqual(portsOf(laboratory.standbys)), 20_000);
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    const holders = [0, 1].map(() =>
      opened.replicas.transaction().execute(async (transaction) => {
        await portOf(transaction);
        await held;
      }),
    );
    await vi.waitFor(() => {
      expect(opened.pool.statistics().replicas?.states.map(({ inUse }) => inUse)).toEqual([1, 1]);
    }, 20_000);
    expect(await portOf(opened.replicas)).toBe(laboratory.primary.server.port);
    release();
    await Promise.all(holders);
  });

  it('that is none any more leaves: a primary that stands among them serves nothing', async () => {
    const hosts = laboratory.cluster.nodes.map(({ proxy }) => ({ host: '127.0.0.1', port: proxy.port }));
    for (const targetSessionAttrs of [undefined, 'any'] as const) {
      const opened = laboratory.open({}, { hosts, targetSessionAttrs });
      await untilRead(opened);
      await vi.waitFor(async () => {
        expect(await servers(opened.replicas)).toEqual(portsOf(laboratory.standbys));
        // It isn't down for that: nobody's health suffers.
        expect(opened.pool.statistics().replicas?.states[0]).toMatchObject({
          role: 'primary',
          state: 'up',
          fit: false,
        });
      }, 20_000);
    }
  });

  it('may be found by a function, which is asked again', async () => {
    const [first, second] = laboratory.standbys as [ClusterNode, ClusterNode];
    let node = first;
    const hosts = () => [{ host: '127.0.0.1', port: node.proxy.port }];
    const opened = laboratory.open({ hostRecheckMs: 50 }, { hosts });
    await vi.waitFor(async () => expect(await portOf(opened.replicas)).toBe(first.server.port), 20_000);
    node = second;
    await vi.waitFor(async () => expect(await portOf(opened.replicas)).toBe(second.server.port), 20_000);
    await vi.waitFor(async () => expect(await first.server.backends()).toEqual([]), 20_000);
  });

  it('is known to the database’s health and closed with it', async () => {
    const opened = laboratory.open({}, { minIdle: 1 });
    opened.pool.start();
    await untilRead(opened);
    expect(await opened.pool.close()).toMatchObject({ graceful: true, destroyed: [] });
    await vi.waitFor(async () => {
      for (const { server } of laboratory.cluster.nodes) expect(await server.backends()).toEqual([]);
    }, 20_000);
  });
});

describe('the options of replicas', () => {
  const url = 'postgres://shop:secret@db1.internal,db2.internal/shop?sslmode=disable';

  it('are those of the database but for the address and what is given', () => {
    const { configuration } = new DatabasePool('shop', {
      url,
      size: 7,
      statementTimeoutMs: 5_000,
      replicas: { hosts: [{ host: 'db2.internal' }, { host: 'db3.internal', port: 5433 }], maxOverflow: 3 },
    });
    expect(configuration.replicas).toMatchObject({
      maxLagMs: 10_000,
      waitMs: 50,
      consistency: 'read-your-writes',
      pool: {
        hosts: [
          { host: 'db2.internal', port: 5432 },
          { host: 'db3.internal', port: 5433 },
        ],
        target: { user: 'shop', database: 'shop' },
        targetSessionAttrs: 'standby',
        size: 7,
        maxOverflow: 3,
        statementTimeoutMs: 5_000,
      },
    });
    expect(configuration.replicas?.pool.clientConfig).toMatchObject({ user: 'shop', database: 'shop', ssl: false });
    expect(JSON.stringify(configuration)).not.toContain('secret');
  });

  it('may come with a URL of their own, whose words win', () => {
    const { configuration } = new DatabasePool('shop', {
      url,
      replicas: { url: 'postgres://reader@db2.internal?target_session_attrs=any' },
    });
    expect(configuration.replicas?.pool).toMatchObject({
      hosts: [{ host: 'db2.internal', port: 5432 }],
      target: { user: 'reader', database: 'shop' },
      targetSessionAttrs: 'any',
    });
  });

  it.each<[string, object, RegExp]>([
    ['no host', { size: 2 }, /replicas: names no host; give url or hosts/],
    ['an option that is none', { hosts: [{ host: 'a' }], lag: 1 }, /replicas\.lag: no such option/],
    ['a start of their own', { hosts: [{ host: 'a' }], startup: 'lazy' }, /replicas\.startup: no such option/],
    ['a lag that is none', { hosts: [{ host: 'a' }], maxLagMs: 0 }, /replicas\.maxLagMs: 0 is not allowed/],
    ['another consistency', { hosts: [{ host: 'a' }], consistency: 'strong' }, /replicas\.consistency: "strong"/],
    ['a URL that is none', { url: 'nonsense' }, /replicas\.url: /],
    ['minIdle over size', { hosts: [{ host: 'a' }], size: 1, minIdle: 2 }, /replicas\.minIdle: 2 is not allowed/],
  ])('are refused by name: %s', (_what, replicas, message) => {
    expect(() => new DatabasePool('shop', { url, replicas })).toThrow(message);
  });
});

describe('when servers change their parts,', { timeout: 120_000 }, () => {
  it('reads go on without a primary, and a promoted replica leaves those that are read from and takes the writes', async () => {
    await using own = await ReplicaLaboratory.start();
    const opened = own.open({ acquireTimeoutMs: 60_000, hostRecheckMs: 500 });
    const { db, replicas, pool } = opened;
    const [first, second, third] = own.cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
    const request = <Result>(fn: () => Promise<Result>): Promise<Result> => withConsistency(undefined, fn);
    const isReplica = (port: number): boolean => [second, third].some(({ server }) => server.port === port);
    await vi.waitFor(async () => expect(isReplica(await request(() => portOf(replicas)))).toBe(true), 20_000);
    await first.kill();
    // Whoever has written nothing has no need of the primary.
    await vi.waitFor(async () => expect(isReplica(await request(() => portOf(replicas)))).toBe(true), 20_000);
    await own.cluster.promote(second);
    await request(async () => {
      await db.insertInto('entry').values({ id: 1, n: 1 }).execute();
      expect(await portOf(db)).toBe(second.server.port);
      expect(await replicas.selectFrom('entry').select('n').execute()).toEqual([{ n: 1 }]);
    });
    await vi.waitFor(async () => {
      expect(await request(() => portOf(replicas))).toBe(third.server.port);
      const states = pool.statistics().replicas?.states ?? [];
      expect(states.map(({ role, fit }) => ({ role, fit }))).toEqual([
        { role: 'primary', fit: false },
        { role: 'standby', fit: true },
      ]);
    }, 20_000);
  });

  it('a replica that goes on with the old primary isn’t taken for one that has what was written to the new one', async () => {
    await using own = await ReplicaLaboratory.start();
    const [first, second, third] = own.cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
    const hosts = [{ host: '127.0.0.1', port: third.proxy.port }];
    // The new primary alone takes the writes, and nobody has told the third server.
    const opened = own.open(
      { url: second.urlOf(), acquireTimeoutMs: 60_000, targetSessionAttrs: 'read-write' },
      { hosts },
    );
    await second.cutOff();
    await ask(second, 'select pg_promote(true)');
    await own.onPrimary('create table further as select generate_series(1, 20000) as n');
    await own.onPrimary('insert into entry values (7, 7)');
    await vi.waitFor(async () => expect(await ask(third, 'select n from entry')).toEqual([{ n: 7 }]), 20_000);
    expect(own.primary).toBe(first);
    await withConsistency(undefined, async () => {
      await opened.db.insertInto('entry').values({ id: 1, n: 1 }).execute();
      const read = opened.replicas.selectFrom('entry').select('n');
      await vi.waitFor(async () => {
        expect(await read.execute()).toEqual([{ n: 1 }]);
        expect(opened.pool.statistics().replicas?.states[0]).toMatchObject({ state: 'up', role: 'standby' });
      }, 20_000);
      for (let at = 0; at < 10; at++) expect(await read.execute()).toEqual([{ n: 1 }]);
    });
    // It is read from by those who have written nothing: the server says nothing that would tell.
    const other = opened.replicas.selectFrom('entry').select('n');
    await vi.waitFor(
      async () => expect(await withConsistency(undefined, () => other.execute())).toEqual([{ n: 7 }]),
      20_000,
    );
  });
});

describe('who holds connections to replicas', { timeout: 60_000 }, () => {
  // What has to be dialled first is waited for: nothing goes to the primary.
  const PATIENT = { waitMs: 10_000 };

  /** Looks at replicas hold connections as well, now and then. */
  function inTransactions(pool: DatabasePool): Holder[] {
    return pool.holders().filter(({ inTransaction }) => inTransaction);
  }

  function hostsOfStandbys(): string[] {
    return laboratory.standbys.map(({ proxy }) => `127.0.0.1:${proxy.port}`);
  }

  it('is shown among the holders of the database, with the replica, and can be made to let go', async () => {
    const opened = laboratory.open({ leakDetectionMs: 60_000 }, PATIENT);
    const { pool, db, replicas } = opened;
    await untilRead(opened);
    await db.connection().execute(async (held) => {
      await portOf(held);
      const failed = replicas.transaction().execute(async (transaction) => {
        await portOf(transaction);
        const holders = pool.holders();
        const times = holders.map(({ heldMs }) => heldMs);
        expect(times).toEqual(times.toSorted((one, other) => other - one));
        const ofReplica = holders.find(({ inTransaction }) => inTransaction);
        expect(ofReplica).toMatchObject({
          replica: expect.toSatisfy((host) => hostsOfStandbys().includes(host as string)),
          active: false,
          leaked: false,
          acquiredAt: expect.stringContaining('replicas.spec.ts'),
          serverId: expect.any(Number),
        });
        const { connection } = ofReplica!;
        const others = holders.filter((each) => each !== ofReplica);
        expect(others.find(({ acquiredAt }) => acquiredAt?.includes('replicas.spec.ts'))).not.toHaveProperty('replica');
        expect(pool.terminate(connection)).toBe(true);
        expect(pool.holders().map((each) => each.connection)).not.toContain(connection);
        expect(pool.terminate(connection)).toBe(false);
        await portOf(transaction);
      });
      await expect(failed).rejects.toMatchObject({ code: 'ERR_POOL_LEASE_RELEASED' });
      await portOf(held);
    });
    await vi.waitFor(() => expect(pool.holders()).toEqual([]));
  });

  it('has a number of its own, whatever the host', async () => {
    const opened = laboratory.open({}, PATIENT);
    await untilRead(opened);
    const held = await Promise.all(
      [opened.db, opened.replicas].flatMap((db) => [1, 2, 3, 4].map(() => db.startTransaction().execute())),
    );
    await Promise.all(held.map(portOf));
    const numbers = inTransactions(opened.pool).map(({ connection }) => connection);
    expect(numbers).toHaveLength(8);
    expect(new Set(numbers).size).toBe(8);
    await Promise.all(held.map((transaction) => transaction.rollback().execute()));
  });

  it('counts among the leaks of the database', async () => {
    const opened = laboratory.open({}, { ...PATIENT, leakDetectionMs: 20 });
    const { pool, replicas } = opened;
    await untilRead(opened);
    const transaction = await replicas.startTransaction().execute();
    const port = await portOf(transaction);
    expect(portsOf(laboratory.standbys)).toContain(port);
    await vi.waitFor(
      () => expect(pool.holders()).toMatchObject([{ leaked: true, replica: expect.any(String) }]),
      20_000,
    );
    const [holder] = inTransactions(pool);
    expect(pool.statistics()).toMatchObject({ leaks: 1, lastLeak: { connection: holder?.connection } });
    await transaction.rollback().execute();
    expect(inTransactions(pool)).toEqual([]);
    expect(pool.statistics().leaks).toBe(1);
  });

  it('is told with its replica when the end does not wait for it any longer', async () => {
    const opened = laboratory.open({}, PATIENT);
    await untilRead(opened);
    const transaction = await opened.replicas.startTransaction().execute();
    await portOf(transaction);
    const [holder] = inTransactions(opened.pool);
    const { graceful, destroyed } = await opened.pool.close({ deadlineMs: 50 });
    expect(graceful).toBe(false);
    const { connection, replica } = holder!;
    expect(replica).toEqual(expect.any(String));
    expect(destroyed).toContainEqual(expect.objectContaining({ connection, replica }));
    await transaction.rollback().execute();
  });

  it('is shown while a host that is a replica no more waits for it', async () => {
    const [first, second] = laboratory.standbys.map(({ proxy }) => ({ host: '127.0.0.1', port: proxy.port }));
    let hosts = [first!];
    const opened = laboratory.open({}, { ...PATIENT, hosts: () => hosts, hostRecheckMs: 200, leakDetectionMs: 20 });
    await untilRead(opened);
    const transaction = await opened.replicas.startTransaction().execute();
    await portOf(transaction);
    hosts = [second!];
    await vi.waitFor(async () => {
      await opened.pool.ping();
      expect(opened.pool.statistics().replicas?.states).toMatchObject([{ host: `127.0.0.1:${second!.port}` }]);
    }, 20_000);
    await vi.waitFor(() => expect(opened.pool.statistics().leaks).toBe(1), 20_000);
    const [holder] = inTransactions(opened.pool);
    expect(holder).toMatchObject({ replica: `127.0.0.1:${first!.port}` });
    expect(opened.pool.terminate(holder!.connection)).toBe(true);
    await transaction.rollback().execute();
    await vi.waitFor(() => expect(inTransactions(opened.pool)).toEqual([]));
    expect(opened.pool.statistics().leaks).toBe(1);
  });
});
