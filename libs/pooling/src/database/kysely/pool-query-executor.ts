import type {
  CompiledQuery,
  ConnectionProvider,
  DatabaseConnection,
  DefaultQueryExecutor,
  KyselyPlugin,
  QueryExecutor,
  QueryResult,
} from 'kysely';
import type { AcquireOptions } from '../../core/pool-options.js';
import { JoinedConnection } from './ambient/joined-connection.js';
import { innermost, membershipIn, type Membership } from './ambient/membership.js';
import type { TransactionsOfPool } from './ambient/transactions-of-pool.js';
import { AmbientAccess } from './ambient/ambient-access.js';
import { runBatch } from './batch-run.js';
import { presentCollection, type BatchRunner } from './collected-queries.js';
import { connectionExecutorsOn, type ExecutorTools } from './connection-executor.js';
import { promiseOf, type QueryOutcome } from '../query/query-forms.js';
import type { ConnectionWay } from './connection-way.js';
import type { KyselyModule } from './kysely-module.js';
import { kyselyResult } from './kysely-result.js';
import { isLogging, logged } from './logged-queries.js';
import { providedConnection } from './provided-connection.js';
import { querySummary } from './query-summary.js';
import { connectionOn } from './read-only-connection.js';
import { isRead } from './read-query.js';
import type { ReplicaQueries } from './replicas/replica-queries.js';
import { textOfCompiled } from './unprepared-plugin.js';

/** What executors of a pool are made with, besides their plugins. */
export interface PoolExecutorParts {
  readonly way: ConnectionWay;
  readonly tools: ExecutorTools;
  /** Ambient transactions. */
  readonly ambient: TransactionsOfPool;
  /** Runs single queries elsewhere than on the pool; `undefined`: that does. */
  readonly replicas: ReplicaQueries | undefined;
}

/** A class of executors. */
export type PoolQueryExecutor = new (parts: PoolExecutorParts, plugins?: readonly KyselyPlugin[]) => QueryExecutor;

/** Gives a connection of its own for as long as the consumer takes. */
class ConnectionsOfPool implements ConnectionProvider {
  readonly #way: ConnectionWay;

  constructor(way: ConnectionWay) {
    this.#way = way;
  }

  provideConnection<Result>(
    consumer: (connection: DatabaseConnection) => Promise<Result>,
    options?: Pick<AcquireOptions, 'signal'>,
  ): Promise<Result> {
    const { lender } = this.#way.leases;
    return lender === undefined
      ? this.#provide(consumer, options)
      : lender.holding(() => this.#provide(consumer, options));
  }

  async #provide<Result>(
    consumer: (connection: DatabaseConnection) => Promise<Result>,
    options: Pick<AcquireOptions, 'signal'> | undefined,
  ): Promise<Result> {
    const connection = connectionOn(this.#way, await this.#way.leases.acquire({ ...options, follows: true }));
    try {
      return await consumer(connection);
    } finally {
      connection.release();
    }
  }
}

/**
 * Kysely's executor outside of its own transactions. A single query goes to the pool, which runs it on the connection that is
 * free first. Transactions, `db.connection()` and streams lease a connection of their own.
 *
 * In the async context of an ambient transaction, everything runs in that transaction.
 */
export function poolQueryExecutorOn(kysely: KyselyModule): PoolQueryExecutor {
  const onConnection = connectionExecutorsOn(kysely);
  const { DefaultQueryExecutor: Base } = kysely;

  class Executor extends Base {
    readonly #way: ConnectionWay;
    readonly #parts: PoolExecutorParts;
    /** The membership of one of Kysely's `Transaction` objects: its queries belong there in any context. */
    readonly #bound: Membership | undefined;

    constructor(parts: PoolExecutorParts, plugins: readonly KyselyPlugin[] = [], bound?: Membership) {
      const { way, tools } = parts;
      super(tools.compiler, tools.adapter, new ConnectionsOfPool(way), [...plugins]);
      this.#way = way;
      this.#parts = parts;
      this.#bound = bound;
    }

    /** The membership of a query that is made now. */
    get #membership(): Membership | undefined {
      const { database, joins } = this.#parts.ambient;
      const present = membershipIn(database, joins);
      return this.#bound === undefined ? present : this.#bound.of(present);
    }

    get ambient(): AmbientAccess {
      const { ambient } = this.#parts;
      return new AmbientAccess(ambient, (membership) => {
        const executor = new Executor(this.#parts, this.plugins, membership);
        return new kysely.Transaction({ ...ambient.kyselyParts, executor });
      });
    }

    override executeQuery<Row>(
      compiledQuery: CompiledQuery,
      options?: { readonly signal?: AbortSignal },
    ): Promise<QueryResult<Row>> {
      const plain =
        options?.signal === undefined &&
        this.plugins.length === 0 &&
        this.#parts.replicas === undefined &&
        presentCollection() === undefined &&
        this.#membership === undefined;
      return plain ? this.#run(compiledQuery) : this.#executeWithMore(compiledQuery, options);
    }

    async #executeWithMore<Row>(
      compiledQuery: CompiledQuery,
      options: { readonly signal?: AbortSignal } | undefined,
    ): Promise<QueryResult<Row>> {
      // Kysely 0.29 aborts a query by its connection.
      if (options?.signal !== undefined) {
        const execute = super.executeQuery as (query: CompiledQuery, options: object) => Promise<QueryResult<Row>>;
        return execute.call(this, compiledQuery, options);
      }
      const collection = presentCollection();
      const membership = this.#membership;
      let result: QueryResult<Row>;
      if (collection !== undefined) {
        result = await collection.take<Row>(membership?.batches ?? this.#batches, compiledQuery);
      } else if (membership !== undefined) result = await membership.execute<Row>(compiledQuery);
      else if (this.#parts.replicas !== undefined) result = await this.#parts.replicas.execute<Row>(compiledQuery);
      else result = await this.#run<Row>(compiledQuery);
      for (const plugin of this.plugins) {
        result = (await plugin.transformResult({
          result: result as never,
          queryId: compiledQuery.queryId,
        })) as QueryResult<Row>;
      }
      return result;
    }

    #run<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
      const { log } = this.#way;
      return isLogging(log) ? logged(log, query, () => this.#ask<Row>(query)) : this.#ask<Row>(query);
    }

    get #batches(): BatchRunner {
      const way = this.#way;
      return { owner: way, runBatch: (queries) => runBatch(way, queries) };
    }

    #ask<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
      return promiseOf((outcome) => this.#start(query, outcome), kyselyResult<Row>);
    }

    #start(query: CompiledQuery, outcome: QueryOutcome): void {
      const { queries, writes } = this.#way;
      const { traces } = queries;
      const { traced } = traces;
      if (traced || traces.subscribed)
        traces.learn(query.sql, query.parameters.length > 0, () => querySummary(query.query));
      // What Kysely has built is one statement; raw SQL may be several.
      queries.execute(
        textOfCompiled(query),
        query.parameters as unknown[],
        outcome,
        query.query.kind !== 'RawNode',
        writes === undefined || isRead(query),
        traced,
      );
    }

    override async provideConnection<Result>(
      consumer: (connection: DatabaseConnection) => Promise<Result>,
      options?: object,
    ): Promise<Result> {
      const membership = this.#membership;
      if (membership === undefined) {
        const provide = super.provideConnection as (fn: typeof consumer, options?: object) => Promise<Result>;
        return await provide.call(this, consumer, options);
      }
      // Kysely asks for the connection of one of its own transactions.
      if (this.#bound?.begun === true) return await consumer(new JoinedConnection(membership));
      const own = membership.connectionWithin(innermost());
      return await own.run(() => consumer(new JoinedConnection(own)));
    }

    override withConnectionProvider(provider: ConnectionProvider): DefaultQueryExecutor {
      const inTransaction = this.#bound !== undefined || innermost() !== undefined;
      const provided = inTransaction ? providedConnection(provider) : undefined;
      return provided instanceof JoinedConnection
        ? new Executor(this.#parts, this.plugins, provided.membership)
        : onConnection(provider, this.#parts.tools, this.plugins);
    }

    override withPlugins(plugins: ReadonlyArray<KyselyPlugin>): Executor {
      return new Executor(this.#parts, [...this.plugins, ...plugins], this.#bound);
    }

    override withPlugin(plugin: KyselyPlugin): Executor {
      return new Executor(this.#parts, [...this.plugins, plugin], this.#bound);
    }

    override withPluginAtFront(plugin: KyselyPlugin): Executor {
      return new Executor(this.#parts, [plugin, ...this.plugins], this.#bound);
    }

    override withoutPlugins(): Executor {
      return new Executor(this.#parts, [], this.#bound);
    }
  }
  return Executor;
}
