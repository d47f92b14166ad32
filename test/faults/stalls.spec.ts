import { ManualClock } from '#pooling/testing/manual-clock.js';
import { openIdle, useProxiedDatabase } from '#test/support/proxied-pools.js';
import { noneLost, slotsOf } from '#test/support/slots.js';

const proxied = useProxiedDatabase();

/** Blocks the event loop, as a long computation does. */
function stall(forMs: number): void {
  const until = performance.now() + forMs;
  while (performance.now() < until);
}

describe('an event loop that stands still', () => {
  it('for longer than the time limit of queries: what was answered meanwhile is not timed out', async () => {
    // Not through the proxy, which stands still with this process.
    const { url } = proxied.database;
    const pool = proxied.pools.create({ url, queryTimeoutMs: 1_000, size: 5 });
    await openIdle(pool, 5);
    // Under way when the loop stops, answered long before it goes on.
    const queries = Array.from({ length: 5 }, () => pool.query('select pg_sleep(0.2)'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    // Behind the reading of sockets and before the timers: the worst moment to stop.
    await new Promise((resolve) => setImmediate(resolve));
    stall(2_500);
    const outcomes = await Promise.allSettled(queries);
    expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => 'fulfilled'));
    expect(await slotsOf(pool)).toEqual(noneLost(5));
    expect(pool.statistics()).toMatchObject({ opened: 5, closed: { 'query-timeout': 0 }, acquireTimeouts: 0 });
  });
});

describe('a machine that was suspended', () => {
  // Neither age, nor idleness, nor keep-alive is a reason to look at a connection: only the leap is.
  const options = {
    idleTimeoutMs: 600_000,
    maxLifetimeMs: 0,
    keepAliveMs: 0,
    prePing: { idleMs: 3_600_000, timeoutMs: 200 },
  };

  it('has its connections checked before they are leased, and loses none that lives', async () => {
    const clock = new ManualClock();
    const pool = proxied.pools.create({ size: 3, ...options }, { clock });
    await openIdle(pool, 3);
    await clock.leap(1_200_000);
    expect(pool.statistics()).toMatchObject({ idle: 3 });
    expect(await slotsOf(pool)).toEqual(noneLost(3));
    expect(pool.statistics()).toMatchObject({ opened: 3, size: 3 });
  });

  it('has those replaced, unseen, that the network forgot meanwhile', async () => {
    const clock = new ManualClock();
    const pool = proxied.pools.create({ size: 3, ...options }, { clock });
    await openIdle(pool, 3);
    proxied.pools.proxy.blackhole();
    await clock.leap(1_200_000);
    await proxied.pools.proxy.forward();
    const answers = Promise.all(Array.from({ length: 3 }, () => pool.query('select 1 as one')));
    // The checks' own time limit, on the clock that is turned by hand.
    await clock.advance(250);
    for (const { rows } of await answers) expect(rows).toEqual([{ one: 1 }]);
    const { opened, closed } = pool.statistics();
    expect(closed).toMatchObject({ invalid: 3, 'query-timeout': 0 });
    // As many as were needed: the first new one may have served them all.
    expect(opened).toBeGreaterThan(3);
  });
});
