import type { AcquireOrigin } from './acquire-origin.js';
import type { AcquireTraces } from './acquire-traces.js';
import { presentContext } from './async-context.js';
import { AcquireWaiter, type WaiterOwner } from './acquire-waiter.js';
import type { Clock, Timer } from './clock.js';
import type { Deadlines } from './deadlines.js';
import { PoolQueueFullError } from './errors.js';
import type { Lease } from './lease.js';
import type { EngineAcquireOptions, PoolOptions } from './pool-options.js';
import type { SlowAcquires } from './slow-acquires.js';
import type { PoolCounters } from './statistics.js';
import { WaitQueue } from './wait-queue.js';

/**
 * The process must not end while somebody waits, even when nothing is under way but a pause between dials: a timer keeps
 * it alive. It checks this often whether somebody still waits, in milliseconds.
 */
const KEEP_ALIVE_MS = 250;

/** What the queue asks of its pool. */
export interface AcquireQueueHost<T> {
  /** The error of a waiter whose deadline has come. */
  timeoutError(waiter: AcquireWaiter<T>): Error;
  /** Whether a hook or an observer is called on behalf of those that wait. */
  actsForWaiters(): boolean;
  /** How many connections are in use, and how many there may be: for the error of a full queue. */
  occupancy(): string;
  /** Some that stood aside have come into the queue, and may be served. */
  movedUp(): void;
  readonly traces: AcquireTraces<T>;
}

/**
 * Admission: the acquires that wait, each with one deadline, in order of arrival, bounded in number. Some slow ones stand
 * aside ({@link SlowAcquires}): they wait like the others, but nobody serves them until they have moved into the queue.
 */
export class AcquireQueue<T> implements WaiterOwner<T> {
  readonly #waiters = new WaitQueue<AcquireWaiter<T>>();
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #options: Pick<PoolOptions, 'name' | 'acquireTimeoutMs' | 'maxWaiting'>;
  readonly #counters: PoolCounters;
  readonly #slow: SlowAcquires<T>;
  readonly #host: AcquireQueueHost<T>;
  #arrivals = 0;
  /** How many wait, and how many a hook runs for. */
  #unsettled = 0;
  #onSettled: (() => void) | undefined = undefined;
  #keepAliveTimer: Timer | undefined;

  constructor(
    clock: Clock,
    deadlines: Deadlines,
    options: Pick<PoolOptions, 'name' | 'acquireTimeoutMs' | 'maxWaiting'>,
    counters: PoolCounters,
    slow: SlowAcquires<T>,
    host: AcquireQueueHost<T>,
  ) {
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.#options = options;
    this.#counters = counters;
    this.#slow = slow;
    this.#host = host;
  }

  /** How many may be served: those that stand aside aren't among them. */
  get length(): number {
    return this.#waiters.length;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiters.length + this.#slow.aside;
  }

  /** The waiter that is served next. */
  get first(): AcquireWaiter<T> | undefined {
    return this.#waiters.first;
  }

  /**
   * Puts an acquire at the end, or aside. `traced`: whether a tracer listens to it; `joined` is called once it stands at the
   * end.
   */
  join(
    origin: AcquireOrigin,
    options: EngineAcquireOptions | undefined,
    traced: boolean,
    joined: () => void,
  ): Promise<Lease<T>> {
    if (this.waiting >= this.#options.maxWaiting) {
      this.#counters.queueRejected++;
      const error = this.#fullError();
      this.#host.traces.refused(options?.use ?? 'held', error, traced);
      return Promise.reject(error);
    }
    this.#counters.emptyAcquires++;
    const timeoutMs = options?.timeoutMs ?? this.#options.acquireTimeoutMs;
    return new Promise((resolve, reject) => {
      const now = this.#clock.now();
      const use = options?.use ?? 'held';
      // A tracer that throws refuses the acquire: nothing may have begun by then.
      const trace = this.#host.traces.waits(use, traced, use === 'slow' && !this.#slow.admits(now));
      const waiter = new AcquireWaiter<T>(
        this,
        this.#arrivals++,
        now,
        timeoutMs,
        origin,
        use,
        options?.follows ?? false,
        this.#host.actsForWaiters() ? presentContext() : undefined,
        options?.signal,
        resolve,
        reject,
      );
      waiter.trace = trace;
      const served = this.#admit(waiter);
      this.#unsettled++;
      this.#deadlines.set(waiter, timeoutMs);
      if (served) this.#waiters.push(waiter);
      else this.#slow.standAside(waiter);
      if (this.#keepAliveTimer === undefined) this.#keepAlive();
      if (served) joined();
    });
  }

  /** Whether a waiter comes into the queue; otherwise it has to stand aside. */
  #admit({ use, since }: AcquireWaiter<T>): boolean {
    if (use === 'slow') {
      if (!this.#slow.admits(since)) return false;
      this.#slow.admit();
    } else if (use !== 'own') this.#slow.othersAt = since;
    return true;
  }

  readonly #keepAlive = (): void => {
    this.#keepAliveTimer = this.waiting === 0 ? undefined : this.#clock.setTimeout(this.#keepAlive, KEEP_ALIVE_MS);
    // Others may have stopped coming.
    if (this.moveUp(this.#clock.now())) this.#host.movedUp();
  };

  /** Moves those that need stand aside no longer into the queue; returns whether there were any. */
  moveUp(now: number): boolean {
    return this.#slow.moveUp(this.#waiters, now);
  }

  /** A slow acquire has given its connection back; returns whether that has moved others into the queue. */
  slowEnded(now: number): boolean {
    this.#slow.left();
    return this.moveUp(now);
  }

  /** Takes the waiter that has waited longest. Its deadline and its signal stay in force until it settles. */
  shift(): AcquireWaiter<T> | undefined {
    return this.#waiters.shift();
  }

  /** Puts a waiter back to the front: the connection meant for it has died. */
  putBack(waiter: AcquireWaiter<T>): void {
    this.#waiters.unshift(waiter);
  }

  /** Gives a waiter its lease. */
  resolve(waiter: AcquireWaiter<T>, lease: Lease<T>): void {
    this.#deadlines.clear(waiter);
    waiter.resolve(lease);
    this.#oneSettled();
  }

  /** Refuses a waiter. */
  reject(waiter: AcquireWaiter<T>, error: unknown): void {
    const stoodAside = this.#slow.remove(waiter);
    if (!stoodAside) this.#waiters.remove(waiter);
    this.#deadlines.clear(waiter);
    waiter.reject(error);
    this.#oneSettled();
    if (!stoodAside && waiter.use === 'slow' && this.slowEnded(this.#clock.now())) this.#host.movedUp();
  }

  #oneSettled(): void {
    this.#unsettled--;
    if (this.#unsettled === 0) this.#onSettled?.();
  }

  /** Resolves when nobody waits any more; `undefined`: nobody does now. */
  settled(): Promise<void> | undefined {
    if (this.#unsettled === 0) return undefined;
    return new Promise((resolve) => (this.#onSettled = resolve));
  }

  /** Refuses those who came last, until so many are left. Nobody may stand aside by then. */
  rejectBeyond(kept: number, error: Error): void {
    while (this.#waiters.length > kept) this.reject(this.#waiters.last as AcquireWaiter<T>, error);
  }

  /** Refuses everybody in the queue, each with an error of its own; returns how many. */
  rejectAll(error: () => Error): number {
    const refused = this.waiting;
    // Those that stand aside first: the others would make room for them.
    for (let waiter = this.#slow.first; waiter !== undefined; waiter = this.#slow.first) this.reject(waiter, error());
    for (let waiter = this.#waiters.first; waiter !== undefined; waiter = this.#waiters.first) {
      this.reject(waiter, error());
    }
    if (this.#keepAliveTimer !== undefined) this.#clock.clearTimeout(this.#keepAliveTimer);
    this.#keepAliveTimer = undefined;
    return refused;
  }

  /** A waiter's deadline has come. */
  expired(waiter: AcquireWaiter<T>): void {
    this.#counters.acquireTimeouts++;
    // Described before it leaves: it is one of those that wait.
    const error = this.#host.timeoutError(waiter);
    this.reject(waiter, error);
  }

  /** A waiter's signal was aborted. */
  aborted(waiter: AcquireWaiter<T>): void {
    this.#counters.acquireAborted++;
    this.reject(waiter, waiter.abortReason);
  }

  #fullError(): PoolQueueFullError {
    const { name, maxWaiting } = this.#options;
    return new PoolQueueFullError(
      name,
      `${name}: the queue is full: ${this.waiting} acquires wait already (maxWaiting ${maxWaiting}; ${this.#host.occupancy()})`,
      { details: { waiting: this.waiting, maxWaiting } },
    );
  }
}
