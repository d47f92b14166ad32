import type {
  CompiledQuery,
  KyselyPlugin,
  PluginTransformQueryArgs,
  PluginTransformResultArgs,
  QueryResult,
  RootOperationNode,
  UnknownRow,
} from 'kysely';
import type { QueryText } from '../query/query-forms.js';

/** The ids of queries that aren't to be prepared. */
const UNPREPARED = new WeakSet<object>();

/**
 * Queries with this plugin are never prepared, so that the server makes a custom plan for each. For the few queries whose best
 * plan depends on a value, without waiting until the plan watch notices. It holds in transactions as well.
 *
 * ```ts
 * await db.withPlugin(new UnpreparedPlugin()).selectFrom('events').selectAll().where('tenant', '=', tenant).execute();
 * ```
 */
export class UnpreparedPlugin implements KyselyPlugin {
  /** Marks the query; it is sent as it is. */
  transformQuery({ node, queryId }: PluginTransformQueryArgs): RootOperationNode {
    UNPREPARED.add(queryId);
    return node;
  }

  /** Gives the result as it came. */
  transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    return Promise.resolve(result);
  }
}

/** A query as it is to be run. */
export function textOfCompiled({ sql, queryId }: CompiledQuery): QueryText {
  return UNPREPARED.has(queryId) ? { text: sql, prepare: false } : sql;
}
