import type { AcquireOrigin } from '../../core/acquire-origin.js';
import type { Clock, Timer } from '../../core/clock.js';
import type { LeaseUse } from '../../core/pool-options.js';
import type { DatabaseLease } from '../../database/database-lease.js';
import type { Turn } from './turn.js';

/** Who wants to hold a test's connection. */
export interface Wanted {
  readonly use: LeaseUse;
  readonly origin: AcquireOrigin;
  readonly turn: Turn | undefined;
}

/** What somebody who waits needs. */
export interface WaitingParts {
  readonly wanted: Wanted;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** It has waited for long enough. */
  late(waiting: WaitingHolder): void;
  /** Nobody waits for it any more. */
  gone(waiting: WaitingHolder): void;
}

/** Somebody who waits for the connection of a test. */
export class WaitingHolder {
  readonly wanted: Wanted;
  readonly lease: Promise<DatabaseLease>;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  readonly #gone: (waiting: WaitingHolder) => void;
  readonly #deadline: Timer;
  #resolve!: (lease: DatabaseLease | Promise<DatabaseLease>) => void;
  #reject!: (error: unknown) => void;

  constructor({ wanted, clock, timeoutMs, signal, late, gone }: WaitingParts) {
    this.wanted = wanted;
    this.#clock = clock;
    this.#signal = signal;
    this.#gone = gone;
    this.lease = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#deadline = clock.setTimeout(() => late(this), timeoutMs);
    signal?.addEventListener('abort', this, { once: true });
  }

  /** The abort signal's listener. */
  handleEvent(): void {
    this.reject(this.#signal?.reason);
  }

  resolve(lease: DatabaseLease | Promise<DatabaseLease>): void {
    this.#settle();
    this.#resolve(lease);
  }

  reject(error: unknown): void {
    this.#settle();
    this.#reject(error);
  }

  #settle(): void {
    this.#clock.clearTimeout(this.#deadline);
    this.#signal?.removeEventListener('abort', this);
    this.#gone(this);
  }
}
