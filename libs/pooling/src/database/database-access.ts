import type { DatabaseLeases } from './database-leases.js';
import type { SingleQueries } from './query/single-queries.js';
import type { TransactionTally } from './transaction-tally.js';

/** The way past a pool's public face: what Kysely over a pool runs on. */
export interface DatabaseAccess {
  /** Begins and ends every lease. */
  readonly leases: DatabaseLeases;
  /** Runs what doesn't care which connection it runs on. */
  readonly queries: SingleQueries;
  /** Counts the transactions that travel by the async context. */
  readonly transactions: TransactionTally;
}

const granted = new WeakMap<object, DatabaseAccess>();

/** Notes what a pool is made of, when it is made. */
export function grantAccess(pool: object, access: DatabaseAccess): void {
  granted.set(pool, access);
}

/**
 * What a pool is made of.
 *
 * @throws TypeError for what isn't a `DatabasePool` of this copy of the package.
 */
export function accessTo(pool: object): DatabaseAccess {
  const access = granted.get(pool);
  if (access !== undefined) return access;
  throw new TypeError('this takes a DatabasePool, made by the same copy of nestjs-pooling');
}
