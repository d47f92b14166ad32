import { PoolCounters, snapshotOf, type PoolStatistics } from '../core/statistics.js';
import { ManualClock } from '../testing/manual-clock.js';
import { LoadMeter, LoadWatch } from './load.js';

/** A pool that exists as counters only. */
class CountedPool {
  readonly counters = new PoolCounters();
  readonly name: string;
  inUse = 0;
  waiting = 0;

  constructor(name = 'default') {
    this.name = name;
  }

  /** Serves that many acquires, each held for `useMs` after waiting for `waitMs`. */
  serve(acquires: number, useMs: number, waitMs = 0): void {
    for (let acquire = 0; acquire < acquires; acquire++) {
      this.counters.acquired++;
      this.counters.released++;
      if (waitMs > 0) this.counters.emptyAcquires++;
      this.counters.wait.record(waitMs);
      this.counters.use.record(useMs);
    }
  }

  statistics(): PoolStatistics {
    return snapshotOf(
      {
        name: this.name,
        state: 'running',
        open: 10,
        idle: 10 - this.inUse,
        connecting: 0,
        closing: 0,
        waiting: this.waiting,
        aside: 0,
        slow: 0,
        size: 10,
        max: 10,
        lastConnectError: undefined,
        lastLeak: undefined,
      },
      this.counters,
    );
  }
}

describe('LoadMeter', () => {
  it('knows nothing before its second look', () => {
    const meter = new LoadMeter(3);
    expect(meter.load()).toBeUndefined();
    meter.look(new CountedPool().statistics(), 0);
    expect(meter.load()).toBeUndefined();
  });

  it('measures arrivals, use and waits between looks, not since the pool was made', () => {
    const pool = new CountedPool();
    pool.serve(1000, 500, 500);
    const meter = new LoadMeter(13);
    meter.look(pool.statistics(), 10_000);
    pool.serve(400, 20);
    pool.inUse = 7;
    meter.look(pool.statistics(), 15_000);
    pool.serve(100, 20, 40);
    pool.inUse = 2;
    meter.look(pool.statistics(), 20_000);
    expect(meter.load()).toMatchObject({
      windowMs: 10_000,
      arrivals: 500,
      acquiresPerSecond: 50,
      meanUseMs: 20,
      meanWaitMs: 8,
      waited: 0.2,
      refused: 0,
      peakInUse: 7,
      leastOpen: 10,
      alwaysWaiting: false,
    });
  });

  it('counts acquires that got nothing and those that still wait as arrivals: a starving pool asks for more, not less', () => {
    const pool = new CountedPool();
    const meter = new LoadMeter(13);
    pool.waiting = 1;
    meter.look(pool.statistics(), 0);
    pool.serve(100, 900);
    pool.counters.acquireTimeouts += 60;
    pool.counters.queueRejected += 30;
    pool.waiting = 11;
    meter.look(pool.statistics(), 10_000);
    const load = meter.load();
    expect(load).toMatchObject({ arrivals: 200, acquiresPerSecond: 20, refused: 90, alwaysWaiting: true });
    expect(load?.recommended.meanInUse).toBeCloseTo(18, 6);
    expect(load?.recommended.size).toBeGreaterThan(18);
  });

  it('forgets what is older than its window', () => {
    const pool = new CountedPool();
    const meter = new LoadMeter(2);
    meter.look(pool.statistics(), 0);
    pool.serve(1000, 10);
    meter.look(pool.statistics(), 1000);
    expect(meter.full).toBe(true);
    meter.look(pool.statistics(), 2000);
    expect(meter.load()).toMatchObject({ windowMs: 1000, arrivals: 0, recommended: { size: 1 } });
  });
});

describe('LoadWatch', () => {
  it('looks every five seconds at whatever pools there are then, until it is stopped', async () => {
    const clock = new ManualClock();
    const pools = [new CountedPool('one')];
    const watch = new LoadWatch(() => pools, clock);
    watch.start();
    watch.start();
    expect(watch.recommendedSize('one')).toBeUndefined();
    pools.push(new CountedPool('two'));
    pools[0]?.serve(5000, 10);
    await clock.advance(5_000);
    expect(watch.load('one')).toMatchObject({ acquiresPerSecond: 1000, meanUseMs: 10 });
    expect(watch.recommendedSize('one')).toBe(watch.load('one')?.recommended.size);
    expect(watch.load('two')).toBeUndefined();
    await clock.advance(5_000);
    expect(watch.load('two')).toMatchObject({ arrivals: 0 });
    watch.stop();
    await clock.advance(60_000);
    expect(watch.load('one')?.windowMs).toBe(10_000);
    expect(watch.load('three')).toBeUndefined();
  });

  it('covers the last minute, and says when it has seen that long', async () => {
    const clock = new ManualClock();
    const pool = new CountedPool();
    const watch = new LoadWatch(() => [pool], clock);
    watch.start();
    await clock.advance(55_000);
    expect(watch.settled('default')).toBe(false);
    await clock.advance(300_000);
    expect(watch.settled('default')).toBe(true);
    expect(watch.load('default')?.windowMs).toBe(60_000);
    watch.stop();
  });
});
