import { PoolAcquireTimeoutError } from '#pooling/core/errors.js';
import type { Lease } from '#pooling/core/lease.js';
import { Pool } from '#pooling/core/pool.js';
import type { LeakReport, PoolDependencies, PoolOptions } from '#pooling/core/pool-options.js';
import { settle } from '#pooling/testing/manual-clock.js';
import { FakeConnector, type FakeConnection } from './fake-connector.js';
import { useLaboratories, type Laboratory } from './laboratory.js';

const laboratory = useLaboratories();

/** A laboratory whose connector does at once whatever it is asked to. */
function healthy(
  overrides: Partial<PoolOptions> = {},
  dependencies: PoolDependencies<FakeConnection> = {},
): Laboratory {
  const made = laboratory(overrides, dependencies);
  made.connector.healthy = true;
  return made;
}

/** The outcome of a promise, as it settles. */
function outcome<V>(promise: Promise<V>): { value?: V; error?: unknown; settled: boolean } {
  const result: { value?: V; error?: unknown; settled: boolean } = { settled: false };
  promise.then(
    (value) => Object.assign(result, { value, settled: true }),
    (error: unknown) => Object.assign(result, { error, settled: true }),
  );
  return result;
}

describe('acquire', () => {
  it('leases the connection that was used last, so that the surplus ages', async () => {
    const { pool } = healthy({ size: 2 });
    const [first, second] = await Promise.all([pool.acquire(), pool.acquire()]);
    const last = second.connection;
    first.release();
    second.release();
    expect((await pool.acquire()).connection).toBe(last);
  });

  it('leases an idle connection in the same tick', async () => {
    const { pool } = healthy();
    (await pool.acquire()).release();
    const lease = pool.tryAcquire();
    expect(lease?.connection.open).toBe(true);
    expect(pool.tryAcquire()).toBeUndefined();
  });

  it('takes a returned connection although the dial it caused is still under way', async () => {
    const { pool, connector } = laboratory({ size: 2 });
    const first = pool.acquire();
    connector.pending[0]?.succeed();
    const lease = await first;
    const second = outcome(pool.acquire());
    await settle();
    expect(connector.pending.map((step) => step.kind)).toEqual(['open']);
    lease.release();
    await settle();
    expect(second.value?.connection).toBeDefined();
  });

  it('takes a returned connection although dials keep failing', async () => {
    const { pool, connector, clock } = laboratory({ size: 2, acquireTimeoutMs: 5_000 });
    const first = pool.acquire();
    connector.pending[0]?.succeed();
    const lease = await first;
    const second = outcome(pool.acquire());
    for (let failures = 0; failures < 5; failures++) {
      connector.pending[0]?.fail();
      await clock.advance(200);
    }
    expect(second.settled).toBe(false);
    lease.release();
    await settle();
    expect(second.value?.connection).toBeDefined();
  });

  it('keeps the dial of an aborted waiter for the next one', async () => {
    const { pool, connector } = laboratory();
    const abort = new AbortController();
    const aborted = outcome(pool.acquire({ signal: abort.signal }));
    abort.abort(new Error('enough'));
    await settle();
    expect(aborted.error).toBe(abort.signal.reason);
    connector.pending[0]?.succeed();
    await settle();
    expect(pool.statistics()).toMatchObject({ idle: 1, waiting: 0, acquireAborted: 1 });
    expect(pool.tryAcquire()).toBeDefined();
    expect(connector.dialled).toBe(1);
  });

  it('rejects at once when its signal was aborted before', async () => {
    const { pool, connector } = laboratory();
    const reason = new Error('never mind');
    await expect(pool.acquire({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(connector.dialled).toBe(0);
  });

  it('has one deadline over queue, dial and check', async () => {
    const { pool, connector, clock } = laboratory({
      size: 1,
      maxOverflow: 0,
      pingAfterIdleMs: 100,
      connectTimeoutMs: 5_000,
    });
    const first = pool.acquire();
    connector.pending[0]?.succeed();
    (await first).release();
    await clock.advance(200);
    const late = outcome(pool.acquire({ timeoutMs: 400 }));
    await clock.advance(300);
    // The check took its 300 ms and failed; the dial has the rest.
    expect(pool.statistics()).toMatchObject({ connecting: 1 });
    await clock.advance(99);
    expect(late.settled).toBe(false);
    await clock.advance(26);
    expect(late.error).toBeInstanceOf(PoolAcquireTimeoutError);
  });

  it('is refused at once when the queue is full', async () => {
    const { pool } = laboratory({ maxWaiting: 2 });
    const waiting = [outcome(pool.acquire()), outcome(pool.acquire())];
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'ERR_POOL_QUEUE_FULL', pool: 'test' });
    expect(waiting.some((each) => each.settled)).toBe(false);
    expect(pool.statistics()).toMatchObject({ waiting: 2, queueRejected: 1 });
  });
});

describe('the error of an acquire that timed out', () => {
  it('says who holds the connections, and whether a leak is likely', async () => {
    const { pool, clock } = healthy(
      { size: 1, maxOverflow: 0, name: 'orders' },
      {
        label: () => 'OrdersController.create',
        describe: () => ({ statement: 'select * from orders', inTransaction: true, active: false }),
      },
    );
    await pool.acquire();
    const starving = outcome(pool.acquire());
    await clock.advance(1_100);
    const error = starving.error as PoolAcquireTimeoutError;
    expect(error.message).toMatch(
      /^orders: no connection within 1000 ms \(1 of 1 in use, 1 waiting\)\. Longest held: 1\.0 s by OrdersController\.create, idle in transaction, last ran: select \* from orders\. Last connect failure: none\. Transactions sit idle/,
    );
    expect(error.details).toMatchObject({
      inUse: 1,
      max: 1,
      waiting: 1,
      holders: [{ label: 'OrdersController.create' }],
    });
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT', pool: 'orders' });
  });

  it('has the real connect error as its cause', async () => {
    const { pool, connector, clock } = laboratory();
    const starving = outcome(pool.acquire());
    for (let failures = 0; failures < 20; failures++) {
      connector.pending[0]?.fail();
      await clock.advance(60);
    }
    expect(starving.error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT', cause: { code: 'ECONNREFUSED' } });
    expect((starving.error as Error).message).toContain('Last connect failure: connect ECONNREFUSED');
  });
});

describe('dialling', () => {
  it('follows one back-off for the whole pool, and starts slowly when the server is back', async () => {
    const { pool, connector, clock } = laboratory({
      size: 20,
      maxConnecting: 8,
      maxWaiting: 1_000,
      acquireTimeoutMs: 120_000,
    });
    for (let count = 0; count < 500; count++) outcome(pool.acquire());
    expect(connector.pending).toHaveLength(8);
    for (let elapsed = 0; elapsed < 60_000; elapsed += 50) {
      while (connector.pending.length > 0) connector.pending[0]?.fail();
      await clock.advance(50);
      expect(connector.pending.length).toBeLessThanOrEqual(1);
    }
    expect(connector.dialled).toBeLessThanOrEqual(40);
    while (connector.pending.length === 0) await clock.advance(100);
    const atOnce: number[] = [];
    for (let round = 0; round < 4; round++) {
      atOnce.push(connector.pending.length);
      for (const step of [...connector.pending]) step.succeed();
      await settle();
    }
    expect(atOnce).toEqual([1, 2, 4, 8]);
  });

  it('hardly dials while only the background refill wants a connection', async () => {
    const { pool, connector, clock } = laboratory({ minIdle: 2, maxConnecting: 2 });
    pool.start();
    for (let elapsed = 0; elapsed < 60_000; elapsed += 100) {
      while (connector.pending.length > 0) connector.pending[0]?.fail();
      await clock.advance(100);
    }
    expect(connector.dialled).toBeLessThanOrEqual(12);
    expect(connector.dialled).toBeGreaterThanOrEqual(3);
  });

  it('gives up a dial that hangs, and destroys the connection that it brings too late', async () => {
    const connector = new FakeConnector();
    let arrive: ((connection: FakeConnection) => void) | undefined;
    connector.open = () => new Promise((resolve) => (arrive = resolve));
    const { pool, clock } = laboratory({ size: 1, maxOverflow: 0, acquireTimeoutMs: 5_000 }, {}, connector);
    const waiting = outcome(pool.acquire());
    await clock.advance(501);
    expect(pool.statistics()).toMatchObject({ connectErrors: 1, lastConnectError: { code: 'ETIMEDOUT' } });
    const late: FakeConnection = { id: 99, open: true, dirty: false, lost: () => {} };
    arrive?.(late);
    await settle();
    expect(late.open).toBe(false);
    expect(waiting.settled).toBe(false);
  });

  it('probe() dials in spite of the back-off, one at a time', async () => {
    const { pool, connector, clock } = laboratory({ minIdle: 1 });
    pool.start();
    connector.pending[0]?.fail();
    await clock.advance(100);
    expect(connector.pending).toHaveLength(0);
    pool.probe();
    pool.probe();
    expect(connector.pending).toHaveLength(1);
    connector.pending[0]?.succeed();
    await settle();
    expect(pool.statistics()).toMatchObject({ idle: 1 });
    expect(pool.report.connectError).toBeUndefined();
  });
});

describe('overflow', () => {
  it('is opened under load and closed when given back while nobody waits', async () => {
    const { pool } = healthy({ size: 1, maxOverflow: 2 });
    const leases = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    expect(pool.statistics()).toMatchObject({ size: 3, overflow: 2, max: 3 });
    for (const lease of leases) lease.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 1, idle: 1, closed: { overflow: 2 } });
  });

  it('is handed on while somebody waits', async () => {
    const { pool } = healthy({ size: 1, maxOverflow: 1 });
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    const waiting = outcome(pool.acquire());
    leases[1]?.release();
    await settle();
    expect(waiting.value).toBeDefined();
    expect(pool.statistics()).toMatchObject({ opened: 2, size: 2 });
  });

  it('kept for waiters of a suspended pool that gave up is closed in the next round', async () => {
    const { pool, clock } = healthy({ size: 1, maxOverflow: 1, keepAliveMs: 1_000 });
    pool.start();
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    pool.suspend();
    const waiting = outcome(pool.acquire({ timeoutMs: 50 }));
    for (const lease of leases) lease.release();
    await clock.advance(100);
    expect(waiting.error).toMatchObject({ code: 'ERR_POOL_SUSPENDED' });
    pool.resume();
    await clock.advance(1_000);
    expect(pool.statistics()).toMatchObject({ size: 1, closed: { overflow: 1 } });
  });
});

describe('checks before a lease', () => {
  it('replace a dead connection unseen within the same deadline', async () => {
    const { pool, connector, clock } = laboratory({ pingAfterIdleMs: 500 });
    const first = pool.acquire();
    connector.pending[0]?.succeed();
    (await first).release();
    await clock.advance(600);
    const second = outcome(pool.acquire());
    expect(connector.pending.map((step) => step.kind)).toEqual(['ping']);
    connector.pending[0]?.fail();
    await settle();
    connector.pending[0]?.succeed();
    await settle();
    expect(second.value?.connection.id).toBe(2);
    expect(pool.statistics()).toMatchObject({ closed: { invalid: 1 }, acquireTimeouts: 0 });
  });

  it('that hang end after their own time-out', async () => {
    const { pool, connector, clock } = laboratory({ pingAfterIdleMs: 500, pingTimeoutMs: 300 });
    const first = pool.acquire();
    connector.pending[0]?.succeed();
    (await first).release();
    await clock.advance(600);
    const second = outcome(pool.acquire());
    await clock.advance(320);
    connector.pending.find((step) => step.kind === 'open')?.succeed();
    await settle();
    expect(second.value?.connection.id).toBe(2);
  });

  it('are left out for a connection used a moment ago', async () => {
    const { pool, connector, clock } = laboratory({ pingAfterIdleMs: 500 });
    const first = pool.acquire();
    connector.pending[0]?.succeed();
    (await first).release();
    await clock.advance(400);
    expect(pool.tryAcquire()).toBeDefined();
    expect(connector.pending).toEqual([]);
  });

  it('are made of every older idle connection after the first one was lost, a few at a time', async () => {
    const { pool, connector, clock } = healthy({ size: 3, maxOverflow: 0, maxConnecting: 3 });
    const leases = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    const [lost] = leases.map((lease) => lease.connection);
    for (const lease of leases) lease.release();
    await clock.advance(10);
    connector.healthy = false;
    lost?.lost(new Error('terminated'));
    await settle();
    const next = outcome(pool.acquire());
    expect(connector.pending.map((step) => step.kind)).toEqual(['ping']);
    connector.pending[0]?.succeed();
    await settle();
    expect(next.value).toBeDefined();
    expect(pool.statistics()).toMatchObject({ closed: { broken: 1 }, idle: 1, inUse: 1 });
  });

  it('happen after the event loop or the machine stood still, and nothing is closed for it', async () => {
    const { pool, connector, clock } = healthy({ size: 2, idleTimeoutMs: 20_000, keepAliveMs: 0 });
    pool.start();
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    for (const lease of leases) lease.release();
    await clock.advance(100);
    await clock.leap(60_000);
    expect(pool.statistics()).toMatchObject({ idle: 2, size: 2 });
    connector.healthy = false;
    outcome(pool.acquire());
    expect(connector.pending.map((step) => step.kind)).toEqual(['ping']);
  });

  it('end for a pool that checks before every lease: a connection that was just checked isn’t checked again', async () => {
    const { pool, clock } = healthy({ pingAfterIdleMs: 0 });
    (await pool.acquire()).release();
    await clock.advance(5);
    const lease = outcome(pool.acquire());
    await settle();
    expect(lease.value).toBeDefined();
  });
});

describe('recycling', () => {
  it('shortens each lifetime by its own share of the jitter', async () => {
    const shares = [0, 0.99, 0.5];
    const { pool, clock } = healthy(
      { size: 3, maxConnecting: 3, maxLifetimeMs: 10_000, lifetimeJitter: 0.25 },
      { random: () => shares.shift() ?? 0.5 },
    );
    pool.start();
    const leases = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    for (const lease of leases) lease.release();
    await clock.advance(7_400);
    expect(pool.statistics().closed.lifetime).toBe(0);
    await clock.advance(2_600 + 2_500);
    expect(pool.statistics().closed.lifetime).toBe(3);
  });

  it('closes after maxUses leases', async () => {
    const { pool } = healthy({ maxUses: 2 });
    for (let uses = 0; uses < 5; uses++) (await pool.acquire()).release();
    await settle();
    expect(pool.statistics()).toMatchObject({ opened: 3, closed: { uses: 2 } });
  });

  it('never lets a lifetime or an idle time touch a borrowed connection', async () => {
    const { pool, clock } = healthy({ maxLifetimeMs: 1_000, idleTimeoutMs: 500 });
    pool.start();
    const lease = await pool.acquire();
    await clock.advance(5_000);
    expect(lease.connection.open).toBe(true);
    lease.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ closed: { lifetime: 1 }, size: 0 });
  });

  it('closes what idles, down to minIdle, the longest idle first', async () => {
    const { pool, clock } = healthy({ size: 3, minIdle: 1, maxConnecting: 3, idleTimeoutMs: 1_000 });
    pool.start();
    const leases = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    const last = leases[2]?.connection;
    for (const lease of leases) lease.release();
    await clock.advance(1_500);
    expect(pool.statistics()).toMatchObject({ idle: 1, closed: { idle: 2 } });
    expect(pool.tryAcquire()?.connection).toBe(last);
  });

  it('expireAll() replaces idle connections now and borrowed ones when they come back', async () => {
    const { pool } = healthy({ size: 2 });
    const [held, idle] = await Promise.all([pool.acquire(), pool.acquire()]);
    idle.release();
    pool.expireAll();
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 1, closed: { expired: 1 } });
    held.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 0, closed: { expired: 2 } });
    expect((await pool.acquire()).connection.id).toBe(3);
  });

  it('keeps idle connections alive in the background without making them young again', async () => {
    const { pool, clock } = healthy({ keepAliveMs: 1_000, idleTimeoutMs: 3_500 });
    pool.start();
    (await pool.acquire()).release();
    await clock.advance(3_000);
    expect(pool.statistics()).toMatchObject({ idle: 1 });
    await clock.advance(1_000);
    expect(pool.statistics()).toMatchObject({ idle: 0, closed: { idle: 1 } });
  });
});

describe('release', () => {
  it('cleans what the borrower left before anybody else gets it', async () => {
    const { pool, connector } = laboratory({ size: 1, maxOverflow: 0 });
    const first = pool.acquire();
    connector.pending[0]?.succeed();
    const lease = await first;
    lease.connection.dirty = true;
    const second = outcome(pool.acquire());
    lease.release();
    expect(connector.pending.map((step) => step.kind)).toEqual(['reset']);
    await settle();
    expect(second.settled).toBe(false);
    connector.pending[0]?.succeed();
    await settle();
    expect(second.value?.connection.dirty).toBe(false);
  });

  it('closes a connection that could not be cleaned, or not in time', async () => {
    const { pool, connector, clock } = laboratory({ size: 1, maxOverflow: 0 });
    for (const end of ['fail', 'hang'] as const) {
      const acquired = pool.acquire();
      connector.pending.find((step) => step.kind === 'open')?.succeed();
      const lease = await acquired;
      lease.connection.dirty = true;
      lease.release();
      if (end === 'fail') connector.pending.find((step) => step.kind === 'reset')?.fail();
      await clock.advance(320);
    }
    expect(pool.statistics()).toMatchObject({ closed: { reset: 2 }, size: 0 });
  });

  it('of a connection that died while it was borrowed frees the slot', async () => {
    const { pool } = healthy({ size: 1, maxOverflow: 0 });
    const lease = await pool.acquire();
    const waiting = outcome(pool.acquire());
    lease.connection.lost(new Error('terminated'));
    await settle();
    expect(waiting.settled).toBe(false);
    lease.release();
    await settle();
    expect(waiting.value?.connection.id).toBe(2);
  });
});

describe('hooks before a lease', () => {
  it('that fail destroy the connection, tell the borrower and lose no slot', async () => {
    const connector = new FakeConnector({ prepare: true });
    const { pool } = laboratory({ size: 1, maxOverflow: 0 }, {}, connector);
    for (let attempt = 0; attempt < 3; attempt++) {
      const acquired = outcome(pool.acquire());
      connector.pending.find((step) => step.kind === 'open')?.succeed();
      await settle();
      connector.pending.find((step) => step.kind === 'prepare')?.fail();
      await settle();
      expect(acquired.error).toMatchObject({ message: 'prepare failed' });
    }
    expect(pool.statistics()).toMatchObject({ size: 0, closed: { invalid: 3 } });
  });

  it('that hang end at the connect time-out: the borrower is told, and no slot is lost', async () => {
    const connector = new FakeConnector({ prepare: true });
    const { pool, clock } = laboratory({ size: 1, maxOverflow: 0, acquireTimeoutMs: 5_000 }, {}, connector);
    const acquired = outcome(pool.acquire());
    connector.pending[0]?.succeed();
    await settle();
    await clock.advance(499);
    expect(acquired.settled).toBe(false);
    await clock.advance(26);
    expect(acquired.error).toMatchObject({ message: 'onAcquire took longer than 500 ms' });
    expect(pool.statistics()).toMatchObject({ size: 0, inUse: 0, closed: { invalid: 1 } });
  });

  it('leave the waiter in front when the connection dies meanwhile', async () => {
    const connector = new FakeConnector({ prepare: true });
    const { pool } = laboratory({ size: 2, maxOverflow: 0 }, {}, connector);
    const first = outcome(pool.acquire());
    connector.pending[0]?.succeed();
    await settle();
    const second = outcome(pool.acquire());
    const [preparing] = connector.sockets;
    (preparing as FakeConnection).open = false;
    preparing?.lost(new Error('terminated'));
    connector.pending.find((step) => step.kind === 'prepare')?.succeed();
    await settle();
    expect(first.settled).toBe(false);
    connector.healthy = true;
    while (connector.pending.length > 0) connector.pending[0]?.succeed();
    await settle();
    expect(first.value).toBeDefined();
    expect(second.value).toBeDefined();
  });
});

describe('leak detection', () => {
  function watched(): Laboratory & { leaks: LeakReport[]; returned: LeakReport[] } {
    const leaks: LeakReport[] = [];
    const returned: LeakReport[] = [];
    const observer = {
      leaked: (report: LeakReport) => void leaks.push(report),
      unleaked: (report: LeakReport) => void returned.push(report),
    };
    return { ...healthy({ leakDetectionMs: 2_000, acquireTimeoutMs: 60_000 }, { observer }), leaks, returned };
  }

  async function forgetfulBorrower(pool: Pool<FakeConnection>): Promise<Lease<FakeConnection>> {
    return pool.acquire();
  }

  it('reports a lease once with the stack that acquired it, and once more when it comes back', async () => {
    const { pool, clock, leaks, returned } = watched();
    const lease = await forgetfulBorrower(pool);
    await clock.advance(1_990);
    expect(leaks).toEqual([]);
    await clock.advance(10_000);
    expect(leaks).toHaveLength(1);
    expect(leaks[0]).toMatchObject({ collected: false });
    expect(leaks[0]?.stack).toContain('forgetfulBorrower');
    expect(pool.holders()[0]).toMatchObject({ leaked: true, acquiredAt: expect.stringContaining('forgetfulBorrower') });
    lease.release();
    expect(returned).toHaveLength(1);
    expect(pool.statistics().leaks).toBe(1);
  });

  it('keeps the last report in the statistics, in plain data', async () => {
    const { pool, clock } = watched();
    await forgetfulBorrower(pool);
    expect(pool.statistics()).not.toHaveProperty('lastLeak');
    await clock.advance(2_500);
    const { lastLeak } = pool.statistics();
    expect(lastLeak).toMatchObject({ connection: 1, collected: false });
    expect(lastLeak?.acquiredAt).toMatch(/^forgetfulBorrower \(pool\.spec\.ts:\d+\)$/);
    expect(structuredClone(lastLeak)).toEqual(lastLeak);
  });

  it.each(['terminated', 'closed by force'])('says nothing of a return when the connection was %s', async (how) => {
    const { pool, clock, leaks, returned } = watched();
    await forgetfulBorrower(pool);
    await clock.advance(2_500);
    if (how === 'terminated') pool.terminate(1);
    else {
      const closed = pool.close(100);
      await clock.advance(200);
      expect(await closed).toMatchObject({ destroyed: [{ connection: 1, leaked: true }] });
    }
    expect(pool.statistics().inUse).toBe(0);
    expect(leaks).toHaveLength(1);
    expect(returned).toEqual([]);
  });

  it('says nothing of a lease that came back in time', async () => {
    const { pool, clock, leaks, returned } = watched();
    const lease = await pool.acquire();
    await clock.advance(1_900);
    lease.release();
    await clock.advance(10_000);
    expect([leaks, returned]).toEqual([[], []]);
  });
});

describe('suspend and resume', () => {
  it('holds acquires back, and serves them in order afterwards', async () => {
    const { pool } = healthy({ size: 2 });
    (await pool.acquire()).release();
    pool.suspend();
    const served: number[] = [];
    for (let order = 0; order < 2; order++) void pool.acquire().then(() => served.push(order));
    await settle();
    expect(served).toEqual([]);
    expect(pool.statistics()).toMatchObject({ state: 'suspended', waiting: 2 });
    pool.resume();
    await settle();
    expect(served).toEqual([0, 1]);
  });
});

describe('resize', () => {
  it('grows and shrinks at run time without touching what is borrowed', async () => {
    const { pool } = healthy({ size: 1, maxOverflow: 0 });
    const first = await pool.acquire();
    const waiting = outcome(pool.acquire());
    pool.resize(3, 0);
    await settle();
    expect(waiting.value).toBeDefined();
    pool.resize(1, 0);
    expect(first.connection.open).toBe(true);
    waiting.value?.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 1, inUse: 1, closed: { overflow: 1 } });
  });
});

describe('close', () => {
  it('refuses waiters and newcomers, lets leases finish, and tells so', async () => {
    const { pool } = healthy({ size: 1, maxOverflow: 0 });
    const lease = await pool.acquire();
    const waiting = outcome(pool.acquire());
    const closed = outcome(pool.close(5_000));
    await settle();
    expect(waiting.error).toMatchObject({ code: 'ERR_POOL_CLOSED' });
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect(closed.settled).toBe(false);
    lease.release();
    await settle();
    expect(closed.value).toMatchObject({ graceful: true, refused: 1, destroyed: [] });
  });

  it('destroys what is left at the deadline and names its holders', async () => {
    const { pool, clock, connector } = healthy({}, { label: () => 'ReportsJob.run' });
    const lease = await pool.acquire();
    const closed = outcome(pool.close(5_000));
    await clock.advance(5_100);
    expect(closed.value).toMatchObject({ graceful: false, destroyed: [{ label: 'ReportsJob.run' }] });
    expect(connector.sockets.size).toBe(0);
    expect(() => lease.release()).toThrow(expect.objectContaining({ code: 'ERR_POOL_LEASE_RELEASED' }));
  });

  it('gives up dials at once', async () => {
    const { pool, connector } = laboratory();
    const waiting = outcome(pool.acquire());
    expect(connector.pending).toHaveLength(1);
    await pool.close(5_000);
    expect(waiting.error).toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect(connector.pending).toEqual([]);
  });

  it('cuts a polite goodbye short that the peer never answers', async () => {
    const { pool, connector, clock } = laboratory();
    const first = pool.acquire();
    connector.pending[0]?.succeed();
    (await first).release();
    const closed = outcome(pool.close(60_000));
    await clock.advance(1_900);
    expect(closed.settled).toBe(false);
    await clock.advance(200);
    expect(closed.value).toMatchObject({ graceful: true });
    expect(connector.sockets.size).toBe(0);
  });

  it('leaves no timer', async () => {
    const { pool, clock } = healthy({ minIdle: 1, idleTimeoutMs: 1_000, keepAliveMs: 1_000 });
    pool.start();
    (await pool.acquire()).release();
    await pool.close(1_000);
    expect(clock.pendingTimers).toBe(0);
  });
});

it('drain() still serves, but opens nothing ahead of demand', async () => {
  const { pool, connector, clock } = healthy({ minIdle: 1, idleTimeoutMs: 1_000 });
  pool.start();
  await settle();
  pool.drain();
  pool.expireAll();
  await clock.advance(10_000);
  expect(pool.statistics()).toMatchObject({ state: 'draining', size: 0 });
  expect(connector.dialled).toBe(1);
  expect((await pool.acquire()).connection.id).toBe(2);
});

it('terminate() takes a connection from its holder', async () => {
  const { pool } = healthy();
  const lease = await pool.acquire();
  expect(pool.terminate(pool.holders()[0]?.connection ?? -1)).toBe(true);
  expect(lease.released).toBe(true);
  expect(pool.terminate(1)).toBe(false);
  expect(pool.statistics()).toMatchObject({ closed: { broken: 1 } });
});
