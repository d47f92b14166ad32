import type { DatabaseLeases } from './database-leases.js';
import type { SingleQueries } from './query/single-queries.js';
import type { TransactionTally } from './transaction-tally.js';

/** The way past a pool's public face: what Kysely over a pool runs on. */
export interface DatabaseAccess {
  /** Begins and ends every lease. */
  readonly leases: DatabaseLeases;
  /** Runs what doesn't care which connection it runs on. */
  readonly queries: SingleQueries;
  /** Counts ambient transactions. */
  readonly transactions: TransactionTally;
}

const granted = new WeakMap<object, DatabaseAccess>();

/** Notes what a pool is made of, when it is made. */
export function grantAccess(pool: object, access: DatabaseAccess): void {
  granted.set(pool, access);
}

const NOT_A_POOL = 'this takes a DatabasePool, made by the same copy of nestjs-pooling';

/** Each part of what isn't a pool of this copy, such as a test's stand-in. It throws when it is used, not before. */
const refusing = new Proxy(
  {},
  {
    get(): never {
      throw new TypeError(NOT_A_POOL);
    },
  },
) as never;

/** The parts of a pool. Those of a stand-in throw a `TypeError` when they are used. */
export function accessWhenUsed(pool: object): DatabaseAccess {
  return granted.get(pool) ?? { leases: refusing, queries: refusing, transactions: refusing };
}

/**
 * Refuses what isn't a pool.
 *
 * @throws TypeError for what isn't a `DatabasePool` of this copy of the package.
 */
export function assertPool(pool: object): void {
  if (!granted.has(pool)) throw new TypeError(NOT_A_POOL);
}
