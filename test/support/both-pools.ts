import type { EventEmitter } from 'node:events';
import pg, { type Pool, type PoolConfig } from 'pg';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';

/** What the callers of either pool see. */
export interface EitherPool {
  readonly pool: Pool;
  /** Events since the start, in order. */
  readonly events: string[];
}

/** One setting under the names of both pools. */
export interface BothOptions {
  readonly theirs?: PoolConfig;
  readonly ours?: DatabaseOptions;
}

const POOL_EVENTS = ['connect', 'acquire', 'release', 'remove', 'error'];

function recordEvents(pool: EventEmitter): string[] {
  const events: string[] = [];
  for (const event of POOL_EVENTS) pool.on(event, () => events.push(event));
  return events;
}

async function outcome(pool: Pool, run: Case): Promise<unknown> {
  const events = recordEvents(pool);
  try {
    return await run({ pool, events });
  } finally {
    if (!pool.ending) await pool.end();
  }
}

type Case = (either: EitherPool) => Promise<unknown>;

/** Runs one case on a `pg.Pool` of three connections. */
export async function onPgPool(url: string, run: Case, config?: PoolConfig): Promise<unknown> {
  return outcome(new pg.Pool({ connectionString: url, max: 3, ...config }), run);
}

/** Runs one case on a `DatabasePool` of three connections. */
export async function onDatabasePool(url: string, run: Case, options?: DatabaseOptions): Promise<unknown> {
  return outcome(new DatabasePool('compatible', { url, size: 3, maxOverflow: 0, ...options }), run);
}

/** Runs one case on both pools; what it returns is for comparing. */
export async function onBothPools(
  url: string,
  run: Case,
  options: BothOptions = {},
): Promise<{ theirs: unknown; ours: unknown }> {
  return {
    theirs: await onPgPool(url, run, options.theirs),
    ours: await onDatabasePool(url, run, options.ours),
  };
}

/** The code of the error that a promise is rejected with. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'no error',
    (error: { code?: unknown }) => error.code,
  );
}

/** The message of the error that a promise is rejected with. */
export async function messageOf(promise: Promise<unknown> | void): Promise<string> {
  return Promise.resolve(promise).then(
    () => 'no error',
    (error: Error) => error.message,
  );
}
