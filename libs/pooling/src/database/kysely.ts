import {
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type KyselyConfig,
  type PostgresCursorConstructor,
  type QueryCompiler,
} from 'kysely';
import type { DatabasePool } from './database-pool.js';
import { KyselyDriver } from './kysely-driver.js';

/** What {@link createKysely} hands on. */
export interface CreateKyselyOptions {
  readonly plugins?: KyselyConfig['plugins'];
  readonly log?: KyselyConfig['log'];
  /** The class of pg-cursor, for streaming; left out: pg-cursor, where it is installed. */
  readonly cursor?: PostgresCursorConstructor;
}

/** PostgreSQL as Kysely knows it, on a {@link DatabasePool}. */
class DatabasePoolDialect implements Dialect {
  readonly #pool: DatabasePool;
  readonly #cursor: PostgresCursorConstructor | undefined;

  constructor(pool: DatabasePool, cursor: PostgresCursorConstructor | undefined) {
    this.#pool = pool;
    this.#cursor = cursor;
  }

  createDriver(): Driver {
    return new KyselyDriver(this.#pool, this.#cursor);
  }

  createQueryCompiler(): QueryCompiler {
    return new PostgresQueryCompiler();
  }

  createAdapter(): DialectAdapter {
    return new PostgresAdapter();
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new PostgresIntrospector(db);
  }
}

/**
 * `Kysely` over a pool, as `@InjectDb()` gives it. Unlike over Kysely's own dialect, a lost connection never ends the
 * process, and no slot is lost when a begin, commit, rollback, callback or stream throws.
 *
 * `db.destroy()` closes the pool.
 *
 * ```ts
 * const db = createKysely<Database>(pool);
 * await db.selectFrom('orders').selectAll().where('id', '=', id).executeTakeFirst();
 * ```
 */
export function createKysely<DB>(pool: DatabasePool, options: CreateKyselyOptions = {}): Kysely<DB> {
  const { plugins, log, cursor } = options;
  return new Kysely<DB>({
    dialect: new DatabasePoolDialect(pool, cursor),
    ...(plugins === undefined ? undefined : { plugins: [...plugins] }),
    ...(log === undefined ? undefined : { log }),
  });
}
