import type { Clock } from '../core/clock.js';
import type { DatabaseLeases } from './database-leases.js';
import type { SingleQueries } from './query/single-queries.js';
import type { StatementTally } from './query/statement-tally.js';
import type { PoolWrites } from './replicas/pool-writes.js';
import type { ReplicaReads } from './replicas/replica-reads.js';
import type { TransactionTally } from './transaction-tally.js';

/** The way past a pool's public face: what Kysely over a pool runs on. */
export interface DatabaseAccess {
  /** Begins and ends every lease. */
  readonly leases: DatabaseLeases;
  /** Runs what doesn't care which connection it runs on. */
  readonly queries: SingleQueries;
  /** Counts what borrowers run, by statement. */
  readonly tally: StatementTally;
  /** Counts ambient transactions. */
  readonly transactions: TransactionTally;
  /** Takes notes of what is written, for those who read from replicas; `undefined`: nobody does. */
  readonly writes: PoolWrites | undefined;
  readonly clock: Clock;
}

/** What a pool with replicas is made of besides. */
export interface ReplicaAccess {
  readonly reads: ReplicaReads;
}

const granted = new WeakMap<object, DatabaseAccess>();
const replicas = new WeakMap<object, ReplicaAccess>();

/** Notes what a pool is made of, when it is made. */
export function grantAccess(pool: object, access: DatabaseAccess, ofReplicas: ReplicaAccess | undefined): void {
  granted.set(pool, access);
  if (ofReplicas !== undefined) replicas.set(pool, ofReplicas);
}

/** How a pool reads from replicas; `undefined`: it has none. */
export function replicasOfPool(pool: object): ReplicaAccess | undefined {
  return replicas.get(pool);
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
  const none = {
    leases: refusing,
    queries: refusing,
    tally: refusing,
    transactions: refusing,
    writes: undefined,
    clock: refusing,
  };
  return granted.get(pool) ?? none;
}

/**
 * What a pool is made of.
 *
 * @throws TypeError for what isn't a `DatabasePool` of this copy of the package.
 */
export function accessOf(pool: object): DatabaseAccess {
  assertPool(pool);
  return granted.get(pool) as DatabaseAccess;
}

/**
 * Refuses what isn't a pool.
 *
 * @throws TypeError for what isn't a `DatabasePool` of this copy of the package.
 */
export function assertPool(pool: object): void {
  if (!granted.has(pool)) throw new TypeError(NOT_A_POOL);
}
