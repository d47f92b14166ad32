import type { DatabasePool } from '#pooling/database/database-pool.js';

/** A closed loop of callers, each querying again as soon as it is answered. */
export class Load {
  readonly failures: (Error & { code?: string })[] = [];
  succeeded = 0;
  #running = true;
  readonly #callers: Promise<void>[];

  constructor(callers: number, query: () => Promise<unknown>, pauseMs = 0) {
    this.#callers = Array.from({ length: callers }, () => this.#call(query, pauseMs));
  }

  /** Runs `select` on a pool. */
  static onPool(pool: DatabasePool, callers: number, sql = 'select pg_sleep(0.002)'): Load {
    return new Load(callers, () => pool.query(sql));
  }

  /** Waits until as many more queries have succeeded. */
  async progress(more: number): Promise<void> {
    const target = this.succeeded + more;
    while (this.succeeded < target && this.#running) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** Ends the load; resolves when every caller has got its answer. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#callers);
  }

  async #call(query: () => Promise<unknown>, pauseMs: number): Promise<void> {
    while (this.#running) {
      try {
        await query();
        this.succeeded++;
      } catch (error) {
        this.failures.push(error as Error);
        // Its pool was closed under it, as at the end of a test that failed: it would fail for ever, and at once.
        if ((error as { code?: unknown }).code === 'ERR_POOL_CLOSED') return;
      }
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
