import type { Connector } from '#pooling/core/connector.js';
import type { Lease } from '#pooling/core/lease.js';
import { Pool } from '#pooling/core/pool.js';
import type { EngineAcquireOptions, PoolOptions } from '#pooling/core/pool-options.js';
import { settle } from '#pooling/testing/manual-clock.js';
import { FakeConnector, type FakeConnection } from './fake-connector.js';
import { useLaboratories, type Laboratory } from './laboratory.js';

/** What became of one acquire. */
interface Outcome {
  readonly name: string;
  lease?: Lease<FakeConnection>;
  error?: { readonly code?: string; readonly message: string };
}

const makeLaboratory = useLaboratories(({ pool, clock }) => {
  expect(pool.statistics()).toMatchObject({ waiting: 0, aside: 0, slow: 0 });
  expect(clock.pendingTimers).toBe(0);
});

function laboratory(overrides: Partial<PoolOptions> = {}, connector = new FakeConnector()): Laboratory {
  const usual = { size: 10, maxOverflow: 0, maxConnecting: 10, acquireTimeoutMs: 60_000 };
  return makeLaboratory({ ...usual, ...overrides }, {}, connector);
}

/** A pool whose connections are open and idle. */
async function opened(overrides: Partial<PoolOptions> = {}, connector = new FakeConnector()): Promise<Laboratory> {
  const made = laboratory(overrides, connector);
  connector.healthy = true;
  const leases: Lease<FakeConnection>[] = [];
  while (leases.length < made.pool.max) leases.push(await made.pool.acquire());
  for (const lease of leases) lease.release();
  return made;
}

function acquire(pool: Pool<FakeConnection>, options: EngineAcquireOptions = {}, name = ''): Outcome {
  const outcome: Outcome = { name };
  pool.acquire(options).then(
    (lease) => (outcome.lease = lease),
    (error: Error) => (outcome.error = error),
  );
  return outcome;
}

async function slow(pool: Pool<FakeConnection>, count: number, options: EngineAcquireOptions = {}): Promise<Outcome[]> {
  const outcomes = Array.from({ length: count }, (_, index) =>
    acquire(pool, { use: 'slow', ...options }, `slow ${index}`),
  );
  await settle();
  return outcomes;
}

function served(outcomes: readonly Outcome[]): string[] {
  return outcomes.filter(({ lease }) => lease !== undefined).map(({ name }) => name);
}

describe('slow acquires', () => {
  it('leave a tenth of the connections to others, and stand aside', async () => {
    const { pool } = await opened();
    const outcomes = await slow(pool, 12);
    expect(served(outcomes)).toHaveLength(9);
    expect(pool.statistics()).toMatchObject({ inUse: 9, idle: 1, waiting: 3, aside: 3, slow: 9 });
    expect(pool.tryAcquire('slow')).toBeUndefined();
    const quick = pool.tryAcquire();
    expect(quick?.connection.open).toBe(true);
    quick?.release();
    expect(pool.statistics()).toMatchObject({ inUse: 9, idle: 1, aside: 3 });
  });

  it.each([
    [1, 1],
    [4, 4],
    [5, 4],
    [14, 13],
    [15, 13],
    [24, 22],
    [25, 22],
  ])('of a pool of %i get %i at once', async (size, most) => {
    const { pool } = await opened({ size, maxConnecting: size });
    await slow(pool, size + 1);
    expect(pool.statistics()).toMatchObject({ inUse: most, slow: most === size ? size + 1 : most });
  });

  it.each([
    [0, 10],
    [3, 7],
    [9, 1],
    [10, 1],
    [99, 1],
  ])('leave what the option says: with %i, %i are served at once, never none', async (quickReserve, most) => {
    const { pool } = await opened({ quickReserve });
    await slow(pool, 12);
    expect(pool.statistics()).toMatchObject({ inUse: most });
  });

  it('get the connection of the one that ends, before those who came later', async () => {
    const { pool } = await opened();
    const running = await slow(pool, 9);
    const [early] = await slow(pool, 1);
    const last = pool.tryAcquire() as Lease<FakeConnection>;
    const quick = acquire(pool, {}, 'quick');
    const [late] = await slow(pool, 1);
    running[0]?.lease?.release();
    await settle();
    expect([early?.lease, quick.lease, late?.lease].map((lease) => lease !== undefined)).toEqual([true, false, false]);
    running[1]?.lease?.release();
    await settle();
    expect([quick.lease, late?.lease].map((lease) => lease !== undefined)).toEqual([true, false]);
    expect(pool.statistics()).toMatchObject({ waiting: 1, aside: 0, slow: 9 });
    last.release();
    await settle();
    expect(late?.lease).toBeDefined();
  });

  it('come into the queue by their arrival, wherever that is', async () => {
    const { pool } = await opened({ size: 3, quickReserve: 1 });
    const running = await slow(pool, 2);
    const held = pool.tryAcquire() as Lease<FakeConnection>;
    const kinds = 'qsqqqqqsqssqqqs'.split('');
    const order: string[] = [];
    const waiting = kinds.map(async (kind, index) => {
      const lease = await pool.acquire({ use: kind === 's' ? 'slow' : 'held' });
      order.push(`${kind}${index}`);
      await settle();
      lease.release();
    });
    await settle();
    for (const { lease } of running) lease?.release();
    held.release();
    await Promise.all(waiting);
    const places = (kind: string): number[] =>
      order.filter((each) => each.startsWith(kind)).map((each) => Number(each.slice(1)));
    for (const kind of ['q', 's']) expect(places(kind)).toEqual(places(kind).toSorted((one, other) => one - other));
    for (const [place, each] of order.entries()) {
      if (!each.startsWith('s')) continue;
      // Nobody who came before a slow one and didn't stand aside is served after it.
      const after = order.slice(place).filter((other) => other.startsWith('q') && +other.slice(1) < +each.slice(1));
      expect(after).toEqual([]);
    }
  });

  it('have no connection opened for them while they stand aside', async () => {
    const { pool, connector } = laboratory();
    acquire(pool);
    await slow(pool, 20);
    expect(connector.pending.map(({ kind }) => kind)).toEqual(Array.from({ length: 10 }, () => 'open'));
    expect(pool.statistics()).toMatchObject({ connecting: 10, waiting: 21, aside: 11, slow: 9 });
  });

  it('get an idle connection when the one that has ended is closed, or is being reset', async () => {
    const { pool, connector } = await opened();
    const running = await slow(pool, 11);
    connector.healthy = false;
    running[0]?.lease?.release('broken');
    await settle();
    expect(served(running)).toContain('slow 9');
    pool.tryAcquire()?.release();
    const dirty = running[1]?.lease as Lease<FakeConnection>;
    dirty.connection.dirty = true;
    const idle = acquire(pool);
    connector.pending.find(({ kind }) => kind === 'open')?.succeed();
    await settle();
    idle.lease?.release();
    dirty.release();
    await settle();
    expect(served(running)).toHaveLength(11);
    expect(connector.pending.map(({ kind }) => kind)).toEqual(['reset']);
  });

  it('may have all connections once nothing else has come for a second, until it comes again', async () => {
    const { pool, clock } = await opened();
    const outcomes = await slow(pool, 13);
    for (let ms = 0; ms < 900; ms += 100) {
      pool.tryAcquire('own')?.release();
      await clock.advance(100);
    }
    expect(served(outcomes)).toHaveLength(9);
    await clock.advance(400);
    expect(served(outcomes)).toHaveLength(10);
    // No more of them stand in the queue than there are connections.
    expect(pool.statistics()).toMatchObject({ inUse: 10, waiting: 3, aside: 3, slow: 10 });
    const quick = acquire(pool);
    outcomes[0]?.lease?.release();
    await settle();
    expect(quick.lease).toBeDefined();
    quick.lease?.release();
    outcomes[1]?.lease?.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ inUse: 9, idle: 1, aside: 2, slow: 9 });
  });

  it('are kept within their part by others that have to wait, and by those that share', async () => {
    const { pool, clock } = await opened({ sharedLimit: 2 });
    await clock.advance(2_000);
    const shared = pool.tryAcquire('shared');
    await slow(pool, 12);
    expect(pool.statistics()).toMatchObject({ slow: 9, aside: 3 });
    expect(pool.tryAcquire('shared')?.connection).toBe(shared?.connection);
    await clock.advance(900);
    const waiting = acquire(pool);
    await clock.advance(900);
    expect(waiting.lease).toBeUndefined();
    expect(pool.statistics()).toMatchObject({ slow: 9, aside: 3 });
  });

  it('are never starved: those who stand aside are served while others come all the time', async () => {
    const { pool, clock } = await opened({ size: 5, acquireTimeoutMs: 60_000 });
    let quick = 0;
    let stopped = false;
    const load = Array.from({ length: 20 }, async () => {
      while (!stopped) {
        const lease = await pool.acquire();
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 1));
        lease.release();
        quick++;
      }
    });
    const done = Array.from({ length: 40 }, async () => {
      const lease = await pool.acquire({ use: 'slow' });
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 50));
      lease.release();
    });
    await clock.advance(1_000);
    await Promise.all(done);
    expect(quick).toBeGreaterThan(500);
    stopped = true;
    await clock.advance(10);
    await Promise.all(load);
  });

  it('that time out say why', async () => {
    const { pool, clock } = await opened();
    const outcomes = await slow(pool, 10, { timeoutMs: 500 });
    const quick = pool.tryAcquire();
    const behind = acquire(pool, { timeoutMs: 500 });
    await clock.advance(550);
    expect(outcomes[9]?.error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT', details: { waiting: 2, aside: 1 } });
    expect(outcomes[9]?.error?.message).toContain('(10 of 10 in use, 2 waiting). Longest held: ');
    expect(outcomes[9]?.error?.message).toContain(
      '9 of 10 connections run queries that usually take 10 ms or more, and 1 is kept for quick ones (quickReserve). (timeout',
    );
    expect(behind.error?.message).not.toContain('quickReserve');
    quick?.release();
    expect(pool.statistics()).toMatchObject({ waiting: 0, aside: 0, slow: 9, acquireTimeouts: 2 });
    const more = await slow(pool, 1, { timeoutMs: 2_000 });
    await slow(pool, 2, { timeoutMs: 5_000 });
    await clock.advance(2_050);
    expect(more[0]?.lease).toBeDefined();
    const [late] = await slow(pool, 1, { timeoutMs: 100 });
    await clock.advance(150);
    expect(late?.error?.message).toContain(
      '. 10 of 10 connections run queries that usually take 10 ms or more. (timeout',
    );
    pool.suspend();
    const [suspended] = await slow(pool, 1, { timeoutMs: 100 });
    await clock.advance(150);
    expect(suspended?.error).toMatchObject({ code: 'ERR_POOL_SUSPENDED' });
  });

  it('that give up leave nothing behind, and let the next one in where they stood in the queue', async () => {
    const { pool, clock } = await opened({ size: 5 });
    const holders = await Promise.all(Array.from({ length: 5 }, () => pool.acquire()));
    const abort = new AbortController();
    const [first] = await slow(pool, 1, { signal: abort.signal });
    const [second] = await slow(pool, 1, { timeoutMs: 100 });
    await slow(pool, 2);
    const asideAbort = new AbortController();
    const [aborted] = await slow(pool, 1, { signal: asideAbort.signal });
    const [late] = await slow(pool, 1, { timeoutMs: 50 });
    const [fifth, sixth] = await slow(pool, 2);
    expect(pool.statistics()).toMatchObject({ waiting: 8, aside: 4, slow: 4 });
    asideAbort.abort(new Error('enough'));
    await clock.advance(80);
    expect([aborted?.error?.message, late?.error?.code]).toEqual(['enough', 'ERR_POOL_ACQUIRE_TIMEOUT']);
    expect(pool.statistics()).toMatchObject({ waiting: 6, aside: 2, slow: 4 });
    abort.abort(new Error('enough'));
    await clock.advance(50);
    expect([first?.error?.message, second?.error?.code]).toEqual(['enough', 'ERR_POOL_ACQUIRE_TIMEOUT']);
    expect(pool.statistics()).toMatchObject({ waiting: 4, aside: 0, slow: 4 });
    for (const holder of holders.slice(0, 4)) holder.release();
    await settle();
    expect(served([fifth as Outcome, sixth as Outcome])).toHaveLength(2);
  });

  it('count with all others that wait for maxWaiting', async () => {
    const { pool } = await opened({ size: 5, maxWaiting: 2 });
    const outcomes = await slow(pool, 7);
    expect(outcomes[6]?.error).toMatchObject({ code: 'ERR_POOL_QUEUE_FULL', details: { waiting: 2, maxWaiting: 2 } });
    expect(outcomes[6]?.error?.message).toContain('2 acquires wait already');
    expect(pool.statistics()).toMatchObject({ waiting: 2, aside: 2, queueRejected: 1 });
  });

  it('keep to the connections there may be, whoever changes their number', async () => {
    const { pool } = await opened();
    const outcomes = await slow(pool, 30);
    pool.resize(20, 0);
    await settle();
    expect(pool.statistics()).toMatchObject({ slow: 18, aside: 12, inUse: 18 });
    pool.outside.set(10);
    for (const { lease } of outcomes.slice(0, 9)) lease?.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ slow: 9, aside: 12, inUse: 9 });
    pool.outside.set(15);
    await settle();
    expect(pool.statistics()).toMatchObject({ slow: 13, aside: 8, inUse: 13 });
    expect(pool.outside.wanted).toBe(20);
    pool.resize(15, 0);
    expect(pool.outside.wanted).toBe(15);
    pool.outside.set(4);
    for (const { lease } of outcomes.filter((each) => each.lease?.released === false)) lease?.release();
    await settle();
    // So few connections are no reason to keep one.
    expect(pool.statistics()).toMatchObject({ inUse: 4, aside: 0 });
  });

  it('are ended by force without a trace', async () => {
    const { pool, connector } = await opened();
    const outcomes = await slow(pool, 11);
    const victim = outcomes[0]?.lease as Lease<FakeConnection>;
    expect(pool.terminate(victim.connectionId)).toBe(true);
    await settle();
    expect(served(outcomes)).toContain('slow 9');
    expect(pool.statistics()).toMatchObject({ slow: 9, aside: 1 });
    const dead = outcomes[1]?.lease as Lease<FakeConnection>;
    connector.sockets.delete(dead.connection);
    dead.connection.open = false;
    dead.connection.lost(new Error('terminated'));
    expect(pool.statistics()).toMatchObject({ slow: 9, aside: 1 });
    dead.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ slow: 9, aside: 0 });
  });

  it('are refused with all others when the pool closes', async () => {
    const { pool, clock } = await opened();
    const outcomes = await slow(pool, 12);
    const closing = pool.close(1_000);
    await settle();
    expect(outcomes.slice(9).map(({ error }) => error?.code)).toEqual(Array(3).fill('ERR_POOL_CLOSED'));
    expect(pool.statistics()).toMatchObject({ waiting: 0, aside: 0, slow: 9 });
    await clock.advance(1_000);
    expect(await closing).toMatchObject({ refused: 3, graceful: false });
    expect(pool.statistics()).toMatchObject({ slow: 0 });
  });

  it('have the connection that was kept when nobody may come any more', async () => {
    const { pool } = await opened();
    const outcomes = await slow(pool, 12);
    pool.drain();
    await settle();
    expect(served(outcomes)).toHaveLength(9);
    const finished = pool.finishWaiting();
    await settle();
    expect(served(outcomes)).toHaveLength(10);
    expect(outcomes.slice(10).map(({ error }) => error?.code)).toEqual(Array(2).fill('ERR_POOL_CLOSED'));
    await finished;
  });

  it('are refused where no connection can be opened and waiting doesn’t help', async () => {
    const connector = Object.assign(new FakeConnector(), {
      explain: () => ({ permanent: true, advice: 'Nothing helps.' }),
    } satisfies Pick<Connector<FakeConnection>, 'explain'>);
    const { pool } = laboratory({ maxConnecting: 1 }, connector);
    acquire(pool);
    const outcomes = await slow(pool, 12);
    connector.pending[0]?.fail();
    await settle();
    expect(new Set(outcomes.map(({ error }) => error?.code))).toEqual(new Set(['ERR_POOL_CONNECT_FAILED']));
    expect(pool.statistics()).toMatchObject({ waiting: 0, aside: 0, slow: 0 });
  });

  it('count from the beginning of a hook to the end of the lease, whatever becomes of the hook', async () => {
    const { pool, connector } = await opened({ size: 5 }, new FakeConnector({ prepare: true }));
    connector.healthy = false;
    const abort = new AbortController();
    const [failed, aborted, , , next] = [
      ...(await slow(pool, 1)),
      ...(await slow(pool, 1, { signal: abort.signal })),
      ...(await slow(pool, 3)),
    ];
    expect(pool.statistics()).toMatchObject({ slow: 4, waiting: 1, aside: 1 });
    const hooks = (): FakeConnector['pending'] => connector.pending.filter(({ kind }) => kind === 'prepare');
    expect(hooks()).toHaveLength(4);
    hooks()[0]?.fail();
    await settle();
    expect(failed?.error?.message).toBe('prepare failed');
    expect(pool.statistics()).toMatchObject({ slow: 4, waiting: 0 });
    abort.abort(new Error('enough'));
    await settle();
    expect(aborted?.error?.message).toBe('enough');
    expect(pool.statistics()).toMatchObject({ slow: 3, waiting: 0 });
    connector.healthy = true;
    for (const hook of hooks()) hook.succeed();
    await settle();
    expect(next?.lease).toBeDefined();
    next?.lease?.release();
    await settle();
    expect(pool.statistics()).toMatchObject({ slow: 2 });
  });

  it('don’t hand their connection on past those that stand aside', async () => {
    const connector: FakeConnector = Object.assign(new FakeConnector(), { handOn: () => true });
    const { pool } = await opened({ size: 5 }, connector);
    const running = await slow(pool, 5);
    const quick = pool.tryAcquire() as Lease<FakeConnection>;
    const follower = acquire(pool, { follows: true });
    const lease = running[0]?.lease as Lease<FakeConnection>;
    expect(lease.handOn()).toBe(false);
    lease.release();
    await settle();
    expect([running[4]?.lease, follower.lease].map((each) => each !== undefined)).toEqual([true, false]);
    expect(quick.handOn()).toBe(true);
    await settle();
    expect(follower.lease).toBeDefined();
    expect(pool.statistics()).toMatchObject({ slow: 4, aside: 0, waiting: 0 });
  });
});
