import type { AsyncResource } from 'node:async_hooks';
import type { AcquireOrigin } from './acquire-origin.js';
import type { Lease } from './lease.js';
import type { PendingBorrower } from './pool-entry.js';
import type { LeaseUse } from './pool-options.js';
import type { TracedAcquire } from './traced-acquire.js';
import { TimedWaiter } from './wait-queue.js';

/** What a waiter needs of its pool. */
export interface WaiterOwner<T> {
  expired(waiter: AcquireWaiter<T>): void;
  aborted(waiter: AcquireWaiter<T>): void;
  reject(waiter: AcquireWaiter<T>, error: unknown): void;
}

/** An acquire that could not be served at once: its promise, its one deadline and its abort signal. */
export class AcquireWaiter<T> extends TimedWaiter implements PendingBorrower {
  settled = false;
  /** Whether it had to leave connections to others first. */
  stoodAside = false;
  /** Where somebody listens. */
  trace: TracedAcquire | undefined = undefined;
  readonly #owner: WaiterOwner<T>;
  readonly #resolve: (lease: Lease<T>) => void;
  readonly #reject: (error: unknown) => void;
  readonly #signal: AbortSignal | undefined;

  constructor(
    owner: WaiterOwner<T>,
    /** Counted over all that have waited: whoever came earlier has a lower one. */
    readonly arrival: number,
    readonly since: number,
    readonly timeoutMs: number,
    readonly origin: AcquireOrigin,
    /** What the connection is wanted for: a `shared` one may be used by others at the same time. */
    readonly use: LeaseUse,
    /** Whether it may have a connection on which the end of the last borrower's work isn't answered yet. */
    readonly follows: boolean,
    /** What runs on its behalf runs in it; left out where nothing does. */
    readonly context: AsyncResource | undefined,
    signal: AbortSignal | undefined,
    resolve: (lease: Lease<T>) => void,
    reject: (error: unknown) => void,
  ) {
    super();
    this.#owner = owner;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal = signal;
    signal?.addEventListener('abort', this, { once: true });
  }

  /** Why the caller has aborted. */
  get abortReason(): unknown {
    return this.#signal?.reason;
  }

  /** The abort signal's listener. */
  handleEvent(): void {
    this.#owner.aborted(this);
  }

  /** Its deadline has come. */
  expire(): void {
    this.#owner.expired(this);
  }

  /** Refuses the acquire, wherever it stands. */
  refuse(error: unknown): void {
    this.#owner.reject(this, error);
  }

  resolve(lease: Lease<T>): void {
    this.#settle();
    this.trace?.end();
    this.#resolve(lease);
  }

  reject(error: unknown): void {
    this.#settle();
    this.trace?.end(error);
    this.#reject(error);
  }

  #settle(): void {
    this.settled = true;
    this.#signal?.removeEventListener('abort', this);
  }
}
