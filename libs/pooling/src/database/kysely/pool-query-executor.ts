import type {
  CompiledQuery,
  ConnectionProvider,
  DefaultQueryExecutor,
  DialectAdapter,
  KyselyPlugin,
  Log,
  QueryCompiler,
  QueryExecutor,
  QueryResult,
} from 'kysely';
import type { QueryResult as PgQueryResult } from 'pg';
import type { KyselyModule } from './kysely-module.js';
import { kyselyResult } from './kysely-result.js';
import { pinnedQueryExecutorOn } from './pinned-query-executor.js';
import { querySummary } from './query-summary.js';
import type { SingleQueries } from '../query/single-queries.js';
import { textOfCompiled } from './unprepared-plugin.js';

/** What an executor runs single queries with. */
export interface SingleQueryWay {
  readonly queries: SingleQueries;
  readonly log: Log;
  readonly compiler: QueryCompiler;
  readonly adapter: DialectAdapter;
  /** Connections of their own, for transactions, streams and whoever asks for one. */
  readonly connections: ConnectionProvider;
}

/** A class of executors. */
export type PoolQueryExecutor = new (way: SingleQueryWay, plugins?: readonly KyselyPlugin[]) => QueryExecutor;

/**
 * Kysely's way to the database outside a transaction: a single query asks the pool to run it, on whichever connection is
 * free first, instead of leasing one, running and giving it back. Transactions, `db.connection()` and streams hold a
 * connection of their own, as ever.
 */
export function poolQueryExecutorOn(kysely: KyselyModule): PoolQueryExecutor {
  const pinnedOn = pinnedQueryExecutorOn(kysely);
  const { DefaultQueryExecutor } = kysely;

  class Executor extends DefaultQueryExecutor {
    readonly #way: SingleQueryWay;

    constructor(way: SingleQueryWay, plugins: readonly KyselyPlugin[] = []) {
      super(way.compiler, way.adapter, way.connections, [...plugins]);
      this.#way = way;
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
      const { log } = this.#way;
      const logged = log.isLevelEnabled('query') || log.isLevelEnabled('error');
      const answer = logged ? await this.#runLogged(compiledQuery) : await this.#run(compiledQuery);
      let result = kyselyResult<Row>(answer);
      for (const plugin of this.plugins) {
        result = (await plugin.transformResult({
          result: result as never,
          queryId: compiledQuery.queryId,
        })) as QueryResult<Row>;
      }
      return result;
    }

    #run(query: CompiledQuery): Promise<PgQueryResult> {
      const { traces } = this.#way.queries;
      if (traces.heard) traces.learn(query.sql, query.parameters.length > 0, () => querySummary(query.query));
      // What Kysely has built is one statement; raw SQL may be several.
      return this.#way.queries.run(
        textOfCompiled(query),
        query.parameters as unknown[],
        query.query.kind !== 'RawNode',
      );
    }

    async #runLogged(query: CompiledQuery): Promise<PgQueryResult> {
      const { log } = this.#way;
      const startedAt = performance.now();
      const duration = (): number => performance.now() - startedAt;
      try {
        const answer = await this.#run(query);
        await log.query(() => ({ level: 'query', query, queryDurationMillis: duration() }));
        return answer;
      } catch (error) {
        await log.error(() => ({ level: 'error', error, query, queryDurationMillis: duration() }));
        throw error;
      }
    }

    override withConnectionProvider(provider: ConnectionProvider): DefaultQueryExecutor {
      return pinnedOn(provider, this.#way.compiler, this.#way.adapter, this.plugins);
    }

    override withPlugins(plugins: ReadonlyArray<KyselyPlugin>): Executor {
      return new Executor(this.#way, [...this.plugins, ...plugins]);
    }

    override withPlugin(plugin: KyselyPlugin): Executor {
      return new Executor(this.#way, [...this.plugins, plugin]);
    }

    override withPluginAtFront(plugin: KyselyPlugin): Executor {
      return new Executor(this.#way, [plugin, ...this.plugins]);
    }

    override withoutPlugins(): Executor {
      return new Executor(this.#way);
    }
  }
  return Executor;
}
