import { PostgresQueryCompiler, ValueNode, type LimitNode } from 'kysely';

/**
 * Kysely's PostgreSQL, but for one thing: a limit stands in the text. A prepared statement is planned for any value of its
 * parameters, so that with `limit $1` the server has to guess, and takes a tenth of all rows: for a page of twenty out of
 * a join it then sorts the whole join. Pages come in few sizes, so that texts stay few.
 */
export class PoolQueryCompiler extends PostgresQueryCompiler {
  protected override visitLimit(node: LimitNode): void {
    const { limit } = node;
    if (!ValueNode.is(limit) || !isCount(limit.value)) return super.visitLimit(node);
    this.append('limit ');
    this.append(String(limit.value));
  }
}

function isCount(value: unknown): value is number | bigint {
  return (Number.isSafeInteger(value) || typeof value === 'bigint') && (value as number | bigint) >= 0;
}
