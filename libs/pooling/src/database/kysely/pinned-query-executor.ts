import type { ConnectionProvider, DialectAdapter, KyselyPlugin, QueryCompiler, DefaultQueryExecutor } from 'kysely';
import type { KyselyModule } from './kysely-module.js';
import { TransactionScope } from './transaction-scope.js';

/** Makes an executor on what provides one connection: that itself, or an executor that Kysely has put around such a one. */
export type PinnedQueryExecutor = (
  provider: ConnectionProvider,
  compiler: QueryCompiler,
  adapter: DialectAdapter,
  plugins: readonly KyselyPlugin[],
) => DefaultQueryExecutor;

/** Kysely's own executor for what holds a connection, with the scope of a transaction between the two. */
export function pinnedQueryExecutorOn({ DefaultQueryExecutor }: KyselyModule): PinnedQueryExecutor {
  class Executor extends DefaultQueryExecutor {
    readonly #provider: ConnectionProvider;
    readonly #compiler: QueryCompiler;
    readonly #adapter: DialectAdapter;

    constructor(
      provider: ConnectionProvider,
      compiler: QueryCompiler,
      adapter: DialectAdapter,
      plugins: readonly KyselyPlugin[],
    ) {
      super(compiler, adapter, provider, [...plugins]);
      this.#provider = provider;
      this.#compiler = compiler;
      this.#adapter = adapter;
    }

    override withConnectionProvider(provider: ConnectionProvider): Executor {
      return pinnedOn(provider, this.#compiler, this.#adapter, this.plugins);
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
      return new Executor(this.#provider, this.#compiler, this.#adapter, plugins);
    }
  }

  function pinnedOn(
    provider: ConnectionProvider,
    compiler: QueryCompiler,
    adapter: DialectAdapter,
    plugins: readonly KyselyPlugin[],
  ): Executor {
    const scoped = 'executeQuery' in provider ? provider : new TransactionScope(provider);
    return new Executor(scoped, compiler, adapter, plugins);
  }
  return pinnedOn;
}
