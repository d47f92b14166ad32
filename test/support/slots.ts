import type { QueryConfig } from 'pg';
import type { DatabasePool } from '#pooling/database/database-pool.js';

/** What became of the slots of a pool that nobody uses. */
export interface Slots {
  /** How many could be had at once and ran a statement. */
  readonly usable: number;
  readonly inUse: number;
  readonly waiting: number;
  /** Connections that were opened, and are neither open nor counted as closed. */
  readonly unaccounted: number;
  /** Leases that never came back. */
  readonly held: number;
}

/** What {@link slotsOf} finds in a pool of `size` when nothing is lost. */
export function noneLost(size: number): Slots {
  return { usable: size, inUse: 0, waiting: 0, unaccounted: 0, held: 0 };
}

/** Takes all slots of a pool at once, and compares its counters: {@link noneLost} when every slot is there. */
export async function slotsOf(pool: DatabasePool): Promise<Slots> {
  const { max } = pool.statistics();
  const clients = await Promise.all(Array.from({ length: max }, () => pool.connect({ timeoutMs: 20_000 })));
  for (const client of clients) await client.query({ text: 'select 1', query_timeout: 20_000 } as QueryConfig);
  for (const client of clients) client.release();
  const { inUse, waiting, size, opened, closed, acquired, released } = pool.statistics();
  const gone = Object.values(closed).reduce((sum, count) => sum + count, 0);
  return { usable: clients.length, inUse, waiting, unaccounted: opened - gone - size, held: acquired - released };
}
