import type {
  DatabaseIntrospector,
  Dialect,
  DialectAdapter,
  Driver,
  Kysely,
  KyselyConfig,
  PostgresCursorConstructor,
  QueryCompiler,
} from 'kysely';
import { CompiledQueryCache } from './compile/compiled-query-cache.js';
import { poolQueryCompilerOn, type PoolQueryCompiler } from './compile/query-compiler.js';
import { accessWhenUsed, replicasOfPool } from '../database-access.js';
import type { DatabasePool } from '../database-pool.js';
import { KyselyDriver } from './kysely-driver.js';
import type { KyselyModule } from './kysely-module.js';
import { TransactionsOfPool } from './ambient/transactions-of-pool.js';
import { AmbientAccess } from './ambient/ambient-access.js';
import type { ConnectionWay } from './connection-way.js';
import { poolQueryExecutorOn } from './pool-query-executor.js';
import { ReplicaQueries } from './replicas/replica-queries.js';
import type { ReplicaReads } from '../replicas/replica-reads.js';

/** Options of Kysely over a pool. */
export interface KyselyOnPoolOptions {
  readonly plugins?: KyselyConfig['plugins'];
  readonly log?: KyselyConfig['log'];
  /** The class of pg-cursor, for streaming; left out: pg-cursor, where it is installed. */
  readonly cursor?: PostgresCursorConstructor;
  /** Whether it reads from the pool's replicas, where there are any. */
  readonly replicas?: boolean;
}

/** PostgreSQL as Kysely knows it, on a {@link DatabasePool}. */
class DatabasePoolDialect implements Dialect {
  readonly #kysely: KyselyModule;
  readonly #Compiler: PoolQueryCompiler;
  readonly #driver: KyselyDriver;
  readonly #compiled = new CompiledQueryCache();

  constructor(kysely: KyselyModule, Compiler: PoolQueryCompiler, driver: KyselyDriver) {
    this.#kysely = kysely;
    this.#Compiler = Compiler;
    this.#driver = driver;
  }

  createDriver(): Driver {
    return this.#driver;
  }

  createQueryCompiler(): QueryCompiler {
    return new this.#Compiler(this.#compiled);
  }

  createAdapter(): DialectAdapter {
    return new this.#kysely.PostgresAdapter();
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new this.#kysely.PostgresIntrospector(db);
  }
}

/** Makes a `Kysely` over a pool. */
export type CreateKysely = <DB>(pool: DatabasePool, options?: KyselyOnPoolOptions) => Kysely<DB>;

/**
 * `Kysely` over a pool, as `@InjectDb()` gives it. Unlike over Kysely's own dialect, a lost connection never ends the
 * process, and no slot is lost when a begin, commit, rollback, callback or stream throws.
 *
 * `db.destroy()` closes the pool.
 *
 * ```ts
 * import * as kysely from 'kysely';
 *
 * const db = createKyselyOn(kysely)<Database>(pool);
 * await db.selectFrom('orders').selectAll().where('id', '=', id).executeTakeFirst();
 * ```
 */
export function createKyselyOn(kysely: KyselyModule): CreateKysely {
  let create = creators.get(kysely);
  if (create === undefined) creators.set(kysely, (create = makeCreator(kysely)));
  return create;
}

/** One for each copy of Kysely, so that all databases have the same classes. */
const creators = new WeakMap<KyselyModule, CreateKysely>();

function makeCreator(kysely: KyselyModule): CreateKysely {
  const Compiler = poolQueryCompilerOn(kysely);
  const Executor = poolQueryExecutorOn(kysely);
  return function createKysely<DB>(pool: DatabasePool, options: KyselyOnPoolOptions = {}): Kysely<DB> {
    const { plugins = [], log = [], cursor } = options;
    const access = accessWhenUsed(pool);
    const primary: ConnectionWay = { ...access, pool, log: new kysely.Log(log), cursor, readOnly: false };
    const reads = options.replicas === true ? replicasOfPool(pool)?.reads : undefined;
    const way = reads === undefined ? primary : wayToReplicas(primary, reads);
    const driver = new KyselyDriver(way);
    const dialect = new DatabasePoolDialect(kysely, Compiler, driver);
    const config: KyselyConfig = { dialect, plugins: [...plugins], log };
    const tools = { compiler: dialect.createQueryCompiler(), adapter: dialect.createAdapter() };
    // What reads within a transaction of the database has to see what that has written.
    const ambient = new TransactionsOfPool(way, { config, dialect, driver }, reads === undefined ? undefined : pool);
    const replicas = reads === undefined ? undefined : new ReplicaQueries(reads, way, access.queries);
    const executor = new Executor({ way, tools, ambient, replicas }, plugins);
    return new kysely.Kysely<DB>({ config, dialect, driver, executor });
  };
}

/** The same for what only reads. Its pool stands for the replicas: by that their transactions are told from the database's. */
function wayToReplicas(primary: ConnectionWay, leases: ReplicaReads): ConnectionWay {
  const { pool } = primary;
  const { name, configuration } = pool;
  const replicas = { name, configuration, end: () => pool.end() } as ConnectionWay['pool'];
  return { ...primary, pool: replicas, leases, writes: undefined, readOnly: true };
}

/** Whether a `Kysely` is one that was made over this pool here. */
export function isKyselyOn(pool: DatabasePool, db: object): boolean {
  return AmbientAccess.of(db)?.way.database === pool;
}
