import { Pool } from '#pooling/core/pool.js';
import type { OpenSpan, SpanSink } from '#pooling/core/span-sink.js';
import { ManualClock, settle } from '#pooling/testing/manual-clock.js';
import { uncaughtErrors } from '#test/support/uncaught-errors.js';
import { FakeConnector, type FakeConnection } from './fake-connector.js';
import { poolOptions } from './pool-options.js';

/** A pool of two connections, one of them kept for quick acquires, whose acquires get these spans. */
function poolWith(acquire: () => OpenSpan): { pool: Pool<FakeConnection>; clock: ManualClock } {
  const clock = new ManualClock();
  const connector = new FakeConnector();
  connector.healthy = true;
  const options = poolOptions({ size: 2, maxOverflow: 0, quickReserve: 1 });
  const spans = { active: true, yields: false, current: () => undefined, acquire } as unknown as SpanSink;
  return { pool: new Pool(options, connector, { clock, spans }), clock };
}

describe('a tracer of acquires that throws', () => {
  it('when the wait begins refuses the acquire, which is counted nowhere, and which nobody can abort any more', async () => {
    let throws = true;
    const { pool, clock } = poolWith(() => {
      if (throws) throw new Error('no span');
      return { event: () => {}, end: () => {}, within: (fn) => fn() };
    });
    const abort = new AbortController();
    for (const use of ['slow', 'slow', 'held'] as const) {
      await expect(pool.acquire({ use, signal: abort.signal })).rejects.toThrow('no span');
    }
    abort.abort();
    expect(pool.statistics()).toMatchObject({ waiting: 0, aside: 0, slow: 0, acquireAborted: 0 });
    throws = false;
    (await pool.acquire()).release();
    const lease = await pool.acquire({ use: 'slow' });
    expect(pool.statistics()).toMatchObject({ slow: 1 });
    lease.release();
    await pool.close(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it('when the wait ends is heard in a later turn, and each acquire gets its connection or its error', async () => {
    const uncaught = uncaughtErrors();
    const end = (): void => {
      throw new Error('no end');
    };
    const { pool, clock } = poolWith(() => ({ event: () => {}, end, within: (fn) => fn() }));
    const quick = await pool.acquire();
    const [first, second, late] = [
      pool.acquire({ use: 'slow' }),
      pool.acquire({ use: 'slow' }),
      pool.acquire({ use: 'slow', timeoutMs: 100 }),
    ];
    const timedOut = expect(late).rejects.toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
    const lease = await first;
    await clock.advance(200);
    await timedOut;
    lease.release();
    (await second).release();
    quick.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ waiting: 0, aside: 0, slow: 0, inUse: 0 });
    await new Promise((resolve) => setImmediate(resolve));
    expect(uncaught).toEqual(Array.from({ length: 4 }, () => new Error('no end')));
    await pool.close(0);
  });
});
