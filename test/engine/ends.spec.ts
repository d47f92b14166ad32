import { Pool } from '#pooling/core/pool.js';
import type { PoolDependencies, PoolOptions } from '#pooling/core/pool-options.js';
import { ManualClock, settle } from '#pooling/testing/manual-clock.js';
import { FakeConnector, type FakeConnection } from './fake-connector.js';
import { poolOptions } from './pool-options.js';

interface Laboratory {
  readonly clock: ManualClock;
  readonly connector: FakeConnector;
  readonly pool: Pool<FakeConnection>;
}

function laboratory(
  overrides: Partial<PoolOptions> = {},
  connector = new FakeConnector(),
  dependencies: PoolDependencies<FakeConnection> = {},
): Laboratory {
  const clock = new ManualClock();
  connector.healthy = true;
  const pool = new Pool(poolOptions(overrides), connector, { clock, random: () => 0.5, ...dependencies });
  return { clock, connector, pool };
}

describe('finishWaiting', () => {
  it('refuses newcomers and those beyond the bound, and resolves when those that are dialled for are served', async () => {
    const { pool, connector } = laboratory({ size: 1, maxOverflow: 0 });
    connector.healthy = false;
    const first = pool.acquire();
    const second = pool.acquire();
    const finished = pool.finishWaiting();
    await expect(second).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect(pool.state).toBe('finishing');
    expect(pool.statistics().state).toBe('draining');
    connector.pending[0]?.succeed();
    await finished;
    connector.healthy = true;
    (await first).release();
    expect(await pool.close(0)).toMatchObject({ refused: 0 });
  });

  it('has nothing to wait for when nobody waits, and nothing to finish while the pool is suspended', () => {
    const idle = laboratory();
    expect(idle.pool.finishWaiting()).toBeUndefined();
    const suspended = laboratory();
    suspended.pool.suspend();
    expect(suspended.pool.finishWaiting()).toBeUndefined();
    expect(suspended.pool.state).toBe('suspended');
  });
});

describe('a dial that fails for good', () => {
  it('refuses those who wait, and newcomers until the next dial is due, with its error and its advice', async () => {
    const connector = Object.assign(new FakeConnector(), {
      explain: () => ({ permanent: true, advice: 'Look at the password.' }),
    });
    const { pool, clock } = laboratory({}, connector);
    connector.healthy = false;
    const waiting = pool.acquire();
    connector.pending[0]?.fail();
    const refused = { code: 'ERR_POOL_CONNECT_FAILED', message: expect.stringContaining('Look at the password.') };
    await expect(waiting).rejects.toMatchObject(refused);
    await expect(pool.acquire()).rejects.toMatchObject(refused);
    await clock.advance(20);
    const next = pool.acquire();
    connector.healthy = true;
    connector.pending[0]?.succeed();
    expect((await next).connection.open).toBe(true);
  });
});

describe('the end of a connection', () => {
  it('that is being closed politely is cut short when the pool has to be gone', async () => {
    const { pool, connector, clock } = laboratory({ size: 1, maxOverflow: 0 });
    (await pool.acquire()).release();
    connector.healthy = false;
    const closed = pool.close(500);
    expect(connector.pending.map(({ kind }) => kind)).toEqual(['close']);
    await clock.advance(500);
    expect(connector.sockets.size).toBe(0);
    expect(await closed).toMatchObject({ destroyed: [] });
  });

  it('comes with the reason `reset` when the connector throws at a returned one', async () => {
    const connector = new FakeConnector();
    const { pool } = laboratory({}, connector);
    connector.reset = () => {
      throw new Error('reset throws');
    };
    (await pool.acquire()).release();
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 0, closed: { reset: 1 } });
  });

  it('comes once when it dies as it is asked for a sign of life', async () => {
    const connector = new FakeConnector();
    const { pool } = laboratory({ pingAfterIdleMs: 0 }, connector);
    (await pool.acquire()).release();
    connector.ping = (connection) => {
      connection.open = false;
      connector.sockets.delete(connection);
      connection.lost(new Error('died'));
      return Promise.reject(new Error('died'));
    };
    const next = await pool.acquire();
    expect(next.connection.open).toBe(true);
    expect(pool.statistics()).toMatchObject({ opened: 2, size: 1, closed: { broken: 1, invalid: 0 } });
  });

  it('in the hands of its borrower counts it no more among those alive, nor as proof of life', async () => {
    const { pool, clock } = laboratory();
    const lease = await pool.acquire();
    await clock.advance(10);
    lease.verified(clock.now());
    expect(pool.report.lastVerifiedAt).toBe(10);
    expect([pool.open, pool.alive]).toEqual([1, 1]);
    lease.connection.open = false;
    lease.connection.lost();
    expect([pool.open, pool.alive]).toEqual([1, 0]);
    expect(pool.report.lastVerifiedAt).toBeUndefined();
    lease.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 0, closed: { broken: 1 } });
  });
});

describe('hooks before a lease', () => {
  it('that throw at once destroy the connection and tell the borrower', async () => {
    const connector = new FakeConnector();
    connector.prepare = () => {
      throw new Error('hook throws');
    };
    const { pool } = laboratory({}, connector);
    await expect(pool.acquire()).rejects.toThrow('hook throws');
    await settle();
    expect(pool.statistics()).toMatchObject({ size: 0, closed: { invalid: 1 } });
  });

  it('that are done at once lease at once, and never run for the pool’s own questions', async () => {
    const connector = new FakeConnector();
    let runs = 0;
    connector.prepare = () => {
      runs++;
    };
    const { pool } = laboratory({}, connector);
    const lease = await pool.acquire();
    expect([runs, lease.use]).toEqual([1, 'held']);
    lease.release();
    const own = pool.tryAcquire('own');
    expect([runs, own?.use]).toEqual([1, 'own']);
    own?.release();
  });

  it('that run when the pool has to be gone end with it, and tell the borrower that it is closed', async () => {
    const connector = new FakeConnector({ prepare: true });
    const { pool, clock } = laboratory({}, connector);
    connector.healthy = false;
    const waiting = pool.acquire();
    connector.pending[0]?.succeed();
    await settle();
    expect(connector.pending.map(({ kind }) => kind)).toEqual(['prepare']);
    const refused = expect(waiting).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
    const closed = pool.close(100);
    await clock.advance(100);
    await refused;
    await closed;
    expect(connector.sockets.size).toBe(0);
  });
});

describe('observers', () => {
  it('hear of each lease, of those that waited as well, unless they say that it is nothing to them', async () => {
    const heard: number[] = [];
    const observer = {
      hearsAcquire: (waitMs: number) => waitMs >= 50,
      acquired: (_connection: FakeConnection, waitMs: number) => void heard.push(waitMs),
    };
    const { pool, clock } = laboratory({ size: 1, maxOverflow: 0 }, new FakeConnector(), { observer });
    const first = await pool.acquire();
    const waiting = pool.acquire();
    await clock.advance(60);
    first.release();
    (await waiting).release();
    pool.tryAcquire()?.release();
    expect(heard).toEqual([60]);
  });

  it('see the distributions behind the percentiles', async () => {
    const { pool } = laboratory();
    (await pool.acquire()).release();
    const { wait, use, connect } = pool.report.histograms();
    expect([wait.count, use.count, connect.count]).toEqual([1, 1, 1]);
  });
});
