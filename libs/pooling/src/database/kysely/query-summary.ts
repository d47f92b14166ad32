import type { OperationNode, RootOperationNode, SchemableIdentifierNode, TableNode } from 'kysely';
import type { QuerySummary } from '../query/query-traces.js';

/** The conventions' bound, in characters. */
const LONGEST = 255;
/** Deeper parts of a tree aren't in the summary. */
const DEEPEST = 32;

/** The parts that come first in a summary, in this order. */
const FIRST = ['with', 'into', 'table', 'from', 'using', 'joins'] as const;
/** Parts that name columns and values, and repeat tables with them. */
const PASSED_OVER: ReadonlySet<string> = new Set([
  'ReferenceNode',
  'ColumnNode',
  'ValueNode',
  'PrimitiveValueListNode',
  'IdentifierNode',
  'CommonTableExpressionNameNode',
]);

const QUERIES: Readonly<Record<string, string>> = {
  SelectQueryNode: 'SELECT',
  InsertQueryNode: 'INSERT',
  UpdateQueryNode: 'UPDATE',
  DeleteQueryNode: 'DELETE',
  MergeQueryNode: 'MERGE',
};

/**
 * What a query does and to what, in few words and in few kinds, from the tree that Kysely has built:
 * `SELECT orders customers`, `INSERT orders SELECT carts`
 * (https://opentelemetry.io/docs/specs/semconv/database/database-spans/#generating-a-summary-of-the-query). `undefined` for raw SQL.
 */
export function querySummary(query: RootOperationNode): QuerySummary | undefined {
  if (query.kind === 'RawNode') return undefined;
  const words: string[] = [];
  const tables: string[] = [];
  const definition = QUERIES[query.kind] === undefined ? definitionOf(query.kind) : undefined;
  if (definition !== undefined) words.push(definition);
  collect(query, words, tables, 0);
  const operation = words[0] as string;
  const collection = tables.length === 1 ? tables[0] : undefined;
  return { summary: cut(words), operation, collection };
}

/** `CREATE TABLE` of `CreateTableNode`. */
function definitionOf(kind: string): string {
  return kind
    .replace(/Node$/, '')
    .replace(/(?<=[a-z])(?=[A-Z])/g, ' ')
    .toUpperCase();
}

function collect(node: OperationNode, words: string[], tables: string[], depth: number): void {
  if (PASSED_OVER.has(node.kind) || depth > DEEPEST) return;
  if (node.kind === 'TableNode') {
    const name = nameOf((node as TableNode).table);
    words.push(name);
    tables.push(name);
    return;
  }
  const operation = QUERIES[node.kind];
  if (operation !== undefined) words.push(operation);
  const parts = node as unknown as Readonly<Record<string, unknown>>;
  for (const name of FIRST) collectPart(parts[name], words, tables, depth);
  for (const name in parts) {
    if (!(FIRST as readonly string[]).includes(name)) collectPart(parts[name], words, tables, depth);
  }
}

function collectPart(part: unknown, words: string[], tables: string[], depth: number): void {
  if (Array.isArray(part)) for (const each of part) collectPart(each, words, tables, depth + 1);
  else if (typeof part === 'object' && part !== null && typeof (part as { kind?: unknown }).kind === 'string') {
    collect(part as OperationNode, words, tables, depth + 1);
  }
}

function nameOf({ schema, identifier }: SchemableIdentifierNode): string {
  return schema === undefined ? identifier.name : `${schema.name}.${identifier.name}`;
}

/** Whole words only. */
function cut(words: readonly string[]): string {
  let summary = '';
  for (const word of words) {
    if (summary.length + word.length >= LONGEST) break;
    summary += summary === '' ? word : ` ${word}`;
  }
  return summary;
}
