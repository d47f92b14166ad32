import type { AcquireOrigin } from './acquire-origin.js';
import type { AsyncResource } from 'node:async_hooks';
import type { AcquireQueue } from './acquire-queue.js';
import type { AcquireTraces } from './acquire-traces.js';
import type { AcquireWaiter } from './acquire-waiter.js';
import type { Clock } from './clock.js';
import type { Closer } from './closer.js';
import type { Connector } from './connector.js';
import type { Dialling } from './dialling.js';
import { PoolLeaseReleasedError } from './errors.js';
import type { Fitness } from './fitness.js';
import type { Lease, LeaseOwner } from './lease.js';
import type { Leases } from './leases.js';
import { poolClosedError, type LifeCycle } from './life-cycle.js';
import type { PoolEntry } from './pool-entry.js';
import type { LeaseUse, PoolObserver } from './pool-options.js';
import type { PoolParts } from './pool-parts.js';
import type { PoolReport } from './pool-report.js';
import type { Sharing } from './sharing.js';
import type { SlowAcquires } from './slow-acquires.js';
import type { Slots } from './slots.js';
import type { CloseReason } from './statistics.js';
import type { Steps } from './steps.js';
import { Visits } from './visits.js';

/** What leases are made with, besides the parts of the pool. */
export interface LeasingParts<T> extends PoolParts<T> {
  readonly leases: Leases<T>;
  readonly sharing: Sharing<T>;
  readonly steps: Steps<T>;
  readonly closer: Closer<T>;
  readonly dialling: Dialling<T>;
  readonly report: PoolReport<T>;
}

/**
 * Where connections and borrowers meet: gives idle connections to whoever asks, takes them back, and serves those who
 * wait in order of arrival from whichever comes first, a returned or a new connection.
 */
export class Leasing<T> implements LeaseOwner<T> {
  readonly #clock: Clock;
  readonly #closer: Closer<T>;
  readonly #connector: Connector<T>;
  readonly #dialling: Dialling<T>;
  readonly #fitness: Fitness<T>;
  readonly #leases: Leases<T>;
  readonly #life: LifeCycle;
  readonly #observer: PoolObserver<T>;
  readonly #report: PoolReport<T>;
  readonly #sharing: Sharing<T>;
  readonly #slots: Slots<T>;
  readonly #slow: SlowAcquires<T>;
  readonly #steps: Steps<T>;
  readonly #traces: AcquireTraces<T>;
  readonly #waiters: AcquireQueue<T>;
  readonly #name: string;
  /** Questions of the pool's owner, which come before the waiters. */
  readonly visits: Visits<T>;

  constructor(parts: LeasingParts<T>) {
    this.#clock = parts.clock;
    this.#closer = parts.closer;
    this.#connector = parts.connector;
    this.#dialling = parts.dialling;
    this.#fitness = parts.fitness;
    this.#leases = parts.leases;
    this.#life = parts.life;
    this.#observer = parts.observer;
    this.#report = parts.report;
    this.#sharing = parts.sharing;
    this.#slots = parts.slots;
    this.#slow = parts.slow;
    this.#steps = parts.steps;
    this.#traces = parts.traces;
    this.#waiters = parts.waiters;
    this.#name = parts.options.name;
    this.visits = new Visits(parts.slots, parts.steps, { visited: this.#checked, failed: this.#checkFailed });
  }

  /**
   * A lease that can be had at once, if there is one.
   *
   * @param traced whether a tracer listens to it, where that is known.
   * @param known who acquires, where that was captured before.
   */
  tryAcquire(use: LeaseUse, traced?: boolean, known?: AcquireOrigin): Lease<T> | undefined {
    if (this.#waiters.length > 0 || !this.#life.lending || this.#prepares(use)) return undefined;
    const now = this.#clock.now();
    if (use === 'slow') {
      if (!this.#slow.admits(now)) return undefined;
    } else if (use !== 'own') this.#slow.othersAt = now;
    const entry = this.#slots.newestIdle;
    if (entry === undefined) return use === 'shared' ? this.#joinOthers(now, traced) : undefined;
    if (this.#fitness.judge(entry, now) !== 'ready') return undefined;
    const origin = known ?? this.#leases.origin(use, traced);
    if (use === 'slow') this.#slow.admit();
    return use === 'shared'
      ? this.#leases.beginShared(this, entry, now, origin)
      : this.#leases.begin(this, entry, now, use, origin);
  }

  /** Whether a hook has to run first. */
  #prepares(use: LeaseUse): boolean {
    return this.#connector.prepare !== undefined && use !== 'own';
  }

  #joinOthers(now: number, traced: boolean | undefined): Lease<T> | undefined {
    const entry = this.#sharing.leastShared(now);
    if (entry === undefined) return undefined;
    const lease = this.#leases.beginShared(this, entry, now, this.#leases.origin('shared', traced));
    if (this.#slots.used < this.#slots.kept) this.#dialling.sharedForLack();
    return lease;
  }

  /** Serves waiters from the idle connections, and lets the dialer see what is still wanted. */
  readonly serve = (): void => {
    while (this.#waiters.length > 0 && this.#life.serving) {
      const now = this.#clock.now();
      const entry = this.#slots.newestIdle;
      if (entry === undefined) {
        if (!this.#serveShared(now)) break;
        continue;
      }
      const judgement = this.#fitness.judge(entry, now);
      // Each waiter has a connection under way already: don't check more.
      if (judgement === 'check' && this.#slots.arriving >= this.#waiters.length) break;
      if (judgement === 'check') this.#steps.ping(entry, this.#checked, this.#checkFailed);
      else if (judgement === 'ready') this.#grant(entry, this.#waiters.shift() as AcquireWaiter<T>, now);
      else this.#closer.retire(entry, judgement);
    }
    this.#dialling.wake();
  };

  /** Lets the first waiter share a connection, if a shared one will do; returns whether it has. */
  #serveShared(now: number): boolean {
    const waiter = this.#waiters.first;
    if (waiter?.use !== 'shared' || this.#prepares('shared')) return false;
    const entry = this.#sharing.leastShared(now);
    if (entry === undefined) return false;
    this.#waiters.shift();
    if (waiter.trace !== undefined) this.#traces.granted(waiter.trace, entry, waiter);
    this.#waiters.resolve(waiter, this.#leases.beginShared(this, entry, now, waiter.origin, waiter));
    return true;
  }

  #grant(entry: PoolEntry<T>, waiter: AcquireWaiter<T>, now: number): void {
    const { prepare } = this.#connector;
    if (prepare === undefined || !this.#prepares(waiter.use)) return this.#hand(entry, waiter, now);
    this.#slots.step(entry, 'preparing');
    entry.preparedFor = waiter;
    let prepared: void | Promise<void>;
    try {
      prepared = (waiter.context as AsyncResource).runInAsyncScope(prepare, this.#connector, entry.connection as T);
    } catch (error) {
      return this.#prepareFailed(entry, error);
    }
    if (prepared === undefined) return this.#hand(entry, waiter, now);
    this.#steps.prepare(entry, prepared, () => this.#prepared(entry, waiter), this.#prepareFailed);
  }

  #prepared(entry: PoolEntry<T>, waiter: AcquireWaiter<T>): void {
    const fit = !entry.lost && !this.#life.ending;
    if (fit && !waiter.settled) return this.#hand(entry, waiter, this.#clock.now());
    entry.preparedFor = undefined;
    if (!waiter.settled) {
      // Its connection has died under way: it is the next to be served again.
      if (this.#life.ending) waiter.refuse(poolClosedError(this.#name));
      else this.#waiters.putBack(waiter);
    }
    this.park(entry, this.#clock.now(), true);
  }

  readonly #prepareFailed = (entry: PoolEntry<T>, error: unknown): void => {
    const waiter = entry.preparedFor;
    entry.preparedFor = undefined;
    if (waiter?.settled === false) waiter.refuse(error);
    this.#closer.destroy(entry, 'invalid');
  };

  #hand(entry: PoolEntry<T>, waiter: AcquireWaiter<T>, now: number): void {
    const { use, origin } = waiter;
    entry.preparedFor = undefined;
    const shared = use === 'shared' && !this.#prepares(use);
    if (waiter.trace !== undefined) this.#traces.granted(waiter.trace, entry, waiter);
    const lease = shared
      ? this.#leases.beginShared(this, entry, now, origin, waiter)
      : this.#leases.begin(this, entry, now, use, origin, waiter);
    this.#waiters.resolve(waiter, lease);
    if (shared && this.#waiters.length > 0) this.serve();
  }

  /**
   * Puts a connection among the idle ones, or gives it to the first waiter where it was `proven` alive just now; closes
   * it when it isn't fit or is one too many.
   */
  park(entry: PoolEntry<T>, now: number, proven: boolean): void {
    const unfit = this.#fitness.unfitReason(entry, now);
    if (unfit !== undefined) return this.#closer.retire(entry, unfit);
    if (this.#slots.overfull(this.#waiters.length > 0)) return this.#closer.retire(entry, 'overflow');
    if (this.visits.waiting) return this.visits.begin(entry, undefined);
    if (proven && this.#waiters.length > 0 && this.#life.serving) {
      // A second check would never end where every connection is checked before every lease.
      return this.#grant(entry, this.#waiters.shift() as AcquireWaiter<T>, now);
    }
    this.#slots.park(entry, now);
    if (this.#waiters.length > 0) this.serve();
  }

  readonly #checked = (entry: PoolEntry<T>): void => {
    const now = this.#clock.now();
    entry.verifiedAt = now;
    this.park(entry, now, true);
  };

  readonly #checkFailed = (entry: PoolEntry<T>): void => {
    this.#fitness.suspectAll(this.#clock.now());
    this.#closer.destroy(entry, 'invalid');
  };

  /** Pings an idle connection in the background, which leaves its idle time as it was. */
  keepAlive(entry: PoolEntry<T>): void {
    this.#steps.ping(entry, this.#keptAlive, this.#checkFailed);
  }

  readonly #keptAlive = (entry: PoolEntry<T>): void => {
    const { idleSince } = entry;
    this.#checked(entry);
    entry.idleSince = idleSince;
  };

  giveBack(entry: PoolEntry<T>, reason: CloseReason | undefined): void {
    if (entry.leakReported) this.#report.unleaked(entry);
    this.takeBack(entry, reason);
  }

  handOn(entry: PoolEntry<T>): boolean {
    const waiter = this.#waiters.first;
    const { handOn } = this.#connector;
    if (handOn === undefined || waiter?.follows !== true || this.#prepares(waiter.use)) return false;
    // Its end lets in one that stands aside, who may have come before.
    if (entry.use === 'slow') return false;
    if (!this.#life.serving || this.visits.waiting || this.#slots.overfull(true) || entry.leakReported) return false;
    const now = this.#clock.now();
    const fit = this.#fitness.retireReason(entry, now) === undefined && this.#fitness.provenByLease(entry);
    if (!fit || !handOn.call(this.#connector, entry.connection as T, now - entry.leasedAt)) return false;
    this.#waiters.shift();
    this.#leases.end(entry, now);
    this.#hand(entry, waiter, now);
    return true;
  }

  giveBackShare(entry: PoolEntry<T>, since: number, reason: CloseReason | undefined): void {
    entry.closeReason ??= reason;
    const now = this.#clock.now();
    const from = this.#sharing.useSince(entry, since, now);
    if (entry.shares === 1) {
      entry.leasedAt = from;
      return this.giveBack(entry, entry.closeReason);
    }
    const overfull = this.#slots.overfull(this.#waiters.length > 0);
    const closes = entry.closeReason !== undefined || entry.lost || overfull || this.visits.claims(entry);
    this.#sharing.leave(entry, closes);
    this.#leases.ended(entry, now - from);
    if (!closes && this.#waiters.length > 0) this.serve();
  }

  leaseOver(action: 'used' | 'released'): Error {
    return new PoolLeaseReleasedError(
      this.#name,
      `${this.#name}: a connection was ${action} after it had been given back`,
    );
  }

  /** Ends the leases of a connection, whoever ends them; with a reason it is closed. */
  takeBack(entry: PoolEntry<T>, reason: CloseReason | undefined): void {
    const now = this.#clock.now();
    const movedUp = this.#leases.end(entry, now);
    this.#takenBack(entry, reason, now);
    // This connection may be closed or reset, while another one is idle.
    if (movedUp) this.serve();
  }

  #takenBack(entry: PoolEntry<T>, reason: CloseReason | undefined, now: number): void {
    if (reason === 'query-timeout') this.#fitness.suspectAll(now);
    if (reason !== undefined) return this.#closer.destroy(entry, reason);
    const retired = this.#fitness.retireReason(entry, now);
    if (retired !== undefined) return this.#closer.retire(entry, retired);
    const proven = this.#fitness.provenByLease(entry);
    if (proven) entry.verifiedAt = now;
    let reset: CloseReason | undefined | Promise<CloseReason | undefined>;
    try {
      reset = this.#connector.reset?.(entry.connection as T, entry.use === 'own');
    } catch {
      reset = 'reset';
    }
    if (reset === undefined) return this.park(entry, now, proven);
    if (typeof reset === 'string') return this.#closer.destroy(entry, reset);
    this.#steps.reset(entry, reset, this.#wasReset, this.#resetFailed);
  }

  readonly #wasReset = (entry: PoolEntry<T>, reason: CloseReason | undefined): void => {
    if (reason === undefined) this.#checked(entry);
    else this.#closer.destroy(entry, reason);
  };

  readonly #resetFailed = (entry: PoolEntry<T>): void => {
    this.#closer.destroy(entry, 'reset');
  };

  /** A connection has died by itself; told once or more. */
  lost(entry: PoolEntry<T>, error: Error | undefined): void {
    const { state } = entry;
    if (entry.lost || state === 'closing' || state === 'gone') return;
    entry.lost = true;
    // Still dialling: the dial fails, or the pool finds its connection dead.
    if (entry.connection === undefined) return;
    this.#fitness.suspectAll(this.#clock.now());
    this.#observer.lost?.(entry.connection, error, state === 'idle' || state === 'checking');
    if (entry.shares > 0) this.#sharing.exclude(entry);
    // A borrowed one keeps its slot until its borrower gives it back.
    if (state === 'idle' || state === 'checking' || state === 'resetting') this.#closer.destroy(entry, 'broken');
  }
}
