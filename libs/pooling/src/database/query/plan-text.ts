import { showText } from '../../core/shown-text.js';
import { withoutLiterals } from './query-words.js';

/** What rows have to meet, and what they are ordered or grouped by, in the order in which it is shown under its step. */
const CONDITIONS = [
  'Index Cond',
  'Recheck Cond',
  'TID Cond',
  'Hash Cond',
  'Merge Cond',
  'Join Filter',
  'Filter',
  'One-Time Filter',
] as const;
const KEYS = ['Sort Key', 'Group Key'] as const;

/** One step of a plan, as `EXPLAIN (FORMAT JSON)` gives it. */
export interface PlanNode
  extends
    Readonly<Partial<Record<(typeof CONDITIONS)[number], string>>>,
    Readonly<Partial<Record<(typeof KEYS)[number], readonly string[]>>> {
  readonly 'Node Type'?: string;
  readonly 'Join Type'?: string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly Alias?: string;
  readonly 'Total Cost'?: number;
  readonly 'Plan Rows'?: number;
  readonly Plans?: readonly PlanNode[];
}

/**
 * A plan as lines, each step under the one that takes its rows: `→ Seq Scan on orders (cost 155, 9000 rows)`. Without the
 * values that are written into its conditions.
 */
export function planText(plan: PlanNode): string {
  const lines: string[] = [];
  write(plan, 0, lines);
  return lines.join('\n');
}

function write(node: PlanNode, depth: number, lines: string[]): void {
  const indent = '  '.repeat(depth);
  const join = node['Join Type'];
  const index = node['Index Name'];
  const relation = node['Relation Name'];
  const what = [
    node['Node Type'] ?? 'Step',
    ...(join === undefined || join === 'Inner' ? [] : [`(${join.toLowerCase()})`]),
    ...(index === undefined ? [] : [`using ${index}`]),
    ...(relation === undefined ? [] : [`on ${relation}`]),
  ].join(' ');
  const add = (line: string): void => void lines.push(indent + showText(line));
  add(`→ ${what} (cost ${node['Total Cost'] ?? '?'}, ${node['Plan Rows'] ?? '?'} rows)`);
  for (const name of CONDITIONS) {
    const condition = node[name];
    if (condition !== undefined) add(`    ${name}: ${withoutLiterals(condition)}`);
  }
  for (const name of KEYS) {
    const keys = node[name];
    if (keys !== undefined) add(`    ${name}: ${keys.map((key) => withoutLiterals(key)).join(', ')}`);
  }
  for (const child of node.Plans ?? []) write(child, depth + 1, lines);
}
