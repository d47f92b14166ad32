import type { Clock, Timer } from '../../core/clock.js';
import type { Deadlines } from '../../core/deadlines.js';
import type { HttpPool } from './http-pool.js';

/** An exchange that was still under way when `close()` ran out of time. */
export interface HttpHolder {
  readonly method: string;
  readonly origin: string;
  /** Since its request was made, in milliseconds. */
  readonly sinceMs: number;
}

/** What `close()` did. */
export interface HttpCloseReport {
  /** Whether every exchange ended by itself. */
  readonly graceful: boolean;
  readonly durationMs: number;
  /** Requests that waited and were refused. */
  readonly refused: number;
  /** Exchanges that were still under way at the deadline; their connections were destroyed. */
  readonly destroyed: readonly HttpHolder[];
}

/** What a client closes. */
export interface Closable {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly pool: HttpPool;
  /** Exchanges between two attempts, which are unknown to the pool. */
  readonly pausing: Iterable<{ fail(error: unknown): void }>;
}

/** Closes everything that a client has, once. */
export async function closePool(host: Closable, deadlineMs: number): Promise<HttpCloseReport> {
  const { clock, pool, deadlines, pausing } = host;
  const startedAt = clock.now();
  let refused = pool.close();
  for (const exchange of pausing) {
    exchange.fail(pool.closedError());
    refused++;
  }
  const destroyed: HttpHolder[] = [];
  await new Promise<void>((resolve) => {
    let timer: Timer | undefined;
    const gone = (): void => {
      if (timer !== undefined) clock.clearTimeout(timer);
      resolve();
    };
    const late = (): void => {
      timer = undefined;
      const now = clock.now();
      for (const connection of pool.connections.busy()) {
        for (const { request, startedAt: since } of connection.exchanges) {
          destroyed.push({ method: request.method, origin: request.origin, sinceMs: now - since });
        }
      }
      pool.connections.destroy(pool.closedError());
    };
    pool.dials.whenGone(gone);
    if (!pool.dials.hasSockets) return;
    if (deadlineMs <= 0) late();
    else timer = clock.setTimeout(late, deadlineMs);
  });
  pool.closed();
  deadlines.stopWhenIdle();
  return { graceful: destroyed.length === 0, durationMs: clock.now() - startedAt, refused, destroyed };
}
