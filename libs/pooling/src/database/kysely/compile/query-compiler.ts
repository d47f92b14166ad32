import type {
  CompiledQuery,
  LimitNode,
  OperationNode,
  PrimitiveValueListNode,
  QueryCompiler,
  QueryId,
  RootOperationNode,
  ValueNode,
} from 'kysely';
import type { KyselyModule } from '../kysely-module.js';
import type { CompiledQueryCache } from './compiled-query-cache.js';

/** A class of query compilers. */
export type PoolQueryCompiler = new (cache: CompiledQueryCache) => QueryCompiler;

/**
 * Kysely's compiler for PostgreSQL, with two differences. A query that differs from an earlier one in the values of its
 * parameters alone isn't compiled again.
 *
 * And a limit is written into the text. A generic plan holds for any value of its parameters, so that with `limit $1` the
 * server assumes a tenth of all rows: for a page of twenty out of a join it then sorts the whole join. Pages come in few
 * sizes, so that the texts stay few.
 */
export function poolQueryCompilerOn({ PostgresQueryCompiler }: KyselyModule): PoolQueryCompiler {
  return class extends PostgresQueryCompiler {
    readonly #cache: CompiledQueryCache;
    /** The nodes of the query being compiled whose values are parameters, with the number of each one's first. */
    readonly #places = new Map<object, number>();

    constructor(cache: CompiledQueryCache) {
      super();
      this.#cache = cache;
    }

    override compileQuery(query: RootOperationNode, queryId: QueryId): CompiledQuery {
      const found = this.#cache.find(query);
      if (found !== undefined) return { query, queryId, sql: found.sql, parameters: found.parameters };
      try {
        const compiled = super.compileQuery(query, queryId);
        this.#cache.add(query, compiled, this.#places);
        return compiled;
      } finally {
        this.#places.clear();
      }
    }

    protected override visitValue(node: ValueNode): void {
      if (node.immediate !== true) this.#note(node);
      super.visitValue(node);
    }

    protected override visitPrimitiveValueList(node: PrimitiveValueListNode): void {
      this.#note(node);
      super.visitPrimitiveValueList(node);
    }

    #note(node: OperationNode): void {
      this.#places.set(node, this.numParameters);
    }

    protected override visitLimit(node: LimitNode): void {
      const { limit } = node;
      if (!isValue(limit) || !isCount(limit.value)) return super.visitLimit(node);
      this.append('limit ');
      this.append(String(limit.value));
    }
  };
}

function isValue(node: OperationNode): node is ValueNode {
  return node.kind === 'ValueNode';
}

function isCount(value: unknown): value is number | bigint {
  return (Number.isSafeInteger(value) || typeof value === 'bigint') && (value as number | bigint) >= 0;
}
