import type { AcquireOrigin } from './acquire-origin.js';
import { Closer } from './closer.js';
import type { Connector } from './connector.js';
import type { Deadlines } from './deadlines.js';
import { Dialling } from './dialling.js';
import type { Holder } from './holders.js';
import { LeakWatch } from './leak-watch.js';
import type { Lease } from './lease.js';
import { Leases } from './leases.js';
import { Leasing } from './leasing.js';
import { poolClosedError, type PoolState } from './life-cycle.js';
import { Maintenance } from './maintenance.js';
import { OutsideLimit } from './outside-limit.js';
import type { PoolEntry } from './pool-entry.js';
import type { EngineAcquireOptions, CloseReport, LeaseUse, PoolDependencies, PoolOptions } from './pool-options.js';
import { partsOf, type PoolParts } from './pool-parts.js';
import { PoolReport } from './pool-report.js';
import { Sharing } from './sharing.js';
import type { CloseReason, PoolStatistics } from './statistics.js';
import { Steps } from './steps.js';

/** The generation of a connection that is replaced alone, before the others. */
const NO_GENERATION = -1;

/**
 * The smallest complete resource pool, in the spirit of jackc/puddle, with what a production pool needs on top:
 * one deadline per acquire, a wait queue served in order of arrival, dials decoupled from borrowers (HikariCP's
 * rule: a borrower waits for the pool alone and takes whichever comes first, a returned or a new connection),
 * pool-wide back-off, checks before use, generations, overflow, background refill.
 *
 * It knows nothing of what it pools: a {@link Connector} opens, checks, resets and closes.
 *
 * This is its face and its life cycle. An acquire goes through {@link Leasing}; `Fitness` judges what may be
 * leased, and `Slots` has every connection and its state.
 */
export class Pool<T> {
  /** Time-outs of whoever uses the pool's connections may stand on the same wheel. */
  readonly deadlines: Deadlines;
  /** Statistics, holders, and what is known of the server. */
  readonly report: PoolReport<T>;
  /** The ceiling that comes from outside, where processes share a budget. */
  readonly outside: OutsideLimit<T>;
  readonly #parts: PoolParts<T>;
  readonly #leasing: Leasing<T>;
  readonly #leases: Leases<T>;
  readonly #closer: Closer<T>;
  readonly #dialling: Dialling<T>;
  readonly #maintenance: Maintenance<T>;
  readonly #leakWatch: LeakWatch<T> | undefined;
  #closePromise: Promise<CloseReport> | undefined;

  constructor(options: PoolOptions, connector: Connector<T>, dependencies: PoolDependencies<T> = {}) {
    const parts = partsOf(options, connector, dependencies, {
      timeoutError: (waiter) => this.report.timeoutError(waiter),
      occupancy: () => this.report.occupancy(),
      movedUp: () => this.#leasing.serve(),
    });
    const { clock, deadlines, fitness, slots } = parts;
    this.#parts = parts;
    this.deadlines = deadlines;
    this.#closer = new Closer(parts, {
      leaving: () => this.#dialling.wake(),
      freed: () => this.#leasing.serve(),
    });
    this.#dialling = new Dialling(parts, {
      opened: (entry) => this.#leasing.park(entry, clock.now(), true),
      lost: (entry, error) => this.#leasing.lost(entry, error),
      freed: () => this.#leasing.serve(),
    });
    this.report = new PoolReport(parts, this.#dialling, dependencies.describe);
    this.#leakWatch = this.#watchLeaks();
    const sharing = new Sharing(options.sharedLimit, connector, fitness);
    this.#leases = new Leases(parts, sharing, this.#leakWatch, dependencies.label);
    this.#leasing = new Leasing({
      ...parts,
      sharing,
      leases: this.#leases,
      steps: new Steps(slots, deadlines, connector, options),
      closer: this.#closer,
      dialling: this.#dialling,
      report: this.report,
    });
    this.outside = new OutsideLimit(parts, this.#closer, this.#leasing);
    this.#maintenance = new Maintenance(parts, this.#closer, {
      keepAlive: (entry) => this.#leasing.keepAlive(entry),
      refill: () => this.#dialling.wake(),
    });
  }

  #watchLeaks(): LeakWatch<T> | undefined {
    const { deadlines, options } = this.#parts;
    if (options.leakDetectionMs <= 0) return undefined;
    return new LeakWatch<T>(options.leakDetectionMs, deadlines, {
      leaked: (entry) => this.report.leaked(entry, false),
      collected: (entry) => {
        this.report.leaked(entry, true);
        this.#leasing.takeBack(entry, 'broken');
      },
    });
  }

  /** Starts the background work: fills `minIdle` and keeps it filled. Nothing connects before this or the first acquire. */
  start(): void {
    const { state } = this.#parts.life;
    if (state !== 'running' && state !== 'suspended') return;
    this.#maintenance.start();
    this.#dialling.wake();
  }

  /** The state of the pool. */
  get state(): PoolState {
    return this.#parts.life.state;
  }

  /** Acquires that wait. */
  get waiting(): number {
    return this.#parts.waiters.waiting;
  }

  /** Those of them that the next connection is for: none of them stands aside. */
  get queued(): number {
    return this.#parts.waiters.length;
  }

  /** Connections open now, idle or in use. */
  get open(): number {
    return this.#parts.slots.open;
  }

  /** Those of them that haven't died in their borrowers' hands. */
  get alive(): number {
    return this.#parts.slots.alive;
  }

  /** Idle connections. */
  get idle(): number {
    return this.#parts.slots.idle;
  }

  /** The most connections there may be. */
  get max(): number {
    return this.#parts.slots.max;
  }

  /**
   * Leases an idle connection at once, or gives `undefined` when none can be had without waiting: none is idle,
   * somebody waits already, or the idle one has to be checked first. When none is idle and the lease may be `shared`,
   * it is one of a connection that others use.
   *
   * @param traced whether a tracer listens to it, where that is known already.
   */
  tryAcquire(use: LeaseUse = 'held', traced?: boolean): Lease<T> | undefined {
    return this.#leasing.tryAcquire(use, traced);
  }

  /**
   * Leases a connection.
   *
   * @throws `ERR_POOL_ACQUIRE_TIMEOUT` at the deadline (`ERR_POOL_SUSPENDED` while the pool is suspended),
   * `ERR_POOL_QUEUE_FULL`, `ERR_POOL_CLOSED`, `ERR_POOL_CONNECT_FAILED` when no connection can be opened and waiting
   * doesn't help, the signal's reason, or the error of the connector's `prepare`.
   */
  acquire(options?: EngineAcquireOptions): Promise<Lease<T>> {
    const use = options?.use ?? 'held';
    if (options?.signal?.aborted === true) {
      this.#parts.counters.acquireAborted++;
      return this.#refuse(use, options.signal.reason, options.traced);
    }
    const lease = this.#leasing.tryAcquire(use, options?.traced, options?.origin);
    if (lease !== undefined) return Promise.resolve(lease);
    const traced = options?.traced ?? this.#parts.traces.active;
    if (this.#parts.life.refusing) return this.#refuse(use, this.#closedError(), traced);
    const refusal = this.#dialling.refusal();
    if (refusal !== undefined) return this.#refuse(use, refusal, traced);
    const origin = options?.origin ?? this.#leases.origin(use, traced);
    return this.#parts.waiters.join(origin, options, traced, this.#leasing.serve);
  }

  /** Who calls now, as far as that is kept: for an acquire that comes later. */
  origin(use: LeaseUse): AcquireOrigin {
    return this.#leases.origin(use);
  }

  #refuse(use: LeaseUse, error: unknown, traced: boolean | undefined): Promise<never> {
    this.#parts.traces.refused(use, error, traced);
    return Promise.reject(error);
  }

  /** Opens one connection at once, whatever the back-off says, unless a dial is under way or no slot is free. */
  probe(): void {
    const { life, slots } = this.#parts;
    if (!life.ending && slots.used < slots.max) this.#dialling.probe();
  }

  /** Every connection is checked before it is leased again: there is reason to believe that they have changed. */
  suspectAll(): void {
    this.#parts.fitness.suspectAll(this.#parts.clock.now());
  }

  /** Replaces every connection when it is next idle: after a change of credentials, or a fail-over. */
  expireAll(): void {
    this.#parts.fitness.expireAll();
    this.#retireIdle('expired');
    this.#leasing.serve();
  }

  /** Replaces some connections, `most` at the most, when they are next idle: those that are chosen. */
  replace(chosen: (connection: T) => boolean, most: number): void {
    const { fitness, slots } = this.#parts;
    let left = most;
    for (const entry of [...slots]) {
      const { connection, state } = entry;
      const replaced = state === 'closing' || entry.generation !== fitness.generation;
      if (left === 0 || connection === undefined || replaced || !chosen(connection)) continue;
      left--;
      entry.generation = NO_GENERATION;
      if (state === 'idle') this.#closer.retire(entry, 'expired');
    }
    this.#leasing.serve();
  }

  #retireIdle(reason: CloseReason): void {
    for (const entry of this.#parts.slots.idleEntries()) this.#closer.retire(entry, reason);
  }

  /** Gives out no more connections until `resume()`; acquires wait, and fail with `ERR_POOL_SUSPENDED` at their deadline. */
  suspend(): void {
    this.#parts.life.enter('suspended');
    this.report.forgetSnapshot();
  }

  /** Ends `suspend()`. */
  resume(): void {
    if (!this.#parts.life.enter('running')) return;
    this.report.forgetSnapshot();
    this.#leasing.serve();
  }

  /** Changes the bounds at run time; what is too much is closed when idle. */
  resize(size: number, maxOverflow: number): void {
    this.#parts.slots.resize(size, maxOverflow);
    this.outside.trim();
  }

  /** Starts the end: still serves, but opens nothing ahead of demand any more. */
  drain(): void {
    if (!this.#parts.life.enter('draining')) return;
    this.#maintenance.stop();
    this.#leasing.serve();
  }

  /**
   * Refuses newcomers and whoever waits for somebody else's connection with `ERR_POOL_CLOSED`; resolves when those are
   * settled that are being dialled for, or could be. `undefined`: nobody is.
   */
  finishWaiting(): Promise<void> | undefined {
    const { clock, life, slots, waiters } = this.#parts;
    if (!life.enter('finishing')) return undefined;
    this.#maintenance.stop();
    waiters.moveUp(clock.now());
    this.#leasing.serve();
    const taken = slots.used - slots.connecting - slots.idle - slots.arriving;
    waiters.rejectBeyond(Math.max(0, slots.max - taken), this.#closedError());
    return waiters.settled();
  }

  /**
   * Refuses waiters and newcomers with `ERR_POOL_CLOSED`, lets leases finish until the deadline, destroys what is
   * left, and resolves when every socket is gone. Never rejects; a second call gets the first one's promise.
   */
  close(deadlineMs: number): Promise<CloseReport> {
    this.#closePromise ??= this.#shutDown(deadlineMs);
    return this.#closePromise;
  }

  async #shutDown(deadlineMs: number): Promise<CloseReport> {
    const { clock, life, slots, waiters } = this.#parts;
    const startedAt = clock.now();
    life.enter('closing');
    this.#maintenance.stop();
    const error = this.#closedError();
    this.#leasing.visits.cancel();
    this.#dialling.stop();
    const refused = waiters.rejectAll(() => error);
    this.#dialling.abandon(error);
    this.#retireIdle('shutdown');
    const destroyed = slots.used === 0 ? [] : await this.#emptied(deadlineMs);
    life.enter('closed');
    this.#leakWatch?.stop();
    this.deadlines.stopWhenIdle();
    return { graceful: destroyed.length === 0, durationMs: clock.now() - startedAt, refused, destroyed };
  }

  /** Waits until every slot is free, by force from the deadline on; returns who had to be forced. */
  #emptied(deadlineMs: number): Promise<Holder[]> {
    const { clock, slots } = this.#parts;
    return new Promise((resolve) => {
      let destroyed: Holder[] = [];
      const timer = clock.setTimeout(() => {
        destroyed = this.holders();
        for (const entry of [...slots]) this.#destroy(entry);
      }, deadlineMs);
      slots.onEmpty(() => {
        clock.clearTimeout(timer);
        resolve(destroyed);
      });
    });
  }

  /** Takes a connection from whoever has it, at the end of a close. */
  #destroy(entry: PoolEntry<T>): void {
    if (entry.state === 'closing') return this.#closer.cutShort(entry);
    if (entry.state === 'leased') this.#leases.end(entry, this.#parts.clock.now());
    if (entry.preparedFor?.settled === false) entry.preparedFor.refuse(this.#closedError());
    this.#closer.destroy(entry, 'shutdown');
  }

  /** Takes a connection from its borrower and destroys it; returns whether somebody held it. */
  terminate(connection: number): boolean {
    for (const entry of this.#parts.slots) {
      if (entry.id !== connection || entry.state !== 'leased') continue;
      this.#leasing.takeBack(entry, 'broken');
      return true;
    }
    return false;
  }

  /** Who holds connections, longest first. */
  holders(): Holder[] {
    return this.report.holders();
  }

  /** An immutable snapshot of levels and counters. */
  statistics(): PoolStatistics {
    return this.report.statistics();
  }

  #closedError(): Error {
    return poolClosedError(this.#parts.options.name);
  }
}
