import fc from 'fast-check';
import { PoolingError } from '#pooling/core/errors.js';
import { Lease } from '#pooling/core/lease.js';
import { Pool } from '#pooling/core/pool.js';
import { ManualClock, settle } from '#pooling/testing/manual-clock.js';
import { FakeConnector, type FakeConnection, type PendingStep } from './fake-connector.js';
import { poolOptions } from './pool-options.js';

/** At least 1,000 a run of the suite; `POOL_RUNS=100000` digs deeper, `POOL_SEED=…` replays what a failure printed. */
const RUNS = Number(process.env.POOL_RUNS ?? 1_000);
const SEED = process.env.POOL_SEED === undefined ? undefined : Number(process.env.POOL_SEED);

const picks = fc.nat({ max: 1_000 });
const command = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('acquire' as const),
      timeoutMs: fc.constantFrom(50, 400, 1_000),
      use: fc.constantFrom('held' as const, 'shared' as const, 'slow' as const),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('release' as const), pick: picks }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release dirty' as const), pick: picks }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('release to destroy' as const), pick: picks }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('release again' as const), pick: picks }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort' as const), pick: picks }) },
  { weight: 9, arbitrary: fc.record({ do: fc.constant('succeed' as const), pick: picks }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('fail' as const), pick: picks }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('kill' as const), pick: picks }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(1, 20, 120, 600, 4_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leap' as const), ms: fc.constantFrom(3_000, 60_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('expire all' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('resize' as const),
      size: fc.integer({ min: 1, max: 4 }),
      overflow: fc.nat({ max: 2 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('limit' as const), ceiling: fc.constantFrom(1, 2, 3, Infinity) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('visit' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('suspend' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('resume' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('probe' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('terminate' as const), pick: picks }) },
);
type Command = typeof command extends fc.Arbitrary<infer C> ? C : never;

const scenario = fc.record({
  options: fc.record({
    size: fc.integer({ min: 1, max: 3 }),
    maxOverflow: fc.nat({ max: 2 }),
    minIdle: fc.nat({ max: 1 }),
    maxConnecting: fc.integer({ min: 1, max: 3 }),
    maxWaiting: fc.constantFrom(2, 100),
    idleTimeoutMs: fc.constantFrom(0, 2_000),
    maxLifetimeMs: fc.constantFrom(0, 5_000),
    lifetimeJitter: fc.constantFrom(0, 0.25),
    maxUses: fc.constantFrom(0, 3),
    pingAfterIdleMs: fc.constantFrom(Infinity, 0, 500),
    keepAliveMs: fc.constantFrom(0, 1_000),
    leakDetectionMs: fc.constantFrom(0, 300),
    sharedLimit: fc.constantFrom(1, 2, 4),
    quickReserve: fc.constantFrom(undefined, 0, 1, 2),
  }),
  prepare: fc.boolean(),
  commands: fc.array(command, { minLength: 5, maxLength: 60 }),
  end: fc.constantFrom('close' as const, 'drain, then close' as const, 'close with leases held' as const),
});

interface Borrower {
  readonly order: number;
  readonly abort: AbortController;
  readonly use: 'held' | 'shared' | 'slow';
  readonly since: number;
  readonly timeoutMs: number;
  settledAt: number | undefined;
  lease: Lease<FakeConnection> | undefined;
  error: unknown;
}

/** Drives one pool through one scenario and checks the invariants of `behaviour.md` after every step. */
class Simulation {
  readonly clock = new ManualClock();
  readonly connector: FakeConnector;
  readonly pool: Pool<FakeConnection>;
  readonly #borrowers: Borrower[] = [];
  readonly #held = new Set<Borrower>();
  readonly #over: Lease<FakeConnection>[] = [];
  /** Of slow ones, and of all others. */
  readonly #lastServed = { slow: -1, others: -1 };
  #acquiredBefore = 0;
  #bound: number;
  #slots = 0;
  /** Time has leaped and not been turned since: deadlines are overdue by what the leap was. */
  #leaping = false;

  constructor(readonly script: typeof scenario extends fc.Arbitrary<infer S> ? S : never) {
    this.connector = new FakeConnector({ prepare: script.prepare });
    const options = poolOptions({ ...script.options, minIdle: Math.min(script.options.minIdle, script.options.size) });
    this.pool = new Pool(options, this.connector, { clock: this.clock, random: () => 0.5 });
    this.#bound = this.pool.max;
    this.pool.start();
  }

  async run(): Promise<void> {
    for (const step of this.script.commands) {
      await this.#perform(step);
      await settle();
      this.#check();
    }
    await this.#proveNoSlotLost();
    await this.#finish();
  }

  /** Whatever happened: with a healthy connector, as many leases as the pool may give can be had again. */
  async #proveNoSlotLost(): Promise<void> {
    this.pool.resume();
    this.pool.resize(2, 1);
    this.pool.outside.set(Infinity);
    this.connector.healthy = true;
    for (let round = 0; round < 2; round++) {
      await this.#succeedAll();
      for (const borrower of [...this.#held]) {
        borrower.lease?.release();
        this.#let(borrower);
      }
      await this.clock.advance(2_000);
    }
    this.#leaping = false;
    for (let count = 0; count < 3; count++) {
      this.#acquire(6_000);
      await this.clock.advance(1);
    }
    await this.clock.advance(5_200);
    this.#check();
    expect(this.#held.size).toBe(3);
    expect(this.#waiting()).toEqual([]);
    this.connector.healthy = false;
  }

  async #succeedAll(): Promise<void> {
    for (let step = 0; step < 100 && this.connector.pending.length > 0; step++) {
      (this.connector.pending[0] as PendingStep).succeed();
      await settle();
    }
  }

  async #perform(step: Command): Promise<void> {
    switch (step.do) {
      case 'acquire':
        return this.#acquire(step.timeoutMs, step.use);
      case 'release':
        return this.#release(step.pick, () => {});
      case 'release dirty':
        return this.#release(step.pick, (connection) => {
          connection.dirty = true;
        });
      case 'release to destroy':
        return this.#release(step.pick, () => {}, 'broken');
      case 'release again': {
        const lease = pickFrom(this.#over, step.pick);
        if (lease === undefined) return;
        expect(() => lease.release()).toThrow(expect.objectContaining({ code: 'ERR_POOL_LEASE_RELEASED' }));
        expect(() => lease.connection).toThrow(expect.objectContaining({ code: 'ERR_POOL_LEASE_RELEASED' }));
        return;
      }
      case 'abort': {
        const borrower = pickFrom(this.#waiting(), step.pick);
        borrower?.abort.abort(new Error(`abort ${borrower.order}`));
        return;
      }
      case 'succeed':
        return pickFrom(this.connector.pending, step.pick)?.succeed();
      case 'fail':
        return pickFrom(this.connector.pending, step.pick)?.fail();
      case 'kill': {
        const connection = pickFrom([...this.connector.sockets], step.pick);
        if (connection === undefined || !connection.open) return;
        connection.open = false;
        this.connector.sockets.delete(connection);
        connection.lost(new Error('terminated'));
        return;
      }
      case 'advance':
        this.#leaping = false;
        return this.clock.advance(step.ms);
      case 'leap':
        this.#leaping = true;
        return this.clock.leap(step.ms);
      case 'expire all':
        return this.pool.expireAll();
      case 'resize':
        return this.pool.resize(step.size, step.overflow);
      case 'limit': {
        const before = this.pool.max;
        this.pool.outside.set(step.ceiling);
        expect(this.pool.max).toBeLessThanOrEqual(step.ceiling);
        if (this.pool.max < before) expect(this.pool.idle === 0 || this.pool.open <= this.pool.max).toBe(true);
        return;
      }
      case 'visit':
        return this.pool.outside.visit((connection) => this.#visit(connection));
      case 'suspend':
        this.pool.suspend();
        this.#acquiredBefore = this.pool.statistics().acquired;
        return;
      case 'resume':
        return this.pool.resume();
      case 'probe':
        return this.pool.probe();
      case 'terminate': {
        const borrower = pickFrom([...this.#held], step.pick);
        if (borrower?.lease === undefined) return;
        const holder = this.pool.holders().find((each) => each.connection === borrower.lease?.connectionId);
        const all = this.#holdersOf(borrower.lease.connection);
        expect(this.pool.terminate(holder?.connection ?? -1)).toBe(true);
        for (const each of all) this.#let(each);
        return;
      }
    }
  }

  /** Nobody else has a connection that is visited, and its round trip ends as a ping's does. */
  #visit(connection: FakeConnection): Promise<void> {
    const holders = [...this.#held].filter(({ lease }) => lease?.released === false && lease.connection === connection);
    expect(holders).toEqual([]);
    return this.connector.ping(connection);
  }

  #acquire(timeoutMs: number, use: Borrower['use'] = 'held'): void {
    const borrower: Borrower = {
      order: this.#borrowers.length,
      abort: new AbortController(),
      use,
      since: this.clock.now(),
      timeoutMs,
      settledAt: undefined,
      lease: undefined,
      error: undefined,
    };
    this.#borrowers.push(borrower);
    this.pool.acquire({ timeoutMs, signal: borrower.abort.signal, use }).then(
      (lease) => {
        borrower.settledAt = this.clock.now();
        if (lease.released) return; // terminated or closed before its borrower came to know
        borrower.lease = lease;
        const { connection } = lease;
        // A connection has at most one borrower, or a few who all agreed to it, and never a former one's leftovers.
        const others = this.#holdersOf(connection);
        if (others.length > 0) expect([borrower, ...others].every((each) => each.use === 'shared')).toBe(true);
        expect(others.length).toBeLessThan(this.script.options.sharedLimit);
        expect(connection.dirty).toBe(false);
        this.#checkOrder(borrower);
        this.#held.add(borrower);
      },
      (error: unknown) => {
        borrower.settledAt = this.clock.now();
        borrower.error = error;
      },
    );
  }

  /** In order of arrival, unless a hook's round trip came between; others may be served before slow ones, which stand aside. */
  #checkOrder({ order, use }: Borrower): void {
    const kind = use === 'slow' ? 'slow' : 'others';
    if (!this.script.prepare) {
      expect(order).toBeGreaterThan(this.#lastServed[kind]);
      if (kind === 'slow') {
        const passed = this.#waiting().filter((other) => other.use !== 'slow' && other.order < order);
        expect(passed).toEqual([]);
      }
    }
    this.#lastServed[kind] = Math.max(this.#lastServed[kind], order);
  }

  #release(pick: number, before: (connection: FakeConnection) => void, reason?: 'broken'): void {
    const borrower = pickFrom([...this.#held], pick);
    if (borrower?.lease === undefined) return;
    // Those who share a connection leave nothing behind.
    if (borrower.use !== 'shared') before(borrower.lease.connection);
    borrower.lease.release(reason);
    this.#let(borrower);
  }

  #let(borrower: Borrower): void {
    this.#held.delete(borrower);
    this.#over.push(borrower.lease as Lease<FakeConnection>);
  }

  #holdersOf(connection: FakeConnection): Borrower[] {
    return [...this.#held].filter(({ lease }) => lease?.connection === connection);
  }

  /** Connections that are held, by one borrower or by several. */
  #heldConnections(): number {
    return new Set([...this.#held].map(({ lease }) => lease?.connection)).size;
  }

  #waiting(): Borrower[] {
    return this.#borrowers.filter((borrower) => borrower.settledAt === undefined);
  }

  #check(): void {
    const statistics = this.pool.statistics();
    const { size, idle, inUse, connecting, closing, waiting, acquired, released, opened, closed } = statistics;
    // Nothing is leased while suspended (but what a hook prepared before), and no dead connection is counted as idle.
    if (statistics.state === 'suspended' && !this.script.prepare) expect(acquired).toBe(this.#acquiredBefore);
    this.#acquiredBefore = acquired;
    expect([...this.connector.sockets].filter((socket) => socket.open).length).toBeGreaterThanOrEqual(idle);
    const slots = size + connecting + closing;
    // Never more than the bound; a shrunken pool may only shrink until it is within the new one.
    this.#bound = this.pool.max;
    if (slots > this.#bound) expect(slots).toBeLessThanOrEqual(this.#slots);
    this.#slots = slots;
    expect(connecting).toBeLessThanOrEqual(this.script.options.maxConnecting);
    expect(this.connector.sockets.size).toBeLessThanOrEqual(size + closing);
    // The counters agree with the levels and with the borrowers.
    expect(idle + inUse).toBe(size);
    expect(Math.min(idle, inUse, connecting, closing, waiting)).toBeGreaterThanOrEqual(0);
    expect(acquired - released).toBe(this.#held.size);
    expect(opened).toBe(size + Object.values(closed).reduce((sum, count) => sum + count, 0));
    expect(this.pool.holders()).toHaveLength(this.#heldConnections());
    expect(inUse).toBeGreaterThanOrEqual(this.#heldConnections());
    // Every acquire settles by its deadline; a stalled clock gives it one more turn.
    const now = this.clock.now();
    for (const borrower of this.#borrowers) {
      if (borrower.settledAt === undefined) {
        if (!this.#leaping) expect(now - borrower.since).toBeLessThan(borrower.timeoutMs + 25);
      } else if (borrower.error !== undefined && !borrower.abort.signal.aborted) {
        expect((borrower.error as PoolingError).code ?? (borrower.error as Error).message).toMatch(
          /^ERR_POOL_(ACQUIRE_TIMEOUT|QUEUE_FULL|SUSPENDED|CLOSED)$|^prepare failed$|^onAcquire took longer/,
        );
      }
    }
    expect(waiting).toBeLessThanOrEqual(this.#waiting().length);
    this.#checkSlow();
    // An idle connection and a waiter don't stand side by side, unless a check of it is what they wait for, or it is kept.
    if (statistics.state === 'running' && idle > 0 && waiting > statistics.aside) {
      expect(this.connector.pending.some((step) => step.kind === 'ping' || step.kind === 'reset')).toBe(true);
    }
  }

  /** Slow ones are counted once each, and none stands aside while fewer than their part are served or in the queue. */
  #checkSlow(): void {
    const { slow, aside, max } = this.pool.statistics();
    const isSlow = ({ use }: Borrower): boolean => use === 'slow';
    expect(slow + aside).toBe([...this.#held, ...this.#waiting()].filter(isSlow).length);
    const kept = this.script.options.quickReserve ?? Math.round(max / 10);
    if (aside > 0) expect(slow).toBeGreaterThanOrEqual(Math.max(1, max - kept));
    if (kept === 0) expect(aside).toBe(0);
  }

  async #finish(): Promise<void> {
    if (this.script.end === 'drain, then close') this.pool.drain();
    if (this.script.end !== 'close with leases held') {
      this.#release(0, () => {});
      await settle();
    }
    const held = this.#heldConnections();
    const closed = this.pool.close(1_000);
    expect(this.pool.close(1)).toBe(closed);
    await settle();
    // Dials are given up at once.
    expect(this.connector.pending.filter((step) => step.kind === 'open')).toEqual([]);
    await this.#succeedAll();
    if (held > 0) await this.clock.advance(1_000);
    const report = await closed;
    expect(report.graceful).toBe(held === 0);
    expect(report.destroyed).toHaveLength(held);
    this.#held.clear();
    await expect(this.pool.acquire()).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
    // Nothing is left: no waiter, no slot, no socket, no timer.
    expect(this.#waiting()).toEqual([]);
    const { state, size, connecting, closing, waiting, aside, slow, acquired, released } = this.pool.statistics();
    expect({ state, size, connecting, closing, waiting, aside, slow }).toEqual({
      state: 'closed',
      size: 0,
      connecting: 0,
      closing: 0,
      waiting: 0,
      aside: 0,
      slow: 0,
    });
    expect(acquired).toBe(released);
    expect(this.connector.sockets.size).toBe(0);
    expect(this.clock.pendingTimers).toBe(0);
  }
}

function pickFrom<E>(list: readonly E[], pick: number): E | undefined {
  return list.length === 0 ? undefined : list[pick % list.length];
}

it(`no interleaving of acquires, releases, aborts, failures, deaths and time breaks an invariant (${RUNS} runs)`, async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async (script) => {
      await new Simulation(script).run();
    }),
    { numRuns: RUNS, ...(SEED === undefined ? undefined : { seed: SEED }), endOnFailure: false },
  );
}, 120_000);
