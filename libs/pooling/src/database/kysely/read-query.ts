import type { CompiledQuery, SelectQueryNode } from 'kysely';

/**
 * Whether a query is known to write nothing: Kysely has built it, as a SELECT, and nothing in its WITH changes rows. SQL isn't
 * parsed: what is raw may do anything.
 */
export function isRead({ query }: CompiledQuery): boolean {
  if (query.kind !== 'SelectQueryNode') return false;
  const { with: named } = query as SelectQueryNode;
  return named === undefined || named.expressions.every(({ expression }) => expression.kind === 'SelectQueryNode');
}
