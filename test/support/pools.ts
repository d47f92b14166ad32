import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabasePoolDependencies } from '#pooling/database/database-parts.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';

/** Makes a pool. */
export type CreatePool = (options?: DatabaseOptions, dependencies?: DatabasePoolDependencies) => DatabasePool;

/**
 * Pools of that name for the tests of one file, which are closed after each test.
 *
 * ```ts
 * const database = useTestDatabase();
 * const createPool = usePools('orders', () => ({ url: database.url, size: 1 }));
 * ```
 *
 * @param usual their options, unless a test gives others; asked for each of them
 */
export function usePools(name: string, usual: () => DatabaseOptions): CreatePool {
  const open: DatabasePool[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((pool) => pool.close({ deadlineMs: 100 })));
  });
  return (options = {}, dependencies = {}) => {
    const pool = new DatabasePool(name, { ...usual(), ...options }, dependencies);
    open.push(pool);
    return pool;
  };
}
