/** Behaviours of SQLAlchemy's QueuePool that no other test shows; docs/parity.md lists all of them. */
import { PostgresServer } from 'nestjs-pooling/testing';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { openIdle, ProxiedPools } from '#test/support/proxied-pools.js';
import { noneLost, slotsOf } from '#test/support/slots.js';
import { refusedAfterDial } from '#test/support/turned-time.js';

let server: PostgresServer;
let pools: ProxiedPools;

beforeAll(async () => {
  server = await PostgresServer.start({ authentication: 'trust' });
  pools = await ProxiedPools.behind(server.url);
});
afterEach(() => pools.reset());
afterAll(async () => {
  await pools[Symbol.asyncDispose]();
  await server.close();
});

describe('time-outs', () => {
  it('that meet returning connections settle each waiter once and lose no slot', async () => {
    const clock = new ManualClock();
    const pool = pools.create({ acquireTimeoutMs: 1_000 }, { clock });
    const held = await Promise.all([pool.connect(), pool.connect()]);
    const outcomes: string[] = [];
    const waiters = Array.from({ length: 20 }, () =>
      pool.connect().then(
        (client) => {
          outcomes.push('served');
          client.release();
        },
        (error: { code: string }) => outcomes.push(error.code),
      ),
    );
    pool.once('acquire', () => outcomes.push('first'));
    const turned = clock.advance(1_025);
    for (const client of held) client.release();
    await turned;
    await Promise.all(waiters);
    expect(outcomes).toHaveLength(21);
    expect(outcomes[0]).toBe('first');
    const { acquireTimeouts, waiting } = pool.statistics();
    expect(acquireTimeouts).toBe(outcomes.filter((outcome) => outcome === 'ERR_POOL_ACQUIRE_TIMEOUT').length);
    expect(waiting).toBe(0);
    expect(await slotsOf(pool)).toEqual(noneLost(2));
  });
});

describe('overflow', () => {
  it('gets its place back from a dial that failed', async () => {
    const clock = new ManualClock();
    const pool = pools.create({ size: 1, maxOverflow: 2, acquireTimeoutMs: 200 }, { clock });
    const first = await pool.connect();
    await pools.proxy.refuse();
    const refused = Promise.allSettled([pool.connect(), pool.connect()]);
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ connecting: 0, connectErrors: 2 }));
    await clock.advance(210);
    for (const outcome of await refused) expect(outcome).toMatchObject({ reason: { cause: { code: 'ECONNREFUSED' } } });
    await pools.proxy.forward();
    first.release();
    // The pause after the last dial.
    await clock.advance(10_000);
    expect(await slotsOf(pool)).toEqual(noneLost(3));
  });
});

describe('waiters', () => {
  it('are all served when connections come back, in order of arrival', async () => {
    const pool = pools.create();
    const held = await Promise.all([pool.connect(), pool.connect()]);
    const served: number[] = [];
    const waiters = Array.from({ length: 30 }, async (_, order) => {
      const client = await pool.connect();
      served.push(order);
      await client.query('select 1');
      client.release();
    });
    for (const client of held) client.release();
    await Promise.all(waiters);
    expect(served).toEqual(Array.from({ length: 30 }, (_, order) => order));
    expect(pool.statistics().opened).toBe(2);
  });
});

describe('recycling', () => {
  it('costs no slot when the successor can’t be opened', async () => {
    const clock = new ManualClock();
    const pool = pools.create({ maxLifetimeMs: 1_000, lifetimeJitter: 0, acquireTimeoutMs: 500 }, { clock });
    await openIdle(pool, 2);
    await pools.proxy.refuse();
    await clock.advance(1_000);
    const refused = pool.query('select 1').catch((error: unknown) => error);
    await vi.waitFor(() => expect(pool.statistics().connectErrors).toBe(1));
    await clock.advance(525);
    expect(await refused).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT', cause: { code: 'ECONNREFUSED' } });
    expect(pool.statistics().closed.lifetime).toBe(2);
    await pools.proxy.forward();
    // The clock of the back-off stands still: a probe dials in spite of it.
    await vi.waitFor(() => pool.ping());
    expect(await slotsOf(pool)).toEqual(noneLost(2));
  });
});

describe('invalidation', () => {
  it('by one storm is one: connections opened since are left alone', async () => {
    const pool = pools.create({ size: 6, prePing: { idleMs: 60_000 } });
    const held = await Promise.all(Array.from({ length: 4 }, () => pool.connect()));
    pools.proxy.cut('rst');
    await vi.waitFor(() => expect(pools.proxy.connections).toBe(0));
    const [young, other] = await Promise.all([pool.connect(), pool.connect()]);
    await Promise.all([young.query('select 1'), other.query('select 1')]);
    young.release();
    other.release();
    // The storm's other victims come back one after the other: that is no news about the young ones.
    for (const client of held) client.release();
    await vi.waitFor(() => expect(pool.statistics()).toMatchObject({ idle: 2, closing: 0 }));
    expect(await slotsOf(pool)).toEqual(noneLost(6));
    expect(pool.statistics()).toMatchObject({ opened: 10, closed: { broken: 4, invalid: 0 } });
  });
});

describe('a connection that died unseen', () => {
  it('with the check before the lease: no statement meets it', async () => {
    const pool = pools.create({ prePing: { idleMs: 0, timeoutMs: 100 } });
    await openIdle(pool, 2);
    pools.proxy.blackhole();
    await server.restart('fast');
    const answers = Promise.all([pool.query('select 1 as one'), pool.query('select 1 as one')]);
    await pools.proxy.forward();
    for (const { rows } of await answers) expect(rows).toEqual([{ one: 1 }]);
    expect(pool.statistics().closed).toMatchObject({ invalid: 2, 'query-timeout': 0 });
  });

  it('without it: the statement is the first to notice, and the next one works', async () => {
    const clock = new ManualClock();
    const pool = pools.create({ size: 1, prePing: false, queryTimeoutMs: 200 }, { clock });
    await openIdle(pool, 1);
    pools.proxy.blackhole();
    await server.restart('fast');
    await pools.proxy.forward();
    const late = expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_QUERY_TIMEOUT' });
    await clock.advance(210);
    await late;
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.statistics().closed).toMatchObject({ 'query-timeout': 1 });
  });
});

it('a database that stays down fails each acquire with the real cause, and loses no slot', async () => {
  const clock = new ManualClock();
  const pool = pools.create({ acquireTimeoutMs: 150 }, { clock });
  await openIdle(pool, 2);
  await server.stop('fast');
  for (let attempt = 0; attempt < 5; attempt++) {
    expect(await refusedAfterDial(pool, clock)).toMatchObject({
      code: 'ERR_POOL_ACQUIRE_TIMEOUT',
      cause: { code: expect.stringMatching(/^(ECONNRESET|ECONNREFUSED|57P03)$/) as string },
    });
  }
  expect(pool.statistics()).toMatchObject({ size: 0, waiting: 0, inUse: 0 });
  await server.start();
  // The pause after the last dial.
  await clock.advance(10_000);
  expect(await slotsOf(pool)).toEqual(noneLost(2));
});
