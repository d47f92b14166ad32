import type { Clock } from '../core/clock.js';
import type { Pool } from '../core/pool.js';
import type { CloseReport } from '../core/pool-options.js';
import { within } from '../core/within.js';
import type { DatabaseParts } from './database-parts.js';
import type { DatabaseReplicas } from './database-replicas.js';

/** The end of a pool, with its replicas: in one of two ways, and once. */
export class DatabaseEnd {
  readonly #parts: DatabaseParts;
  readonly #replicas: DatabaseReplicas | undefined;
  readonly #deadlineMs: number;
  #report: Promise<CloseReport> | undefined;

  /** @param deadlineMs how long leases may finish where nobody says it, in milliseconds. */
  constructor(parts: DatabaseParts, replicas: DatabaseReplicas | undefined, deadlineMs: number) {
    this.#parts = parts;
    this.#replicas = replicas;
    this.#deadlineMs = deadlineMs;
  }

  /** Whether one of the ways was taken. */
  get begun(): boolean {
    return this.#report !== undefined;
  }

  /** Refuses waiters, and lets leases finish until the deadline. */
  close(deadlineMs = this.#deadlineMs): Promise<CloseReport> {
    if (this.#report !== undefined) return this.#report;
    const { engine, ping } = this.#parts;
    const report = this.#begin(() => engine.close(deadlineMs), deadlineMs);
    ping.poolClosed();
    return report;
  }

  /** {@link close}, which first serves the acquires that a connection is being dialled for. */
  afterWaiting(): Promise<CloseReport> {
    const { engine, clock } = this.#parts;
    return this.#report ?? this.#begin(() => closeAfterWaiting(engine, clock, this.#deadlineMs), this.#deadlineMs);
  }

  #begin(close: () => Promise<CloseReport>, deadlineMs: number): Promise<CloseReport> {
    const { budget, leases } = this.#parts;
    leases.lender?.end();
    const closed = close();
    const { set } = this.#replicas ?? {};
    this.#report = set === undefined ? closed : closedTogether([closed, ...set.close(deadlineMs)]);
    budget?.leave();
    return this.#report;
  }
}

/** Closes a pool by a deadline, in milliseconds. It first serves the acquires that a connection is being dialled for. */
function closeAfterWaiting(
  engine: Pick<Pool<unknown>, 'finishWaiting' | 'close'>,
  clock: Clock,
  deadlineMs: number,
): Promise<CloseReport> {
  const served = engine.finishWaiting();
  if (served === undefined) return engine.close(deadlineMs);
  const startedAt = clock.now();
  return within(clock, deadlineMs, served).then(() =>
    engine.close(Math.max(0, deadlineMs - (clock.now() - startedAt))),
  );
}

/** One report of pools that end at the same time. */
async function closedTogether(closing: readonly Promise<CloseReport>[]): Promise<CloseReport> {
  const reports = await Promise.all(closing);
  return {
    graceful: reports.every(({ graceful }) => graceful),
    durationMs: Math.max(...reports.map(({ durationMs }) => durationMs)),
    refused: reports.reduce((sum, { refused }) => sum + refused, 0),
    destroyed: reports.flatMap(({ destroyed }) => destroyed),
  };
}
