import type { Kysely, KyselyConfig, PostgresCursorConstructor } from 'kysely';
import { packageProblems } from '../../core/optional-package.js';
import { refuseProblems } from '../../core/validation.js';
import { assertPool } from '../database-access.js';
import type { DatabasePool } from '../database-pool.js';
import { requiredKysely, type KyselyModule } from './kysely-module.js';
import { createKyselyOn } from './kysely-on-pool.js';

/**
 * What {@link createKysely} takes; all of it may be left out.
 *
 * ```ts
 * import * as kysely from 'kysely';
 * import PgCursor from 'pg-cursor';
 *
 * const db = createKysely<Database>(pool, {
 *   kysely,
 *   plugins: [new kysely.CamelCasePlugin()],
 *   log: ['error'],
 *   cursor: PgCursor,
 * });
 * ```
 */
export interface CreateKyselyOptions {
  /** Kysely's plugins, as in its own configuration. */
  readonly plugins?: KyselyConfig['plugins'] | undefined;
  /** Kysely's log, as in its own configuration. */
  readonly log?: KyselyConfig['log'] | undefined;
  /** The class of pg-cursor, for streaming; left out: pg-cursor, where it is installed. */
  readonly cursor?: PostgresCursorConstructor | undefined;
  /**
   * The Kysely to use, as `import * as kysely from 'kysely'` gives it; left out: the one that `require('kysely')` gives.
   *
   * Kysely 0.28 has one copy for `import` and one for `require`, and a `NoResultError` of one isn't an instance of the
   * other's. An ES module that compares Kysely's classes hands in the copy that it imports. Kysely 0.29 has one copy.
   */
  readonly kysely?: typeof import('kysely') | undefined;
  /** Whether it reads from the pool's replicas, where there are any, as `@InjectReplicaDb()` does: `false`. */
  readonly replicas?: boolean | undefined;
}

/**
 * Makes a `Kysely` over a pool, as `@InjectDb()` gives it in a Nest application. Unlike over Kysely's own dialect, a lost
 * connection never ends the process, and no slot is lost when a begin, commit, rollback, callback or stream throws.
 *
 * `db.destroy()` closes the pool. Several of them may use one pool.
 *
 * ```ts
 * const pool = new DatabasePool('shop', { url: 'postgres://127.0.0.1/shop' });
 * const db = createKysely<Database>(pool);
 * const order = await db.selectFrom('orders').selectAll().where('id', '=', 7).executeTakeFirst();
 * await pool.close();
 * ```
 *
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`: Kysely isn't installed; the message has the command that installs it.
 * @throws TypeError for what isn't a `DatabasePool` of this copy of the package.
 */
export function createKysely<DB>(pool: DatabasePool, { kysely, ...options }: CreateKyselyOptions = {}): Kysely<DB> {
  const create = createKyselyOn(kysely ?? installedKysely(pool.name));
  assertPool(pool);
  return create<DB>(pool, options);
}

function installedKysely(pool: string): KyselyModule {
  const kysely = requiredKysely();
  refuseProblems(pool, packageProblems('createKysely', kysely));
  return kysely.module;
}
