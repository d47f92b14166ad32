import type { Clock } from '../../core/clock.js';
import { PoolTransactionError } from '../../core/errors.js';
import { keepRequests } from '../../core/request-context.js';
import { oneOf, optionProblems, refuseProblems } from '../../core/validation.js';
import { within } from '../../core/within.js';
import { accessOf } from '../../database/database-access.js';
import type { DatabaseLease } from '../../database/database-lease.js';
import type { DatabaseLeases } from '../../database/database-leases.js';
import type { DatabasePool } from '../../database/database-pool.js';
import { SharedConnection } from './shared-connection.js';

/** How long those who hold the connection at a test's end may take to give it back, in milliseconds. */
const END_MS = 1_000;

const RULES = {
  isolationLevel: oneOf('read uncommitted', 'read committed', 'repeatable read', 'serializable'),
};

/** How the transaction of a test is begun. */
export interface TestTransactionOptions {
  /** The isolation level of all that runs in the test; left out: as the server has it. Those that the application asks for are ignored. */
  readonly isolationLevel?: 'read uncommitted' | 'read committed' | 'repeatable read' | 'serializable' | undefined;
}

/** Undoes all that was done with a pool since {@link beginTestTransaction}; a second call does nothing more. */
export interface TestRollback extends AsyncDisposable {
  (): Promise<void>;
}

/**
 * Begins a transaction that a whole test runs in: from here on everything that the application does with that pool, in whichever
 * request, runs one after the other on one connection, and `rollback()` undoes it all.
 *
 * Transactions of the application become savepoints: what they roll back is gone, and what they commit is there for the rest of
 * the test; deferred constraints are checked and hooks of `afterCommit` run as they would. A statement that fails outside of one
 * undoes itself alone.
 *
 * ```ts
 * let rollback: TestRollback;
 * beforeEach(async () => {
 *   rollback = await beginTestTransaction(app.get<DatabasePool>(getDbPoolToken()));
 * });
 * afterEach(() => rollback());
 * ```
 *
 * Different from a database of one's own: `now()` stands still; a transaction in another one (`requires-new`, or a second connection
 * within a callback) is undone with that; sequences go on; NOTIFY is never delivered.
 *
 * @throws PoolTransactionError `ERR_POOL_TRANSACTION_FORBIDDEN`: one is open on that pool. What `pool.connect()` throws.
 * While it is open, `ERR_POOL_TRANSACTION_FORBIDDEN` for what can't run in a transaction, `CREATE DATABASE`, `LISTEN` and the like, and
 * `ERR_POOL_ACQUIRE_TIMEOUT` for whoever waits for a connection that is held by one who has run nothing for three seconds.
 */
export async function beginTestTransaction(
  pool: DatabasePool,
  options: TestTransactionOptions = {},
): Promise<TestRollback> {
  const { leases, clock } = accessOf(pool);
  refuseProblems(pool.name, optionProblems(RULES, options));
  const { isolationLevel } = options;
  if (leases.lender !== undefined || beginning.has(leases)) {
    throw new PoolTransactionError(
      pool.name,
      `${pool.name}: a test's transaction is open on this pool: await the rollback() that beginTestTransaction() has given first. ` +
        'Tests that run at the same time need a database each: cloneDatabase()',
      { code: 'ERR_POOL_TRANSACTION_FORBIDDEN' },
    );
  }
  keepRequests();
  beginning.add(leases);
  try {
    const lease = await leases.acquire({ use: 'own' });
    try {
      await lease.connection.run(isolationLevel === undefined ? 'begin' : `begin isolation level ${isolationLevel}`);
    } catch (error) {
      leases.giveBack(lease);
      throw error;
    }
    return new TestTransaction(pool, leases, lease, clock).rollback;
  } finally {
    beginning.delete(leases);
  }
}

/** Whose transaction isn't begun yet. */
const beginning = new WeakSet<DatabaseLeases>();

/** A transaction that a test runs in. */
class TestTransaction {
  readonly rollback: TestRollback;
  readonly #leases: DatabaseLeases;
  readonly #lease: DatabaseLease;
  readonly #shared: SharedConnection;
  readonly #clock: Clock;
  #ended: Promise<void> | undefined = undefined;

  constructor(pool: DatabasePool, leases: DatabaseLeases, lease: DatabaseLease, clock: Clock) {
    this.#leases = leases;
    this.#lease = lease;
    this.#clock = clock;
    this.#shared = new SharedConnection({
      pool,
      connection: lease.connection,
      clock,
      end: () => {
        this.#shared.closed = true;
        void this.#end();
      },
    });
    const end = (): Promise<void> => this.#end();
    this.rollback = Object.assign(() => end(), { [Symbol.asyncDispose]: end });
    leases.lender = this.#shared;
  }

  #end(): Promise<void> {
    return (this.#ended ??= this.#rollBack());
  }

  async #rollBack(): Promise<void> {
    const shared = this.#shared;
    const lease = this.#lease;
    const { connection } = lease;
    const finished = await this.#quiet();
    this.#leases.lender = undefined;
    shared.giveUp();
    if (!finished) {
      // What runs is cancelled, and the server undoes the rest with the end of the connection.
      connection.abandon('broken');
      await connection.ended;
    } else if (connection.alive) {
      await connection.run('rollback').catch(() => connection.abandon('broken'));
    }
    this.#leases.giveBack(lease);
  }

  /** Whether nobody holds the connection any more, in time. */
  async #quiet(): Promise<boolean> {
    const shared = this.#shared;
    if (await within(this.#clock, END_MS, shared.quiet())) return true;
    const { holders } = shared;
    if (holders.length > 0) {
      process.emitWarning(
        `${shared.name}: a test has ended while ${holders.join(', ')} held a connection: it is taken away, and what it did is undone`,
        { code: 'NESTJS_POOLING_TEST_TRANSACTION' },
      );
    }
    shared.takeAway();
    return await within(this.#clock, END_MS, shared.quiet());
  }
}
