import type {
  CompiledQuery,
  ConnectionProvider,
  DatabaseConnection,
  DefaultQueryExecutor,
  KyselyPlugin,
  QueryExecutor,
  QueryResult,
} from 'kysely';
import type { QueryResult as PgQueryResult } from 'pg';
import type { AcquireOptions } from '../../core/pool-options.js';
import { runBatch } from './batch-run.js';
import { presentCollection, type BatchRunner } from './collected-queries.js';
import { connectionExecutorsOn, type ExecutorTools } from './connection-executor.js';
import { KyselyConnection, type ConnectionWay } from './kysely-connection.js';
import type { KyselyModule } from './kysely-module.js';
import { kyselyResult } from './kysely-result.js';
import { isLogging, logged } from './logged-queries.js';
import { querySummary } from './query-summary.js';
import { textOfCompiled } from './unprepared-plugin.js';

/** A class of executors. */
export type PoolQueryExecutor = new (
  way: ConnectionWay,
  tools: ExecutorTools,
  plugins?: readonly KyselyPlugin[],
) => QueryExecutor;

/** Gives a connection of its own for as long as the consumer takes. */
class ConnectionsOfPool implements ConnectionProvider {
  readonly #way: ConnectionWay;

  constructor(way: ConnectionWay) {
    this.#way = way;
  }

  async provideConnection<Result>(
    consumer: (connection: DatabaseConnection) => Promise<Result>,
    options?: Pick<AcquireOptions, 'signal'>,
  ): Promise<Result> {
    const connection = new KyselyConnection(this.#way, await this.#way.leases.acquire(options));
    try {
      return await consumer(connection);
    } finally {
      connection.release();
    }
  }
}

/**
 * Kysely's way to the database outside a transaction: a single query asks the pool to run it, on whichever connection is
 * free first, instead of leasing one, running and giving it back. Transactions, `db.connection()` and streams hold a
 * connection of their own, as ever.
 */
export function poolQueryExecutorOn(kysely: KyselyModule): PoolQueryExecutor {
  const onConnections = connectionExecutorsOn(kysely);
  const { DefaultQueryExecutor: Base } = kysely;

  class Executor extends Base {
    readonly #way: ConnectionWay;
    readonly #tools: ExecutorTools;

    constructor(way: ConnectionWay, tools: ExecutorTools, plugins: readonly KyselyPlugin[] = []) {
      super(tools.compiler, tools.adapter, new ConnectionsOfPool(way), [...plugins]);
      this.#way = way;
      this.#tools = tools;
    }

    override async executeQuery<Row>(
      compiledQuery: CompiledQuery,
      options?: { readonly signal?: AbortSignal },
    ): Promise<QueryResult<Row>> {
      // Kysely 0.29 aborts a query by its connection.
      if (options?.signal !== undefined) {
        const execute = super.executeQuery as (query: CompiledQuery, options: object) => Promise<QueryResult<Row>>;
        return execute.call(this, compiledQuery, options);
      }
      const collection = presentCollection();
      let result =
        collection === undefined
          ? kyselyResult<Row>(await this.#run(compiledQuery))
          : await collection.take<Row>(this.#batches, compiledQuery);
      for (const plugin of this.plugins) {
        result = (await plugin.transformResult({
          result: result as never,
          queryId: compiledQuery.queryId,
        })) as QueryResult<Row>;
      }
      return result;
    }

    #run(query: CompiledQuery): Promise<PgQueryResult> {
      const { log } = this.#way;
      return isLogging(log) ? logged(log, query, () => this.#ask(query)) : this.#ask(query);
    }

    get #batches(): BatchRunner {
      const way = this.#way;
      return { owner: way, runBatch: (queries) => runBatch(way, queries) };
    }

    #ask(query: CompiledQuery): Promise<PgQueryResult> {
      const { traces } = this.#way.queries;
      if (traces.heard) traces.learn(query.sql, query.parameters.length > 0, () => querySummary(query.query));
      // What Kysely has built is one statement; raw SQL may be several.
      return this.#way.queries.run(
        textOfCompiled(query),
        query.parameters as unknown[],
        query.query.kind !== 'RawNode',
      );
    }

    override withConnectionProvider(provider: ConnectionProvider): DefaultQueryExecutor {
      return onConnections.on(provider, this.#tools, this.plugins);
    }

    override withPlugins(plugins: ReadonlyArray<KyselyPlugin>): Executor {
      return new Executor(this.#way, this.#tools, [...this.plugins, ...plugins]);
    }

    override withPlugin(plugin: KyselyPlugin): Executor {
      return new Executor(this.#way, this.#tools, [...this.plugins, plugin]);
    }

    override withPluginAtFront(plugin: KyselyPlugin): Executor {
      return new Executor(this.#way, this.#tools, [plugin, ...this.plugins]);
    }

    override withoutPlugins(): Executor {
      return new Executor(this.#way, this.#tools);
    }
  }
  return Executor;
}
