import { AcquireWaiter, type WaiterOwner } from './acquire-waiter.js';
import { systemClock, type Clock } from './clock.js';
import type { Connector } from './connector.js';
import { Deadlines } from './deadlines.js';
import { Dialer, type DialerHost } from './dialer.js';
import { PoolClosedError, PoolLeaseReleasedError, PoolQueueFullError } from './errors.js';
import { exhaustionError } from './exhaustion.js';
import { describeHolder, type Holder } from './holders.js';
import { Lease, type LeaseOwner } from './lease.js';
import { LeakWatch } from './leak-watch.js';
import { LinkedList } from './linked-list.js';
import { Maintenance, type MaintenanceHost } from './maintenance.js';
import { PoolEntry } from './pool-entry.js';
import type { AcquireOptions, CloseReport, PoolDependencies, PoolObserver, PoolOptions } from './pool-options.js';
import {
  PoolCounters,
  type CloseReason,
  type ConnectFailure,
  type PoolHistograms,
  type PoolStatistics,
  type PublishedPoolState,
} from './statistics.js';
import { WaitQueue } from './wait-queue.js';

/**
 * `running` ⇄ `suspended`; both → `draining` (still serves, opens nothing ahead of demand) → `closing` (refuses,
 * leases may finish) → `closed`.
 */
export type PoolState = 'running' | 'suspended' | 'draining' | 'closing' | 'closed';

/** How long a polite close may take before the socket is destroyed, in milliseconds. */
const POLITE_CLOSE_MS = 2_000;
/** After this a closing connection's slot is freed whatever its connector does, in milliseconds. */
const CLOSE_GUARD_MS = 3_000;

type Judgement = 'ready' | 'check' | CloseReason;

/**
 * The smallest complete resource pool, in the spirit of jackc/puddle, with what a production pool needs on top:
 * one deadline per acquire, a wait queue served in order of arrival, dials decoupled from borrowers (HikariCP's
 * rule: a borrower waits for the pool alone and takes whichever comes first, a returned or a new connection),
 * pool-wide back-off, checks before use, generations, overflow, background refill.
 *
 * It knows nothing of what it pools: a {@link Connector} opens, checks, resets and closes.
 */
export class Pool<T> implements LeaseOwner<T>, WaiterOwner<T>, DialerHost, MaintenanceHost {
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
  /** Every slot in use: dialling, open or closing. */
  readonly #entries = new Set<PoolEntry<T>>();
  /** Idle connections; the last one was used last and is leased first, so that the surplus ages at the front. */
  readonly #idle = new LinkedList<PoolEntry<T>>();
  readonly #waiters = new WaitQueue<AcquireWaiter<T>>();
  readonly #dials = new Map<PoolEntry<T>, AbortController>();
  #state: PoolState = 'running';
  #size: number;
  #maxOverflow: number;
  #generation = 0;
  #nextId = 1;
  /** Connections that will soon be idle: being checked or reset. */
  #arriving = 0;
  #closing = 0;
  /** Connections proven alive before this are suspects: one of their generation was lost since. */
  #suspectAt = -Infinity;
  #lastConnectError: (ConnectFailure & { readonly error: unknown }) | undefined;
  #closePromise: Promise<CloseReport> | undefined;
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
    this.#deadlines = new Deadlines(this.#clock);
    this.#dialer = new Dialer(this.#clock, this, options.maxConnecting, this.#random);
    this.#maintenance = new Maintenance(this.#clock, this, options);
    if (options.leakDetectionMs > 0) {
      this.#leakWatch = new LeakWatch<T>(options.leakDetectionMs, this.#deadlines, {
        leaked: (entry) => this.#leaked(entry),
        collected: (entry) => this.#collected(entry),
      });
    }
  }

  /** Fills `minIdle` in the background and keeps it filled. Nothing connects before this or the first acquire. */
  start(): void {
    this.#maintenance.start();
    this.#dialer.wake();
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

  /** Idle connections. */
  get idle(): number {
    return this.#idle.length;
  }

  /** The most connections there may be. */
  get max(): number {
    return this.#size + this.#maxOverflow;
  }

  /** The deadlines of this pool, for the room above: one wheel for all. */
  get deadlines(): Deadlines {
    return this.#deadlines;
  }

  /** The last connect failure since a dial succeeded: the real error. */
  get lastConnectError(): unknown {
    return this.#lastConnectError?.error;
  }

  /** When a connection last gave proof of life, on the clock's scale; `undefined` while none is open. */
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
   * somebody waits already, or the idle one has to be checked first.
   */
  tryAcquire(): Lease<T> | undefined {
    const entry = this.#idle.last;
    if (entry === undefined || this.#waiters.length > 0 || this.#connector.prepare !== undefined) return undefined;
    if (this.#state !== 'running' && this.#state !== 'draining') return undefined;
    const now = this.#clock.now();
    if (this.#judge(entry, now) !== 'ready') return undefined;
    this.#unpark(entry);
    return this.#lease(entry, now, 0, this.#leakWatch?.trace(), this.#label?.());
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
    const lease = this.tryAcquire();
    return lease === undefined ? this.#enqueue(options) : Promise.resolve(lease);
  }

  #enqueue(options: AcquireOptions | undefined): Promise<Lease<T>> {
    if (this.#state === 'closing' || this.#state === 'closed') return Promise.reject(this.#closedError());
    if (this.#waiters.length >= this.#options.maxWaiting) {
      this.#counters.queueRejected++;
      return Promise.reject(this.#queueFullError());
    }
    this.#counters.emptyAcquires++;
    const timeoutMs = options?.timeoutMs ?? this.#options.acquireTimeoutMs;
    return new Promise((resolve, reject) => {
      const waiter = new AcquireWaiter<T>(
        this,
        this.#clock.now(),
        timeoutMs,
        this.#leakWatch?.trace(),
        this.#label?.(),
        options?.signal,
        resolve,
        reject,
      );
      this.#deadlines.set(waiter.deadline, timeoutMs);
      this.#waiters.push(waiter);
      this.#serve();
    });
  }

  /** @internal A waiter's deadline has come. */
  expired(waiter: AcquireWaiter<T>): void {
    this.#counters.acquireTimeouts++;
    // Described before the waiter leaves: it is one of those that wait.
    const error = exhaustionError(
      this.statistics(),
      this.#state === 'suspended',
      waiter,
      this.lastConnectError,
      this.holders(),
    );
    this.#waiters.remove(waiter);
    waiter.reject(error);
    this.#observer.timedOut?.(error);
  }

  /** @internal A waiter's signal was aborted. */
  aborted(waiter: AcquireWaiter<T>): void {
    this.#counters.acquireAborted++;
    this.#waiters.remove(waiter);
    this.#deadlines.clear(waiter.deadline);
    waiter.reject(waiter.abortReason);
  }

  /** @internal A lease came back. */
  giveBack(entry: PoolEntry<T>, reason: CloseReason | undefined): void {
    const now = this.#clock.now();
    const useMs = now - entry.leasedAt;
    entry.epoch++;
    this.#counters.released++;
    this.#counters.use.record(useMs);
    if (this.#leakWatch !== undefined) {
      if (entry.leakReported) this.#observer.unleaked?.(this.#leakReport(entry, false));
      this.#leakWatch.forget(entry);
    }
    entry.trace = undefined;
    entry.label = undefined;
    const connection = entry.connection as T;
    this.#observer.released?.(connection, useMs);
    if (reason !== undefined) {
      if (reason === 'query-timeout') this.#suspectAt = now;
      return this.#close(entry, reason, false);
    }
    const verdict = this.#worn(entry, now);
    if (verdict !== undefined) return this.#close(entry, verdict, verdict !== 'broken');
    // A lease from before the last loss proves nothing about the time after it.
    if (entry.leasedAt > this.#suspectAt) entry.verifiedAt = now;
    let reset: CloseReason | undefined | Promise<CloseReason | undefined>;
    try {
      reset = this.#connector.reset?.(connection);
    } catch {
      reset = 'reset';
    }
    if (reset === undefined) return this.#park(entry);
    if (typeof reset === 'string') return this.#close(entry, reset, false);
    this.#reset(entry, reset);
  }

  /** @internal */
  leaseOver(action: 'used' | 'released'): Error {
    return new PoolLeaseReleasedError(
      this.#options.name,
      `${this.#options.name}: the connection was ${action} after it had been given back to the pool`,
    );
  }

  /** What a connection is closed for besides its own state, at release and at acquire. */
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
  #serve(): void {
    while (this.#waiters.length > 0 && (this.#state === 'running' || this.#state === 'draining')) {
      const entry = this.#idle.last;
      if (entry === undefined) break;
      const now = this.#clock.now();
      const judgement = this.#judge(entry, now);
      if (judgement === 'check') {
        // As many connections are on their way as there are waiters: more checks would be a stampede.
        if (this.#arriving >= this.#waiters.length) break;
        this.#unpark(entry);
        this.#check(entry, false);
      } else if (judgement === 'ready') {
        this.#unpark(entry);
        this.#grant(entry, this.#waiters.shift() as AcquireWaiter<T>, now);
      } else {
        this.#unpark(entry);
        this.#close(entry, judgement, judgement !== 'broken');
      }
    }
    this.#dialer.wake();
  }

  #grant(entry: PoolEntry<T>, waiter: AcquireWaiter<T>, now: number): void {
    if (this.#connector.prepare === undefined) return this.#hand(entry, waiter, now);
    let prepared: void | Promise<void>;
    try {
      prepared = this.#connector.prepare(entry.connection as T);
    } catch (error) {
      return this.#prepareFailed(entry, waiter, error);
    }
    if (prepared === undefined) return this.#hand(entry, waiter, now);
    entry.state = 'preparing';
    this.#limit(entry, this.#options.connectTimeoutMs, () =>
      this.#prepareFailed(entry, waiter, new Error(`onAcquire took longer than ${this.#options.connectTimeoutMs} ms`)),
    );
    prepared.then(
      () => {
        if (!this.#stepOver(entry, 'preparing')) return;
        // The waiter may have timed out meanwhile; its connection is for the next one.
        if (waiter.settled || entry.lost) this.#park(entry);
        else this.#hand(entry, waiter, this.#clock.now());
      },
      (error: unknown) => {
        if (this.#stepOver(entry, 'preparing')) this.#prepareFailed(entry, waiter, error);
      },
    );
  }

  #prepareFailed(entry: PoolEntry<T>, waiter: AcquireWaiter<T>, error: unknown): void {
    this.#close(entry, 'invalid', false);
    if (waiter.settled) return;
    this.#deadlines.clear(waiter.deadline);
    waiter.reject(error);
  }

  #hand(entry: PoolEntry<T>, waiter: AcquireWaiter<T>, now: number): void {
    this.#deadlines.clear(waiter.deadline);
    waiter.resolve(this.#lease(entry, now, now - waiter.since, waiter.trace, waiter.label));
  }

  #lease(
    entry: PoolEntry<T>,
    now: number,
    waitMs: number,
    trace: { stack?: string } | undefined,
    label: string | undefined,
  ): Lease<T> {
    entry.state = 'leased';
    entry.leasedAt = now;
    entry.uses++;
    entry.trace = trace;
    entry.label = label;
    this.#counters.acquired++;
    this.#counters.wait.record(waitMs);
    const lease = new Lease<T>(this, entry);
    this.#leakWatch?.watch(entry, lease);
    this.#observer.acquired?.(entry.connection as T, waitMs);
    return lease;
  }

  /** Puts a connection that is fit for a lease among the idle ones, or closes it when it is one too many. */
  #park(entry: PoolEntry<T>): void {
    const now = this.#clock.now();
    const worn = this.#worn(entry, now) ?? (this.#connector.usable(entry.connection as T) ? undefined : 'broken');
    if (worn !== undefined) return this.#close(entry, worn, worn !== 'broken');
    if (this.#waiters.length === 0 && this.open > this.#size) return this.#close(entry, 'overflow', true);
    entry.state = 'idle';
    entry.idleSince = now;
    this.#idle.push(entry);
    this.#connector.parked?.(entry.connection as T, true);
    this.#serve();
  }

  #unpark(entry: PoolEntry<T>): void {
    this.#idle.remove(entry);
    this.#connector.parked?.(entry.connection as T, false);
  }

  /** Pings a connection: before a lease, or in the background, which leaves its idle time as it was. */
  #check(entry: PoolEntry<T>, background: boolean): void {
    const idleSince = entry.idleSince;
    entry.state = 'checking';
    this.#arriving++;
    this.#limit(entry, this.#options.pingTimeoutMs, () => this.#checkFailed(entry));
    (this.#connector.ping as NonNullable<Connector<T>['ping']>)(entry.connection as T).then(
      () => {
        if (!this.#stepOver(entry, 'checking')) return;
        entry.verifiedAt = this.#clock.now();
        this.#park(entry);
        if (background) entry.idleSince = idleSince;
      },
      () => {
        if (this.#stepOver(entry, 'checking')) this.#checkFailed(entry);
      },
    );
  }

  #checkFailed(entry: PoolEntry<T>): void {
    this.#suspectAt = this.#clock.now();
    this.#close(entry, 'invalid', false);
  }

  #reset(entry: PoolEntry<T>, reset: Promise<CloseReason | undefined>): void {
    entry.state = 'resetting';
    this.#arriving++;
    this.#limit(entry, this.#options.pingTimeoutMs, () => this.#close(entry, 'reset', false));
    reset.then(
      (reason) => {
        if (!this.#stepOver(entry, 'resetting')) return;
        if (reason !== undefined) return this.#close(entry, reason, false);
        entry.verifiedAt = this.#clock.now();
        this.#park(entry);
      },
      () => {
        if (this.#stepOver(entry, 'resetting')) this.#close(entry, 'reset', false);
      },
    );
  }

  #limit(entry: PoolEntry<T>, inMs: number, onExpire: () => void): void {
    entry.stepDeadline.onExpire = () => {
      if (entry.state === 'checking' || entry.state === 'resetting') this.#arriving--;
      onExpire();
    };
    this.#deadlines.set(entry.stepDeadline, inMs);
  }

  /** Ends a step; `false` when it was over already: timed out, or its connection closed. */
  #stepOver(entry: PoolEntry<T>, step: 'checking' | 'preparing' | 'resetting'): boolean {
    if (entry.state !== step || entry.stepDeadline.slot === undefined) return false;
    this.#deadlines.clear(entry.stepDeadline);
    if (step !== 'preparing') this.#arriving--;
    return true;
  }

  /** @internal */
  urgentDials(): number {
    if (this.#state !== 'running' && this.#state !== 'draining') return 0;
    const wanted = this.#waiters.length - this.#arriving - this.#dialer.connecting;
    return Math.min(wanted, this.max - this.#entries.size);
  }

  /** @internal */
  backgroundDials(): number {
    if (this.#state !== 'running') return 0;
    const lacking = this.#options.minIdle - this.#idle.length - this.#arriving - this.#dialer.connecting;
    return Math.min(lacking, this.#size - this.#entries.size);
  }

  /** @internal */
  dial(): void {
    const startedAt = this.#clock.now();
    const entry = new PoolEntry<T>(this.#nextId++, this.#generation);
    this.#entries.add(entry);
    const abort = new AbortController();
    this.#dials.set(entry, abort);
    let settled = false;
    const over = (): boolean => {
      if (settled) return false;
      settled = true;
      this.#deadlines.clear(entry.stepDeadline);
      this.#dials.delete(entry);
      return true;
    };
    entry.stepDeadline.onExpire = () => {
      if (!over()) return;
      const error = Object.assign(
        new Error(`no connection could be opened within ${this.#options.connectTimeoutMs} ms`),
        {
          code: 'ETIMEDOUT',
        },
      );
      this.#dialFailed(entry, startedAt, error);
      abort.abort(error);
    };
    abort.signal.addEventListener('abort', () => {
      if (over()) this.#dialAbandoned(entry);
    });
    this.#deadlines.set(entry.stepDeadline, this.#options.connectTimeoutMs);
    const lost = (error?: Error): void => this.#lost(entry, error);
    this.#connector.open({ signal: abort.signal, lost }).then(
      (connection) => {
        if (over()) this.#dialSucceeded(entry, startedAt, connection);
        // Too late: nobody owns it any more.
        else void this.#connector.close(connection, false).catch(ignore);
      },
      (error: unknown) => {
        if (over()) this.#dialFailed(entry, startedAt, error);
      },
    );
  }

  #dialSucceeded(entry: PoolEntry<T>, startedAt: number, connection: T): void {
    const now = this.#clock.now();
    this.#lastConnectError = undefined;
    this.#counters.opened++;
    this.#counters.connect.record(now - startedAt);
    entry.connection = connection;
    entry.openedAt = now;
    entry.verifiedAt = now;
    const lifetime = this.#options.maxLifetimeMs;
    if (lifetime > 0) entry.expiresAt = now + lifetime * (1 - this.#random() * this.#options.lifetimeJitter);
    this.#dialer.succeeded();
    this.#observer.opened?.(connection, now - startedAt);
    this.#park(entry);
    this.#serve();
  }

  #dialFailed(entry: PoolEntry<T>, startedAt: number, error: unknown): void {
    this.#counters.connectErrors++;
    const { code, message } =
      error instanceof Error ? (error as Error & { code?: unknown }) : { code: undefined, message: String(error) };
    this.#lastConnectError = {
      error,
      message: message || String(code ?? error),
      at: this.#clock.wallNow(),
      ...(typeof code === 'string' ? { code } : undefined),
    };
    this.#dialer.failed(startedAt);
    this.#observer.openFailed?.(error);
    this.#gone(entry);
  }

  #dialAbandoned(entry: PoolEntry<T>): void {
    this.#dialer.abandoned();
    this.#gone(entry);
  }

  /** A connection has died by itself. */
  #lost(entry: PoolEntry<T>, error: Error | undefined): void {
    if (entry.lost || entry.connection === undefined) {
      entry.lost = true;
      return;
    }
    if (entry.state === 'closing' || entry.state === 'gone') return;
    entry.lost = true;
    entry.lostError = error;
    this.#suspectAt = this.#clock.now();
    const idle = entry.state === 'idle' || entry.state === 'checking';
    this.#observer.lost?.(entry.connection, error, idle);
    switch (entry.state) {
      case 'idle':
        this.#unpark(entry);
        return this.#close(entry, 'broken', false);
      case 'checking':
      case 'resetting':
        this.#stepOver(entry, entry.state);
        return this.#close(entry, 'broken', false);
      default:
        // Borrowed: its slot is free when the borrower gives it back, so that nobody counts it twice.
        return;
    }
  }

  #close(entry: PoolEntry<T>, reason: CloseReason, politely: boolean): void {
    const connection = entry.connection as T;
    this.#deadlines.clear(entry.stepDeadline);
    entry.state = 'closing';
    this.#closing++;
    this.#counters.closed[reason]++;
    this.#observer.closed?.(connection, reason);
    entry.stepDeadline.onExpire = () => {
      if (!politely) return this.#closed(entry);
      politely = false;
      entry.stepDeadline.onExpire = () => this.#closed(entry);
      this.#deadlines.set(entry.stepDeadline, CLOSE_GUARD_MS);
      void this.#connector.close(connection, false).then(ignore, ignore);
    };
    this.#deadlines.set(entry.stepDeadline, politely ? POLITE_CLOSE_MS : CLOSE_GUARD_MS);
    this.#connector.close(connection, politely).then(
      () => this.#closed(entry),
      () => this.#closed(entry),
    );
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
    else if (this.#state === 'closing') return;
    this.#serve();
  }

  /** @internal One background round; `leaped` tells that the clock or the event loop stood still before it. */
  maintain(now: number, leaped: boolean): void {
    if (leaped) {
      // Nobody could use or answer anything meanwhile: idle connections are suspects, not guilty.
      this.#suspectAt = now;
      for (const entry of this.#idle) entry.idleSince = now;
    }
    const { idleTimeoutMs, keepAliveMs } = this.#options;
    for (const entry of this.#idle) {
      const worn = this.#worn(entry, now);
      const surplus = this.#idle.length > this.#options.minIdle;
      const tooIdle = idleTimeoutMs > 0 && surplus && now - entry.idleSince >= idleTimeoutMs;
      if (worn !== undefined || tooIdle) {
        this.#unpark(entry);
        this.#close(entry, worn ?? 'idle', true);
      } else if (
        keepAliveMs > 0 &&
        now - entry.verifiedAt >= keepAliveMs &&
        this.#connector.ping !== undefined &&
        this.#state !== 'suspended'
      ) {
        this.#unpark(entry);
        this.#check(entry, true);
      }
    }
    this.#dialer.wake();
  }

  /** Opens one connection at once, whatever the back-off says, unless a dial is under way or no slot is free. */
  probe(): void {
    if (this.#state === 'closing' || this.#state === 'closed' || this.#entries.size >= this.max) return;
    this.#dialer.probe();
  }

  /** Replaces every connection when it is next idle: after a change of credentials, or a fail-over. */
  expireAll(): void {
    this.#generation++;
    for (const entry of this.#idle) {
      this.#unpark(entry);
      this.#close(entry, 'expired', true);
    }
    this.#serve();
  }

  /** Gives out no more connections until `resume()`; acquires wait, and fail with `ERR_POOL_SUSPENDED` at their deadline. */
  suspend(): void {
    if (this.#state === 'running') this.#state = 'suspended';
  }

  /** Ends `suspend()`. */
  resume(): void {
    if (this.#state !== 'suspended') return;
    this.#state = 'running';
    this.#serve();
  }

  /** Changes the bounds at run time; what is too much is closed when idle. */
  resize(size: number, maxOverflow: number): void {
    this.#size = size;
    this.#maxOverflow = maxOverflow;
    for (const entry of this.#idle) {
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
    const refused = this.#waiters.length;
    const error = this.#closedError();
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      this.#deadlines.clear(waiter.deadline);
      waiter.reject(error);
    }
    for (const abort of [...this.#dials.values()]) abort.abort(error);
    for (const entry of this.#idle) {
      this.#unpark(entry);
      this.#close(entry, 'shutdown', true);
    }
    let destroyed: Holder[] = [];
    if (this.#entries.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.setTimeout(() => {
          destroyed = this.holders();
          for (const entry of [...this.#entries]) this.#destroy(entry);
        }, deadlineMs);
        this.#onEmpty = () => {
          this.#clock.clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#state = 'closed';
    this.#leakWatch?.stop();
    this.#deadlines.stopWhenIdle();
    return { graceful: destroyed.length === 0, durationMs: this.#clock.now() - startedAt, refused, destroyed };
  }

  /** Takes a connection from whoever has it: at the end of a close. */
  #destroy(entry: PoolEntry<T>): void {
    if (entry.state === 'closing') {
      void this.#connector.close(entry.connection as T, false).then(ignore, ignore);
      return;
    }
    if (entry.state === 'checking' || entry.state === 'resetting') this.#arriving--;
    if (entry.state === 'leased') {
      entry.epoch++;
      this.#counters.released++;
      this.#leakWatch?.forget(entry);
    }
    this.#close(entry, 'shutdown', false);
  }

  /** Takes a connection from its borrower and destroys it; returns whether there was such a borrower. */
  terminate(connection: number): boolean {
    for (const entry of this.#entries) {
      if (entry.id !== connection || entry.state !== 'leased') continue;
      this.giveBack(entry, 'broken');
      return true;
    }
    return false;
  }

  /** Who holds connections, longest first. */
  holders(): Holder[] {
    const now = this.#clock.now();
    const holders: Holder[] = [];
    for (const entry of this.#entries) {
      if (entry.state === 'leased') {
        holders.push(describeHolder(entry, now, this.#describe?.(entry.connection as T)));
      }
    }
    return holders.sort((one, other) => other.heldMs - one.heldMs);
  }

  /** An immutable picture of levels and counters. */
  statistics(): PoolStatistics {
    const open = this.open;
    const counters = this.#counters;
    const failure = this.#lastConnectError;
    return {
      name: this.#options.name,
      state: this.#publishedState(),
      size: open,
      idle: this.#idle.length,
      inUse: open - this.#idle.length,
      connecting: this.#dialer.connecting,
      closing: this.#closing,
      waiting: this.#waiters.length,
      max: this.max,
      overflow: Math.max(0, open - this.#size),
      acquired: counters.acquired,
      released: counters.released,
      acquireTimeouts: counters.acquireTimeouts,
      acquireAborted: counters.acquireAborted,
      queueRejected: counters.queueRejected,
      emptyAcquires: counters.emptyAcquires,
      opened: counters.opened,
      closed: { ...counters.closed },
      connectErrors: counters.connectErrors,
      leaks: counters.leaks,
      waitMs: counters.wait.percentiles(),
      useMs: counters.use.percentiles(),
      connectMs: counters.connect.percentiles(),
      ...(failure === undefined
        ? undefined
        : {
            lastConnectError: {
              message: failure.message,
              at: failure.at,
              ...(failure.code === undefined ? undefined : { code: failure.code }),
            },
          }),
    };
  }

  /** The distributions behind the percentiles. */
  histograms(): PoolHistograms {
    const { wait, use, connect } = this.#counters;
    return { wait: wait.snapshot(), use: use.snapshot(), connect: connect.snapshot() };
  }

  #publishedState(): PublishedPoolState {
    return this.#state === 'closing' ? 'draining' : this.#state;
  }

  #leaked(entry: PoolEntry<T>): void {
    this.#counters.leaks++;
    this.#observer.leaked?.(this.#leakReport(entry, false));
  }

  #collected(entry: PoolEntry<T>): void {
    if (!entry.leakReported) this.#counters.leaks++;
    this.#observer.leaked?.(this.#leakReport(entry, true));
    entry.leakReported = false;
    this.giveBack(entry, 'broken');
  }

  #leakReport(entry: PoolEntry<T>, collected: boolean): import('./pool-options.js').LeakReport {
    const stack = entry.trace?.stack;
    const activity = this.#describe?.(entry.connection as T);
    return {
      connection: entry.id,
      heldMs: this.#clock.now() - entry.leasedAt,
      collected,
      ...(entry.label === undefined ? undefined : { label: entry.label }),
      ...(stack === undefined ? undefined : { stack }),
      ...(activity === undefined ? undefined : { activity }),
    };
  }

  #closedError(): PoolClosedError {
    return new PoolClosedError(this.#options.name, `${this.#options.name}: the pool is closed`);
  }

  #queueFullError(): PoolQueueFullError {
    const { name, maxWaiting } = this.#options;
    return new PoolQueueFullError(
      name,
      `${name}: ${this.#waiters.length} acquires wait already, as many as maxWaiting allows (${maxWaiting}; ` +
        `${this.open - this.#idle.length} of ${this.max} in use)`,
      { details: { waiting: this.#waiters.length, maxWaiting, inUse: this.open - this.#idle.length, max: this.max } },
    );
  }
}

function ignore(): void {
  // A connection that is closed anyway may fail at it.
}
