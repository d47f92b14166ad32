import type { Clock, Timer } from '../../../core/clock.js';
import { PoolTransactionError } from '../../../core/errors.js';

/** The one deadline of a call, over all its tries. */
export class CallDeadline {
  /** Aborted at the deadline; its reason is the error of the call. */
  readonly signal: AbortSignal;
  readonly #clock: Clock;
  readonly #timer: Timer;

  constructor(name: string, timeoutMs: number, clock: Clock) {
    const abort = new AbortController();
    this.signal = abort.signal;
    this.#clock = clock;
    this.#timer = clock.setTimeout(() => {
      const message = `${name}: the transaction took longer than its timeoutMs of ${timeoutMs} ms`;
      abort.abort(new PoolTransactionError(name, message, { code: 'ERR_POOL_TRANSACTION_TIMEOUT' }));
    }, timeoutMs);
  }

  /** Settles as `work` does, or rejects at the deadline with its error. */
  async race<Result>(work: Promise<Result>): Promise<Result> {
    const { signal } = this;
    let late!: () => void;
    const deadline = new Promise<never>((_, reject) => {
      late = () => reject(signal.reason as Error);
      if (signal.aborted) late();
      else signal.addEventListener('abort', late, { once: true });
    });
    // Nobody listens to the one that loses the race.
    deadline.catch(() => undefined);
    work.catch(() => undefined);
    try {
      return await Promise.race([work, deadline]);
    } finally {
      signal.removeEventListener('abort', late);
    }
  }

  clear(): void {
    this.#clock.clearTimeout(this.#timer);
  }
}
