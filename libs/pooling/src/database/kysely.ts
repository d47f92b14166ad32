import {
  Kysely,
  Log,
  PostgresAdapter,
  PostgresIntrospector,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type KyselyConfig,
  type PostgresCursorConstructor,
  type QueryCompiler,
} from 'kysely';
import { CompiledQueryCache } from './compile/compiled-query-cache.js';
import { PoolQueryCompiler } from './compile/query-compiler.js';
import type { DatabasePool } from './database-pool.js';
import { KyselyDriver } from './kysely-driver.js';
import { PoolQueryExecutor } from './pool-query-executor.js';

/** What {@link createKysely} hands on. */
export interface CreateKyselyOptions {
  readonly plugins?: KyselyConfig['plugins'];
  readonly log?: KyselyConfig['log'];
  /** The class of pg-cursor, for streaming; left out: pg-cursor, where it is installed. */
  readonly cursor?: PostgresCursorConstructor;
}

/** PostgreSQL as Kysely knows it, on a {@link DatabasePool}. */
class DatabasePoolDialect implements Dialect {
  readonly #driver: KyselyDriver;
  readonly #compiled = new CompiledQueryCache();

  constructor(driver: KyselyDriver) {
    this.#driver = driver;
  }

  createDriver(): Driver {
    return this.#driver;
  }

  createQueryCompiler(): QueryCompiler {
    return new PoolQueryCompiler(this.#compiled);
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
  const { plugins = [], log = [], cursor } = options;
  const driver = new KyselyDriver(pool, cursor);
  const dialect = new DatabasePoolDialect(driver);
  const config: KyselyConfig = { dialect, plugins: [...plugins], log };
  // Kysely's own: with its logging, and its ways of acquiring and giving back.
  const pinned = new Kysely<DB>(config).getExecutor();
  const executor = new PoolQueryExecutor(
    {
      queries: pool.queries,
      log: new Log(log),
      compiler: dialect.createQueryCompiler(),
      adapter: dialect.createAdapter(),
      connections: pinned,
    },
    plugins,
  );
  return new Kysely<DB>({ config, dialect, driver, executor });
}
