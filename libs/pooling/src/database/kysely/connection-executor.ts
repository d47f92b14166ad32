import type {
  CompiledQuery,
  ConnectionProvider,
  DefaultQueryExecutor,
  DialectAdapter,
  KyselyPlugin,
  QueryCompiler,
  QueryResult,
} from 'kysely';
import { presentCollection } from './collected-queries.js';
import { ConnectionScope } from './connection-scope.js';
import { KyselyConnection } from './kysely-connection.js';
import type { KyselyModule } from './kysely-module.js';
import { providedConnection } from './provided-connection.js';

/** What Kysely hands to an executor with a query from 0.29 on. */
interface ExecuteOptions {
  readonly signal?: AbortSignal;
}

type Execute = <Row>(query: CompiledQuery, options?: unknown) => Promise<QueryResult<Row>>;
type Stream = <Row>(
  query: CompiledQuery,
  chunkSize: number,
  options?: unknown,
) => AsyncIterableIterator<QueryResult<Row>>;

/** What Kysely's executors are made with, besides their plugins. */
export interface ExecutorTools {
  readonly compiler: QueryCompiler;
  readonly adapter: DialectAdapter;
}

/** Makes an executor on a provider of a connection: one of Kysely's, or an executor that Kysely has put around one of these. */
export type MakeConnectionExecutor = (
  provider: ConnectionProvider,
  tools: ExecutorTools,
  plugins: readonly KyselyPlugin[],
) => DefaultQueryExecutor;

/**
 * Kysely's executor for transactions and `db.connection()`. It hands each statement to the connection at once, without
 * waiting for the answer of the one before.
 */
export function connectionExecutorsOn({ DefaultQueryExecutor: Base }: KyselyModule): MakeConnectionExecutor {
  class Executor extends Base {
    readonly #scope: ConnectionScope;
    readonly #tools: ExecutorTools;

    constructor(scope: ConnectionScope, tools: ExecutorTools, plugins: readonly KyselyPlugin[]) {
      super(tools.compiler, tools.adapter, scope, [...plugins]);
      this.#scope = scope;
      this.#tools = tools;
    }

    override executeQuery<Row>(query: CompiledQuery, options?: unknown): Promise<QueryResult<Row>> {
      const plain = this.plugins.length === 0 && presentCollection() === undefined;
      if (!plain || (options as ExecuteOptions | undefined)?.signal !== undefined)
        return this.#executeWithMore<Row>(query, options);
      try {
        return this.#scope.run<Row>(query);
      } catch (error) {
        // It isn't a compiled query: as Kysely's own executor, this one rejects.
        return Promise.reject(error as Error);
      }
    }

    async #executeWithMore<Row>(query: CompiledQuery, options: unknown): Promise<QueryResult<Row>> {
      // Kysely 0.29 aborts a query by cancelling what runs on the connection: nothing else may run there.
      const { signal } = (options ?? {}) as ExecuteOptions;
      if (signal !== undefined)
        return (await (this.#alone.executeQuery as Execute).call(this.#alone, query, options)) as QueryResult<Row>;
      const collection = presentCollection();
      let result = await (collection === undefined
        ? this.#scope.run<Row>(query)
        : collection.take<Row>(this.#scope, query));
      for (const plugin of this.plugins) {
        result = (await plugin.transformResult({
          result: result as never,
          queryId: query.queryId,
        })) as QueryResult<Row>;
      }
      return result;
    }

    override stream<Row>(
      query: CompiledQuery,
      chunkSize: number,
      options?: unknown,
    ): AsyncIterableIterator<QueryResult<Row>> {
      return (this.#alone.stream as Stream).call(this.#alone, query, chunkSize, options) as AsyncIterableIterator<
        QueryResult<Row>
      >;
    }

    get #alone(): DefaultQueryExecutor {
      return new Base(this.#tools.compiler, this.#tools.adapter, this.#scope.alone, [...this.plugins]);
    }

    override withConnectionProvider(provider: ConnectionProvider): DefaultQueryExecutor {
      // Kysely wraps the provider to check before each statement whether the transaction is over. The scope checks that itself.
      if ('executeQuery' in provider) return this;
      return on(provider, this.#tools, this.plugins);
    }

    override withPlugins(plugins: ReadonlyArray<KyselyPlugin>): Executor {
      return this.#with([...this.plugins, ...plugins]);
    }

    override withPlugin(plugin: KyselyPlugin): Executor {
      return this.#with([...this.plugins, plugin]);
    }

    override withPluginAtFront(plugin: KyselyPlugin): Executor {
      return this.#with([plugin, ...this.plugins]);
    }

    override withoutPlugins(): Executor {
      return this.#with([]);
    }

    #with(plugins: readonly KyselyPlugin[]): Executor {
      return new Executor(this.#scope, this.#tools, plugins);
    }
  }

  function on(
    provider: ConnectionProvider,
    tools: ExecutorTools,
    plugins: readonly KyselyPlugin[],
  ): DefaultQueryExecutor {
    const connection = providedConnection(provider);
    return connection instanceof KyselyConnection
      ? new Executor(new ConnectionScope(connection), tools, plugins)
      : new Base(tools.compiler, tools.adapter, provider, [...plugins]);
  }

  return on;
}
