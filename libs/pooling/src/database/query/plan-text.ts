/** One step of a plan, as `EXPLAIN (FORMAT JSON)` gives it. */
export interface PlanNode {
  readonly 'Node Type'?: string;
  readonly 'Join Type'?: string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly Alias?: string;
  readonly 'Total Cost'?: number;
  readonly 'Plan Rows'?: number;
  readonly Filter?: string;
  readonly 'Index Cond'?: string;
  readonly 'Hash Cond'?: string;
  readonly 'Sort Key'?: readonly string[];
  readonly Plans?: readonly PlanNode[];
}

/** Conditions that are shown under their step. */
const CONDITIONS = ['Index Cond', 'Hash Cond', 'Filter'] as const;

/** A plan as lines, each step under the one that takes its rows: `→ Seq Scan on orders (cost 155, 9000 rows)`. */
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
  lines.push(`${indent}→ ${what} (cost ${node['Total Cost'] ?? '?'}, ${node['Plan Rows'] ?? '?'} rows)`);
  for (const name of CONDITIONS) {
    const condition = node[name];
    if (condition !== undefined) lines.push(`${indent}    ${name}: ${condition}`);
  }
  const keys = node['Sort Key'];
  if (keys !== undefined) lines.push(`${indent}    Sort Key: ${keys.join(', ')}`);
  for (const child of node.Plans ?? []) write(child, depth + 1, lines);
}
