import type { AsyncResource } from 'node:async_hooks';
import type { AcquireOrigin } from './acquire-origin.js';
import { AcquireQueue, type AcquireQueueHost } from './acquire-queue.js';
import type { AcquireWaiter } from './acquire-waiter.js';
import { systemClock, type Clock } from './clock.js';
import type { Connector, DialFailure } from './connector.js';
import { Deadlines } from './deadlines.js';
import { Dial } from './dial.js';
import { Dialer, type DialerHost } from './dialer.js';
import { describeCause, PoolClosedError, PoolConnectError, PoolLeaseReleasedError } from './errors.js';
import { Exhaustion } from './exhaustion.js';
import { describeHolder, type Holder } from './holders.js';
import { Lease, SharedLease, type LeaseOwner } from './lease.js';
import { leakNotice, leakReport, LeakWatch, type LeakListener } from './leak-watch.js';
import { LinkedList } from './linked-list.js';
import { Maintenance, type MaintenanceHost } from './maintenance.js';
import { PoolEntry } from './pool-entry.js';
import { SharedEntries } from './shared-entries.js';
import type {
  AcquireOptions,
  CloseReport,
  LeaseUse,
  PoolDependencies,
  PoolObserver,
  PoolOptions,
} from './pool-options.js';
import {
  connectFailure,
  pictureOf,
  PoolCounters,
  type CloseReason,
  type ConnectFailure,
  type LeakNotice,
  type PoolHistograms,
  type PoolStatistics,
} from './statistics.js';

/**
 * `running` ⇄ `suspended`; both → `draining` (still serves, opens nothing ahead of demand) → `closing` (refuses,
 * leases may finish) → `closed`.
 */
export type PoolState = 'running' | 'suspended' | 'draining' | 'closing' | 'closed';

/** How long a polite close may take before the socket is destroyed, in milliseconds. */
const POLITE_CLOSE_MS = 2_000;
/** After this a closing connection's slot is free whatever its connector does, in milliseconds. */
const CLOSE_GUARD_MS = 3_000;
/** Errors of acquires that time out together share one picture of the pool, this old at most, in milliseconds. */
const PICTURE_MS = 50;

/** The last dial, where it failed. */
interface FailedDial {
  readonly error: unknown;
  readonly failure: ConnectFailure;
  readonly explained: DialFailure;
}

/** What became of a look at an idle connection. */
type Judgement = 'ready' | 'check' | CloseReason;

/**
 * The smallest complete resource pool, in the spirit of jackc/puddle, with what a production pool needs on top:
 * one deadline per acquire, a wait queue served in order of arrival, dials decoupled from borrowers (HikariCP's
 * rule: a borrower waits for the pool alone and takes whichever comes first, a returned or a new connection),
 * pool-wide back-off, checks before use, generations, overflow, background refill.
 *
 * It knows nothing of what it pools: a {@link Connector} opens, checks, resets and closes.
 */
export class Pool<T> implements LeaseOwner<T>, AcquireQueueHost<T>, DialerHost, MaintenanceHost, LeakListener<T> {
  readonly #options: PoolOptions;
  readonly #connector: Connector<T>;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #observer: PoolObserver<T>;
  readonly #describe: PoolDependencies<T>['describe'];
  readonly #label: (() => string | undefined) | undefined;
  readonly #counters = new PoolCounters();
  readonly #deadlines: Deadlines;
  readonly #dialer: Dialer;
  readonly #maintenance: Maintenance;
  readonly #leakWatch: LeakWatch<T> | undefined;
  readonly #waiters: AcquireQueue<T>;
  /** Every slot in use: dialling, open or closing. */
  readonly #entries = new Set<PoolEntry<T>>();
  /** Idle connections; the last one was used last and is leased first, so that the surplus ages at the front. */
  readonly #idle = new LinkedList<PoolEntry<T>>();
  /** Connections in use that more borrowers may join. */
  readonly #shared: SharedEntries<T>;
  readonly #dials = new Set<Dial<T>>();
  #state: PoolState = 'running';
  #size: number;
  #maxOverflow: number;
  #generation = 0;
  #nextId = 1;
  /** Connections that will soon be idle: being checked or reset. */
  #arriving = 0;
  #closing = 0;
  /** Whether somebody shares a connection who would have got one of their own, had there been one. */
  #crowded = false;
  /** Connections proven alive before this are suspects: another one was lost since. */
  #suspectAt = -Infinity;
  #connectError: FailedDial | undefined;
  #lastLeak: LeakNotice | undefined;
  #picture: { readonly at: number; readonly exhaustion: Exhaustion } | undefined;
  #closePromise: Promise<CloseReport> | undefined;
  /** Whether newcomers are refused, while those who wait are still served. */
  #finishing = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: PoolOptions, connector: Connector<T>, dependencies: PoolDependencies<T> = {}) {
    this.#options = Object.freeze({ ...options });
    this.#connector = connector;
    this.#clock = dependencies.clock ?? systemClock;
    this.#random = dependencies.random ?? Math.random;
    this.#observer = dependencies.observer ?? {};
    this.#describe = dependencies.describe;
    this.#label = dependencies.label;
    this.#size = options.size;
    this.#maxOverflow = options.maxOverflow;
    this.#shared = new SharedEntries(options.shareDepth);
    this.#deadlines = new Deadlines(this.#clock);
    this.#waiters = new AcquireQueue<T>(this.#clock, this.#deadlines, options, this.#counters, this);
    this.#dialer = new Dialer(this.#clock, this, options.maxConnecting, this.#random);
    this.#maintenance = new Maintenance(this.#clock, this, options);
    if (options.leakDetectionMs > 0) {
      this.#leakWatch = new LeakWatch<T>(options.leakDetectionMs, this.#deadlines, this);
    }
  }

  /** Starts the background work: fills `minIdle` and keeps it filled. Nothing connects before this or the first acquire. */
  start(): void {
    if (this.#state !== 'running' && this.#state !== 'suspended') return;
    this.#maintenance.start();
    this.#dialer.wake();
  }

  /** Whether connections are given out. */
  get #serving(): boolean {
    return this.#state === 'running' || this.#state === 'draining';
  }

  /** The state of the pool. */
  get state(): PoolState {
    return this.#state;
  }

  /** Acquires in the queue. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /** Connections open now, idle or in use. */
  get open(): number {
    return this.#entries.size - this.#dialer.connecting - this.#closing;
  }

  /** Those of them that haven't died in their borrowers' hands. */
  get alive(): number {
    let dead = 0;
    for (const entry of this.#entries) if (entry.lost && entry.state === 'leased') dead++;
    return this.open - dead;
  }

  /** Idle connections. */
  get idle(): number {
    return this.#idle.length;
  }

  /** The most connections there may be. */
  get max(): number {
    return this.#size + this.#maxOverflow;
  }

  /** The wheel of this pool's deadlines, for the room above. */
  get deadlines(): Deadlines {
    return this.#deadlines;
  }

  /** The real error of the last dial; `undefined` once a dial has succeeded. */
  get connectError(): unknown {
    return this.#connectError?.error;
  }

  /** When an open connection last gave proof of life, on the clock's scale; `undefined` while none is open. */
  get lastVerifiedAt(): number | undefined {
    let latest: number | undefined;
    for (const entry of this.#entries) {
      if (entry.connection === undefined || entry.lost || entry.state === 'closing') continue;
      if (latest === undefined || entry.verifiedAt > latest) latest = entry.verifiedAt;
    }
    return latest;
  }

  /** To be called when a borrowed connection has just answered: proof of life without a ping. */
  verified(lease: Lease<T>): void {
    lease.entry.verifiedAt = this.#clock.now();
  }

  /**
   * Leases an idle connection at once, or gives `undefined` when none can be had without waiting: none is idle,
   * somebody waits already, or the idle one has to be checked first. When none is idle and the lease may be `shared`,
   * it is one of a connection that others use.
   */
  tryAcquire(use: LeaseUse = 'held'): Lease<T> | undefined {
    if (this.#waiters.length > 0 || !this.#serving || this.#finishing || this.#prepares(use)) return undefined;
    const now = this.#clock.now();
    const entry = this.#idle.last;
    if (entry === undefined) return use === 'shared' ? this.#joinOthers(now) : undefined;
    if (this.#judge(entry, now) !== 'ready') return undefined;
    this.#unpark(entry);
    const origin = this.#origin(use);
    return use === 'shared' ? this.#share(entry, now, 0, origin) : this.#lease(entry, now, 0, origin, use);
  }

  /** Whether a hook has to run first. */
  #prepares(use: LeaseUse): boolean {
    return this.#connector.prepare !== undefined && use !== 'own';
  }

  #joinOthers(now: number): Lease<T> | undefined {
    const entry = this.#joinable(now);
    if (entry === undefined) return undefined;
    const lease = this.#share(entry, now, 0, this.#origin('shared'));
    if (this.#entries.size < this.#size) {
      this.#crowded = true;
      this.#dialer.wake();
    }
    return lease;
  }

  /** The connection with the fewest borrowers among those that one more may join. */
  #joinable(now: number): PoolEntry<T> | undefined {
    for (let entry = this.#shared.least(); entry !== undefined; entry = this.#shared.least()) {
      const fit = this.#worn(entry, now) === undefined && this.#connector.shareable?.(entry.connection as T) !== false;
      if (fit) return entry;
      // Looked at again when the next of its borrowers gives it back.
      this.#shared.remove(entry);
    }
    return undefined;
  }

  /**
   * Leases a connection.
   *
   * @throws `ERR_POOL_ACQUIRE_TIMEOUT` at the deadline (`ERR_POOL_SUSPENDED` while the pool is suspended),
   * `ERR_POOL_QUEUE_FULL`, `ERR_POOL_CLOSED`, the signal's reason, or the error of the connector's `prepare`.
   */
  acquire(options?: AcquireOptions): Promise<Lease<T>> {
    if (options?.signal?.aborted === true) {
      this.#counters.acquireAborted++;
      return Promise.reject(options.signal.reason);
    }
    const lease = this.tryAcquire(options?.use);
    if (lease !== undefined) return Promise.resolve(lease);
    if (this.#finishing || this.#state === 'closing' || this.#state === 'closed') {
      return Promise.reject(this.#closedError());
    }
    // The next dial is the dialer's to decide: until then its last answer holds.
    if (this.#hopeless && this.#dialer.pausing) return Promise.reject(this.#connectFailedError());
    return this.#waiters.join(this.#origin(options?.use) ?? ANONYMOUS, options, this.#serve);
  }

  /** Whether no connection is open, and none can be for a reason that waiting doesn't heal. */
  get #hopeless(): boolean {
    return this.#connectError?.explained.permanent === true && this.open === 0 && this.#serving;
  }

  #connectFailedError(): PoolConnectError {
    const { name } = this.#options;
    const { error, explained } = this.#connectError as FailedDial;
    return new PoolConnectError(
      name,
      `${name}: no connection can be opened: ${describeCause(error)}. ${explained.advice}`,
      { cause: error },
    );
  }

  #origin(use: LeaseUse = 'held'): AcquireOrigin | undefined {
    const watch = use === 'held' ? this.#leakWatch : undefined;
    if (watch === undefined && this.#label === undefined) return undefined;
    return { trace: watch?.trace(), label: this.#label?.() };
  }

  /** @internal */
  describeTimeout(waiter: AcquireWaiter<T>): Error {
    const now = this.#clock.now();
    if (this.#picture === undefined || now - this.#picture.at >= PICTURE_MS) {
      const suspended = this.#state === 'suspended';
      this.#picture = {
        at: now,
        exhaustion: new Exhaustion(this.statistics(), suspended, this.#connectError, this.holders()),
      };
    }
    return this.#picture.exhaustion.error(waiter);
  }

  /** @internal */
  get actsForWaiters(): boolean {
    const { acquired, hearsAcquire } = this.#observer;
    if (this.#connector.prepare !== undefined) return true;
    return acquired !== undefined && hearsAcquire?.call(this.#observer, Number.MAX_VALUE) !== false;
  }

  /** @internal */
  occupancy(): string {
    return `${this.open - this.#idle.length} of ${this.max} in use`;
  }

  /** @internal One of those who share a connection gave it back. */
  giveBackShare(lease: SharedLease<T>, reason: CloseReason | undefined): void {
    const { entry } = lease;
    entry.doom ??= reason;
    const now = this.#clock.now();
    // One after another: together their uses are as long as the connection was in use, which sizing goes by.
    const since = Math.max(lease.since, entry.returnedAt);
    entry.returnedAt = now;
    if (entry.shares === 1) {
      entry.leasedAt = since;
      return this.giveBack(entry, entry.doom);
    }
    entry.shares--;
    this.#countRelease(entry, now - since);
    const crowded = this.open > this.#size && this.#waiters.length === 0;
    if (entry.doom !== undefined || entry.lost || crowded) return this.#shared.remove(entry);
    this.#shared.place(entry);
    if (this.#waiters.length > 0) this.#serve();
  }

  /** @internal A lease came back. */
  giveBack(entry: PoolEntry<T>, reason: CloseReason | undefined): void {
    if (entry.leakReported) this.#observer.unleaked?.(this.#report(entry, false));
    this.#takeBack(entry, reason);
  }

  /** Ends a lease, whoever ends it. */
  #takeBack(entry: PoolEntry<T>, reason: CloseReason | undefined): void {
    const now = this.#clock.now();
    this.#endLease(entry, now);
    if (reason === 'query-timeout') this.#suspectAt = now;
    if (reason !== undefined) return this.#close(entry, reason, false);
    const worn = this.#worn(entry, now);
    if (worn !== undefined) return this.#close(entry, worn, worn !== 'broken');
    // A lease from before the last loss proves nothing about the time after it.
    const proven = entry.leasedAt > this.#suspectAt;
    if (proven) entry.verifiedAt = now;
    let reset: CloseReason | undefined | Promise<CloseReason | undefined>;
    try {
      reset = this.#connector.reset?.(entry.connection as T, entry.own);
    } catch {
      reset = 'reset';
    }
    if (reset === undefined) return this.#park(entry, now, proven);
    if (typeof reset === 'string') return this.#close(entry, reset, false);
    this.#reset(entry, reset);
  }

  #endLease(entry: PoolEntry<T>, now: number): void {
    const useMs = now - entry.leasedAt;
    entry.epoch++;
    if (entry.shares > 0) {
      this.#shared.remove(entry);
      // Taken from all of them at once, where it isn't the last.
      for (; entry.shares > 1; entry.shares--) this.#countRelease(entry, useMs);
      entry.shares = 0;
      entry.doom = undefined;
    }
    if (entry.origin?.trace !== undefined) this.#leakWatch?.forget(entry);
    this.#countRelease(entry, useMs);
    entry.origin = undefined;
  }

  #countRelease(entry: PoolEntry<T>, useMs: number): void {
    this.#counters.released++;
    this.#counters.use.record(useMs);
    this.#observer.released?.(entry.connection as T, useMs, entry);
  }

  /** @internal */
  leaseOver(action: 'used' | 'released'): Error {
    const { name } = this.#options;
    return new PoolLeaseReleasedError(name, `${name}: a connection was ${action} after it had been given back`);
  }

  /** What a connection is closed for besides its own state. */
  #worn(entry: PoolEntry<T>, now: number): CloseReason | undefined {
    if (entry.lost) return 'broken';
    if (this.#state === 'closing' || this.#state === 'closed') return 'shutdown';
    if (entry.generation !== this.#generation) return 'expired';
    if (now >= entry.expiresAt) return 'lifetime';
    if (this.#options.maxUses > 0 && entry.uses >= this.#options.maxUses) return 'uses';
    return undefined;
  }

  #judge(entry: PoolEntry<T>, now: number): Judgement {
    const worn = this.#worn(entry, now);
    if (worn !== undefined) return worn;
    if (!this.#connector.usable(entry.connection as T)) return 'broken';
    if (this.#connector.ping === undefined) return 'ready';
    if (entry.verifiedAt <= this.#suspectAt) return 'check';
    return now - entry.verifiedAt >= this.#options.pingAfterIdleMs ? 'check' : 'ready';
  }

  /** Serves waiters from the idle connections, and lets the dialer see what is still wanted. */
  readonly #serve = (): void => {
    while (this.#waiters.length > 0 && this.#serving) {
      const now = this.#clock.now();
      const entry = this.#idle.last;
      if (entry === undefined) {
        if (!this.#serveTogether(now)) break;
        continue;
      }
      const judgement = this.#judge(entry, now);
      // As many connections are on their way as there are waiters: more checks would be a stampede.
      if (judgement === 'check' && this.#arriving >= this.#waiters.length) break;
      this.#unpark(entry);
      if (judgement === 'check') this.#check(entry, false);
      else if (judgement === 'ready') this.#grant(entry, this.#waiters.shift() as AcquireWaiter<T>, now);
      else this.#close(entry, judgement, judgement !== 'broken');
    }
    this.#dialer.wake();
  };

  /** Lets the first waiter join others, if it will do with that; returns whether it has. */
  #serveTogether(now: number): boolean {
    const waiter = this.#waiters.first;
    if (waiter?.use !== 'shared' || this.#prepares('shared')) return false;
    const entry = this.#joinable(now);
    if (entry === undefined) return false;
    this.#waiters.shift();
    this.#waiters.resolve(waiter, this.#share(entry, now, now - waiter.since, waiter.origin, waiter));
    return true;
  }

  #grant(entry: PoolEntry<T>, waiter: AcquireWaiter<T>, now: number): void {
    const { prepare } = this.#connector;
    if (prepare === undefined || !this.#prepares(waiter.use)) return this.#hand(entry, waiter, now);
    entry.state = 'preparing';
    entry.preparedFor = waiter;
    let prepared: void | Promise<void>;
    try {
      prepared = (waiter.context as AsyncResource).runInAsyncScope(prepare, this.#connector, entry.connection as T);
    } catch (error) {
      return this.#prepareFailed(entry, error);
    }
    if (prepared === undefined) return this.#hand(entry, waiter, now);
    const timeoutMs = this.#options.connectTimeoutMs;
    this.#limit(entry, timeoutMs, () =>
      this.#prepareFailed(entry, new Error(`onAcquire took longer than ${timeoutMs} ms`)),
    );
    prepared.then(
      () => {
        if (this.#stepOver(entry, 'preparing')) this.#prepared(entry, waiter);
      },
      (error: unknown) => {
        if (this.#stepOver(entry, 'preparing')) this.#prepareFailed(entry, error);
      },
    );
  }

  #prepared(entry: PoolEntry<T>, waiter: AcquireWaiter<T>): void {
    const fit = !entry.lost && this.#state !== 'closing' && this.#state !== 'closed';
    if (fit && !waiter.settled) return this.#hand(entry, waiter, this.#clock.now());
    entry.preparedFor = undefined;
    if (!waiter.settled) this.#requeue(waiter);
    this.#park(entry, this.#clock.now(), true);
  }

  /** The connection meant for a waiter has died under way: the waiter is the next to be served again. */
  #requeue(waiter: AcquireWaiter<T>): void {
    if (this.#state === 'closing' || this.#state === 'closed') this.#waiters.reject(waiter, this.#closedError());
    else this.#waiters.putBack(waiter);
  }

  #prepareFailed(entry: PoolEntry<T>, error: unknown): void {
    const waiter = entry.preparedFor;
    entry.preparedFor = undefined;
    if (waiter !== undefined && !waiter.settled) this.#waiters.reject(waiter, error);
    this.#close(entry, 'invalid', false);
  }

  #hand(entry: PoolEntry<T>, waiter: AcquireWaiter<T>, now: number): void {
    entry.preparedFor = undefined;
    const waitMs = now - waiter.since;
    const { use, origin } = waiter;
    const alone = use !== 'shared' || this.#prepares(use);
    const lease = alone
      ? this.#lease(entry, now, waitMs, origin, use, waiter)
      : this.#share(entry, now, waitMs, origin, waiter);
    this.#waiters.resolve(waiter, lease);
    if (!alone && this.#waiters.length > 0) this.#serve();
  }

  #lease(
    entry: PoolEntry<T>,
    now: number,
    waitMs: number,
    origin: AcquireOrigin | undefined,
    use: LeaseUse,
    waiter?: AcquireWaiter<T>,
  ): Lease<T> {
    entry.origin = origin;
    entry.own = use === 'own';
    const lease = new Lease<T>(this, entry);
    // What has no trace comes back by itself.
    if (origin?.trace !== undefined) this.#leakWatch?.watch(entry, lease);
    this.#countLease(entry, now, waitMs, waiter);
    return lease;
  }

  /** A lease of a connection that others use or may join: for what is soon over, so that nobody watches it. */
  #share(
    entry: PoolEntry<T>,
    now: number,
    waitMs: number,
    origin: AcquireOrigin | undefined,
    waiter?: AcquireWaiter<T>,
  ): Lease<T> {
    // The latest is there for certain: the first may be gone by the time that somebody asks.
    entry.origin = origin;
    entry.own = false;
    entry.shares++;
    this.#shared.place(entry);
    const lease = new SharedLease<T>(this, entry, now, origin);
    this.#countLease(entry, now, waitMs, waiter);
    return lease;
  }

  #countLease(entry: PoolEntry<T>, now: number, waitMs: number, waiter: AcquireWaiter<T> | undefined): void {
    entry.state = 'leased';
    entry.leasedAt = now;
    entry.uses++;
    this.#counters.acquired++;
    this.#counters.wait.record(waitMs);
    const observer = this.#observer;
    const { acquired } = observer;
    if (acquired === undefined || observer.hearsAcquire?.(waitMs) === false) return;
    // Who gave the connection back, or dialled it, isn't who gets it.
    if (waiter?.context === undefined) acquired.call(observer, entry.connection as T, waitMs, entry);
    else waiter.context.runInAsyncScope(acquired, observer, entry.connection as T, waitMs, entry);
  }

  /** Puts a connection among the idle ones, or closes it when it isn't fit or is one too many; `proven`: alive just now. */
  #park(entry: PoolEntry<T>, now: number, proven: boolean): void {
    const worn = this.#worn(entry, now) ?? (this.#connector.usable(entry.connection as T) ? undefined : 'broken');
    if (worn !== undefined) return this.#close(entry, worn, worn !== 'broken');
    if (this.#waiters.length === 0 && this.open > this.#size) return this.#close(entry, 'overflow', true);
    if (proven && this.#waiters.length > 0 && this.#serving) {
      // Straight from hand to hand: it was proven alive just now, and a second check would never end.
      return this.#grant(entry, this.#waiters.shift() as AcquireWaiter<T>, now);
    }
    entry.state = 'idle';
    entry.idleSince = now;
    this.#idle.push(entry);
    this.#connector.parked?.(entry.connection as T, true);
    // With nobody waiting, one more idle connection changes nothing for anybody.
    if (this.#waiters.length > 0) this.#serve();
  }

  #unpark(entry: PoolEntry<T>): void {
    this.#idle.remove(entry);
    this.#connector.parked?.(entry.connection as T, false);
  }

  /** Pings a connection: before a lease, or in the background, which leaves its idle time as it was. */
  #check(entry: PoolEntry<T>, background: boolean): void {
    const idleSince = entry.idleSince;
    this.#arriving++;
    entry.state = 'checking';
    const failed = (): void => {
      this.#suspectAt = this.#clock.now();
      this.#close(entry, 'invalid', false);
    };
    this.#limit(entry, this.#options.pingTimeoutMs, failed);
    (this.#connector.ping as NonNullable<Connector<T>['ping']>)(entry.connection as T).then(
      () => {
        if (!this.#stepOver(entry, 'checking')) return;
        entry.verifiedAt = this.#clock.now();
        this.#park(entry, this.#clock.now(), true);
        if (background) entry.idleSince = idleSince;
      },
      () => {
        if (this.#stepOver(entry, 'checking')) failed();
      },
    );
  }

  #reset(entry: PoolEntry<T>, reset: Promise<CloseReason | undefined>): void {
    this.#arriving++;
    entry.state = 'resetting';
    const failed = (): void => this.#close(entry, 'reset', false);
    this.#limit(entry, this.#options.pingTimeoutMs, failed);
    reset.then(
      (reason) => {
        if (!this.#stepOver(entry, 'resetting')) return;
        if (reason !== undefined) return this.#close(entry, reason, false);
        entry.verifiedAt = this.#clock.now();
        this.#park(entry, this.#clock.now(), true);
      },
      () => {
        if (this.#stepOver(entry, 'resetting')) failed();
      },
    );
  }

  /** Bounds the step that an entry is in. */
  #limit(entry: PoolEntry<T>, inMs: number, onExpire: () => void): void {
    entry.stepDeadline.onExpire = () => {
      this.#leaveStep(entry);
      onExpire();
    };
    this.#deadlines.set(entry.stepDeadline, inMs);
  }

  /** Ends a step; `false` when it was over already: timed out, or its connection closed. */
  #stepOver(entry: PoolEntry<T>, step: 'checking' | 'preparing' | 'resetting'): boolean {
    if (entry.state !== step) return false;
    this.#leaveStep(entry);
    return true;
  }

  #leaveStep(entry: PoolEntry<T>): void {
    this.#deadlines.clear(entry.stepDeadline);
    if (entry.state === 'checking' || entry.state === 'resetting') this.#arriving--;
  }

  /** @internal */
  urgentDials(): number {
    if (!this.#serving) return 0;
    const wanted = this.#waiters.length - this.#arriving - this.#dialer.connecting;
    return Math.min(wanted, this.max - this.#entries.size);
  }

  /** @internal */
  backgroundDials(): number {
    if (this.#state !== 'running') return 0;
    const kept = Math.max(this.#options.minIdle, this.#crowded ? 1 : 0);
    const lacking = kept - this.#idle.length - this.#arriving - this.#dialer.connecting;
    return Math.min(lacking, this.#size - this.#entries.size);
  }

  /** @internal */
  dial(): void {
    const startedAt = this.#clock.now();
    const entry = new PoolEntry<T>(this.#nextId++, this.#generation);
    this.#entries.add(entry);
    const dial = new Dial<T>(this.#connector, this.#deadlines, this.#options.connectTimeoutMs, {
      opened: (connection) => {
        this.#dials.delete(dial);
        this.#opened(entry, connection, startedAt);
      },
      failed: (error) => {
        this.#dials.delete(dial);
        this.#openFailed(entry, error, startedAt);
      },
      abandoned: () => {
        this.#dials.delete(dial);
        this.#dialer.abandoned();
        this.#gone(entry);
      },
    });
    this.#dials.add(dial);
    dial.start((error) => this.#lost(entry, error));
  }

  #opened(entry: PoolEntry<T>, connection: T, startedAt: number): void {
    const now = this.#clock.now();
    this.#connectError = undefined;
    this.#counters.opened++;
    this.#counters.connect.record(now - startedAt);
    entry.connection = connection;
    entry.openedAt = now;
    entry.verifiedAt = now;
    const { maxLifetimeMs, lifetimeJitter } = this.#options;
    if (maxLifetimeMs > 0) entry.expiresAt = now + maxLifetimeMs * (1 - this.#random() * lifetimeJitter);
    this.#crowded = false;
    this.#dialer.succeeded();
    this.#observer.opened?.(connection, now - startedAt, entry);
    this.#park(entry, this.#clock.now(), true);
    this.#dialer.wake();
  }

  #openFailed(entry: PoolEntry<T>, error: unknown, startedAt: number): void {
    this.#counters.connectErrors++;
    const explained = this.#connector.explain?.(error) ?? UNEXPLAINED;
    this.#connectError = { error, failure: connectFailure(error, this.#clock.wallNow()), explained };
    this.#dialer.failed(startedAt);
    this.#observer.openFailed?.(error, this.#clock.now() - startedAt);
    this.#entries.delete(entry);
    if (this.#hopeless) this.#waiters.rejectAll(() => this.#connectFailedError());
    this.#gone(entry);
  }

  /** A connection has died by itself. */
  #lost(entry: PoolEntry<T>, error: Error | undefined): void {
    if (entry.lost || entry.state === 'closing' || entry.state === 'gone') return;
    entry.lost = true;
    // Still dialling: the dial fails, or what it brings is found dead.
    if (entry.connection === undefined) return;
    this.#suspectAt = this.#clock.now();
    this.#observer.lost?.(entry.connection, error, entry.state === 'idle' || entry.state === 'checking');
    if (entry.shares > 0) this.#shared.remove(entry);
    // A borrowed one keeps its slot until its borrower gives it back.
    if (entry.state === 'idle') this.#unpark(entry);
    else if (entry.state === 'checking' || entry.state === 'resetting') this.#leaveStep(entry);
    else return;
    this.#close(entry, 'broken', false);
  }

  #close(entry: PoolEntry<T>, reason: CloseReason, politely: boolean): void {
    const connection = entry.connection as T;
    const closed = (): void => this.#closed(entry);
    entry.state = 'closing';
    this.#closing++;
    this.#counters.closed[reason]++;
    this.#observer.closed?.(connection, reason, entry);
    entry.stepDeadline.onExpire = closed;
    if (politely) {
      entry.stepDeadline.onExpire = () => {
        entry.stepDeadline.onExpire = closed;
        this.#deadlines.set(entry.stepDeadline, CLOSE_GUARD_MS);
        this.#connector.close(connection, false).then(closed, closed);
      };
    }
    this.#deadlines.set(entry.stepDeadline, politely ? POLITE_CLOSE_MS : CLOSE_GUARD_MS);
    this.#connector.close(connection, politely).then(closed, closed);
    this.#dialer.wake();
  }

  #closed(entry: PoolEntry<T>): void {
    if (entry.state === 'gone') return;
    this.#deadlines.clear(entry.stepDeadline);
    this.#closing--;
    this.#gone(entry);
  }

  /** A slot is free. */
  #gone(entry: PoolEntry<T>): void {
    entry.state = 'gone';
    entry.connection = undefined;
    this.#entries.delete(entry);
    if (this.#entries.size === 0) this.#onEmpty?.();
    this.#serve();
  }

  /** @internal One background round; `leaped` tells that the clock or the event loop stood still before it. */
  maintain(now: number, leaped: boolean): void {
    // Nobody could use or answer anything meanwhile: idle connections are suspects, not guilty.
    if (leaped) this.#suspectAt = now;
    const { idleTimeoutMs, keepAliveMs, minIdle } = this.#options;
    for (const entry of this.#idleNow()) {
      if (leaped) entry.idleSince = now;
      const surplus = this.#idle.length > minIdle;
      const tooIdle = idleTimeoutMs > 0 && surplus && now - entry.idleSince >= idleTimeoutMs;
      // Kept while suspended for waiters that have given up since.
      const tooMany = this.#waiters.length === 0 && this.open > this.#size;
      const reason = this.#worn(entry, now) ?? (tooMany ? 'overflow' : tooIdle ? 'idle' : undefined);
      if (reason !== undefined) {
        this.#unpark(entry);
        this.#close(entry, reason, true);
      } else if (keepAliveMs > 0 && now - entry.verifiedAt >= keepAliveMs && this.#connector.ping !== undefined) {
        this.#unpark(entry);
        this.#check(entry, true);
      }
    }
    this.#dialer.wake();
  }

  /** The idle connections, longest idle first; each is still idle when its turn comes, whatever happens meanwhile. */
  *#idleNow(): IterableIterator<PoolEntry<T>> {
    for (const entry of [...this.#idle]) {
      if (entry.state === 'idle') yield entry;
    }
  }

  #closeIdle(reason: CloseReason): void {
    for (const entry of this.#idleNow()) {
      this.#unpark(entry);
      this.#close(entry, reason, true);
    }
  }

  /** Opens one connection at once, whatever the back-off says, unless a dial is under way or no slot is free. */
  probe(): void {
    if (this.#state === 'closing' || this.#state === 'closed' || this.#entries.size >= this.max) return;
    this.#dialer.probe();
  }

  /** Every connection is checked before it is leased again: there is reason to believe that they have changed. */
  suspectAll(): void {
    this.#suspectAt = this.#clock.now();
  }

  /** Replaces every connection when it is next idle: after a change of credentials, or a fail-over. */
  expireAll(): void {
    this.#generation++;
    this.#closeIdle('expired');
    this.#serve();
  }

  /** Gives out no more connections until `resume()`; acquires wait, and fail with `ERR_POOL_SUSPENDED` at their deadline. */
  suspend(): void {
    if (this.#state === 'running') this.#state = 'suspended';
    this.#picture = undefined;
  }

  /** Ends `suspend()`. */
  resume(): void {
    if (this.#state !== 'suspended') return;
    this.#state = 'running';
    this.#picture = undefined;
    this.#serve();
  }

  /** Changes the bounds at run time; what is too much is closed when idle. */
  resize(size: number, maxOverflow: number): void {
    this.#size = size;
    this.#maxOverflow = maxOverflow;
    for (const entry of this.#idleNow()) {
      if (this.open <= size) break;
      this.#unpark(entry);
      this.#close(entry, 'overflow', true);
    }
    this.#serve();
  }

  /** Starts the end: still serves, but opens nothing ahead of demand any more. */
  drain(): void {
    if (this.#state !== 'running' && this.#state !== 'suspended') return;
    this.#state = 'draining';
    this.#maintenance.stop();
    this.#serve();
  }

  /**
   * Refuses newcomers and whoever waits for somebody else's connection with `ERR_POOL_CLOSED`; resolves when those are
   * settled that are being dialled for, or could be. `undefined`: nobody is.
   */
  finishWaiting(): Promise<void> | undefined {
    if (!this.#serving) return undefined;
    this.#finishing = true;
    this.drain();
    const taken = this.#entries.size - this.#dialer.connecting - this.#idle.length - this.#arriving;
    this.#waiters.rejectBeyond(Math.max(0, this.max - taken), this.#closedError());
    return this.#waiters.settled();
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
    const startedAt = this.#clock.now();
    this.#state = 'closing';
    this.#maintenance.stop();
    this.#dialer.stop();
    const error = this.#closedError();
    const refused = this.#waiters.rejectAll(() => error);
    for (const dial of [...this.#dials]) dial.abandon(error);
    this.#closeIdle('shutdown');
    const destroyed = this.#entries.size === 0 ? [] : await this.#emptied(deadlineMs);
    this.#state = 'closed';
    this.#leakWatch?.stop();
    this.#deadlines.stopWhenIdle();
    return { graceful: destroyed.length === 0, durationMs: this.#clock.now() - startedAt, refused, destroyed };
  }

  /** Waits until every slot is free, by force from the deadline on; returns who had to be forced. */
  #emptied(deadlineMs: number): Promise<Holder[]> {
    return new Promise((resolve) => {
      let destroyed: Holder[] = [];
      const timer = this.#clock.setTimeout(() => {
        destroyed = this.holders();
        for (const entry of [...this.#entries]) this.#destroy(entry);
      }, deadlineMs);
      this.#onEmpty = () => {
        this.#clock.clearTimeout(timer);
        resolve(destroyed);
      };
    });
  }

  /** Takes a connection from whoever has it, at the end of a close. */
  #destroy(entry: PoolEntry<T>): void {
    if (entry.state === 'closing') {
      const closed = (): void => this.#closed(entry);
      return void this.#connector.close(entry.connection as T, false).then(closed, closed);
    }
    if (entry.state === 'leased') this.#endLease(entry, this.#clock.now());
    else this.#leaveStep(entry);
    if (entry.preparedFor?.settled === false) this.#waiters.reject(entry.preparedFor, this.#closedError());
    this.#close(entry, 'shutdown', false);
  }

  /** Takes a connection from its borrower and destroys it; returns whether somebody held it. */
  terminate(connection: number): boolean {
    for (const entry of this.#entries) {
      if (entry.id !== connection || entry.state !== 'leased') continue;
      this.#takeBack(entry, 'broken');
      return true;
    }
    return false;
  }

  /** Who holds connections, longest first. */
  holders(): Holder[] {
    const now = this.#clock.now();
    const holders: Holder[] = [];
    for (const entry of this.#entries) {
      if (entry.state !== 'leased') continue;
      holders.push(describeHolder(entry, now, this.#describe?.(entry.connection as T)));
    }
    return holders.sort((one, other) => other.heldMs - one.heldMs);
  }

  /** An immutable picture of levels and counters. */
  statistics(): PoolStatistics {
    return pictureOf(
      {
        name: this.#options.name,
        state: this.#state === 'closing' ? 'draining' : this.#state,
        open: this.open,
        idle: this.#idle.length,
        connecting: this.#dialer.connecting,
        closing: this.#closing,
        waiting: this.#waiters.length,
        size: this.#size,
        maxOverflow: this.#maxOverflow,
        lastConnectError: this.#connectError?.failure,
        lastLeak: this.#lastLeak,
      },
      this.#counters,
    );
  }

  /** The distributions behind the percentiles. */
  histograms(): PoolHistograms {
    const { wait, use, connect } = this.#counters;
    return { wait: wait.snapshot(), use: use.snapshot(), connect: connect.snapshot() };
  }

  /** @internal */
  leaked(entry: PoolEntry<T>): void {
    this.#counters.leaks++;
    this.#reportLeak(entry, false);
  }

  /** @internal */
  collected(entry: PoolEntry<T>): void {
    if (!entry.leakReported) this.#counters.leaks++;
    this.#reportLeak(entry, true);
    this.#takeBack(entry, 'broken');
  }

  #reportLeak(entry: PoolEntry<T>, collected: boolean): void {
    const report = this.#report(entry, collected);
    this.#lastLeak = leakNotice(report, this.#clock.wallNow());
    this.#observer.leaked?.(report);
  }

  #report(entry: PoolEntry<T>, collected: boolean): ReturnType<typeof leakReport> {
    return leakReport(entry, this.#clock.now(), collected, this.#describe?.(entry.connection as T));
  }

  #closedError(): PoolClosedError {
    const { name } = this.#options;
    return new PoolClosedError(name, `${name}: the pool is closed`);
  }
}

const UNEXPLAINED: DialFailure = Object.freeze({
  permanent: false,
  advice: 'The server can’t be reached or refuses connections.',
});
const ANONYMOUS: AcquireOrigin = Object.freeze({ trace: undefined, label: undefined });
