import type { Clock, Timer } from '../../../core/clock.js';
import { PoolTransactionError } from '../../../core/errors.js';

/** The one deadline of a call, over all its tries. */
export class CallDeadline {
  /** Aborted when it has come, with the call's error as its reason. */
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

  /** What `work` gives, unless the deadline comes first: then its error. */
  async race<Result>(work: Promise<Result>): Promise<Result> {
    const { signal } = this;
    let late!: () => void;
    const deadline = new Promise<never>((_, reject) => {
      late = () => reject(signal.reason as Error);
      if (signal.aborted) late();
      else signal.addEventListener('abort', late, { once: true });
    });
    // Whichever loses has nobody who listens.
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
