import type {
  AliasNode,
  AndNode,
  BinaryOperationNode,
  ColumnNode,
  OrNode,
  ParensNode,
  ReferenceNode,
  TableNode,
  CompiledQuery,
  OperationNode,
  RootOperationNode,
} from 'kysely';
import { SeenTexts } from '../../query/seen-texts.js';
import { TreeShape } from './tree-shape.js';

/** How many queries are kept: enough for the queries of one application, and bounded where it generates them. */
const MOST_KEPT = 512;
/** How many queries with the same outline are compared one by one. */
const MOST_ALIKE = 16;
/** After this many misses in a row the queries of an outline are dropped: others are asked for. */
const MOST_MISSES = 64;
/** Longer lists of parameters, as those of bulk inserts, seldom come back in the same length. */
const MOST_PARAMETERS = 128;

/** A query's text and parameters. */
export type Compiled = Pick<CompiledQuery, 'sql' | 'parameters'>;

/** A query that was compiled, as it is found again. */
interface Kept {
  readonly sql: string;
  readonly shape: TreeShape;
}

/** Queries on the same table with as many selections, joins and so on. */
interface Alike {
  readonly kept: Kept[];
  misses: number;
}

/**
 * Compiled queries, found again by the shape of the tree that Kysely builds: queries that differ in the values of their
 * parameters alone are compiled once. Entity Framework Core finds its compiled queries in the same way. Comparing two trees
 * costs about a third of compiling one, and gives the very text that the statement cache knows.
 */
export class CompiledQueryCache {
  readonly #byTable = new Map<string, Map<number, Alike>>();
  readonly #seen = new SeenTexts();
  #size = 0;

  /** The text and the parameters of a query that has the shape of one that is kept. */
  find(query: RootOperationNode): Compiled | undefined {
    const table = tableOf(query);
    if (table === undefined) return undefined;
    const alike = this.#byTable.get(table)?.get(outlineOf(query));
    if (alike === undefined) return undefined;
    const { kept } = alike;
    for (let index = 0; index < kept.length; index++) {
      const { sql, shape } = kept[index] as Kept;
      const parameters = shape.parametersOf(query);
      if (parameters === undefined) continue;
      alike.misses = 0;
      if (index > 0) [kept[index - 1], kept[index]] = [kept[index] as Kept, kept[index - 1] as Kept];
      return { sql, parameters };
    }
    if (++alike.misses === MOST_MISSES) this.#forget(alike);
    return undefined;
  }

  /**
   * Keeps a query from the second time on that its text is seen.
   *
   * @param places the nodes whose values are its parameters, with the number of each one's first.
   */
  add(query: RootOperationNode, { sql, parameters }: Compiled, places: ReadonlyMap<object, number>): void {
    const table = tableOf(query);
    if (table === undefined || parameters.length > MOST_PARAMETERS || !this.#seen.again(sql)) return;
    const shape = TreeShape.of(query, places, parameters.length);
    if (shape === undefined) return;
    if (this.#size >= MOST_KEPT) this.#forgetAll();
    const { kept } = this.#alike(table, outlineOf(query));
    if (kept.length === MOST_ALIKE) {
      kept.pop();
      this.#size--;
    }
    kept.push({ sql, shape });
    this.#size++;
  }

  #alike(table: string, outline: number): Alike {
    let outlines = this.#byTable.get(table);
    if (outlines === undefined) this.#byTable.set(table, (outlines = new Map()));
    let alike = outlines.get(outline);
    if (alike === undefined) outlines.set(outline, (alike = { kept: [], misses: 0 }));
    return alike;
  }

  #forget(alike: Alike): void {
    this.#size -= alike.kept.length;
    alike.kept.length = 0;
    alike.misses = 0;
  }

  #forgetAll(): void {
    this.#byTable.clear();
    this.#size = 0;
  }
}

/** The table of a query; `undefined` for queries that aren't kept: definitions, raw SQL, and rare kinds. */
function tableOf(query: RootOperationNode): string | undefined {
  const node = targetOf(query);
  return node === undefined ? undefined : nameOf(node);
}

function targetOf(query: RootOperationNode): OperationNode | undefined {
  switch (query.kind) {
    case 'SelectQueryNode':
    case 'DeleteQueryNode':
      return query.from?.froms[0];
    case 'InsertQueryNode':
      return query.into;
    case 'UpdateQueryNode':
      return query.table;
    default:
      return undefined;
  }
}

/** As Kysely's own `is`, for which Kysely would have to be loaded. */
function is<Node extends OperationNode>(node: OperationNode, kind: Node['kind']): node is Node {
  return node.kind === kind;
}

function nameOf(node: OperationNode): string {
  if (is<AliasNode>(node, 'AliasNode')) return nameOf(node.node);
  return is<TableNode>(node, 'TableNode') ? node.table.identifier.name : node.kind;
}

/**
 * The outline of a query as a number: what it does, which parts it has, how long they are, and the column of its first
 * condition. Queries of the same shape have the same outline.
 */
function outlineOf(query: RootOperationNode): number {
  let outline = query.kind.charCodeAt(0);
  for (const key in query) {
    const part = (query as unknown as Record<string, unknown>)[key];
    outline = mix(outline, Array.isArray(part) ? part.length + 1 : 1);
  }
  return 'where' in query && query.where !== undefined ? outlineOfCondition(query.where.where, outline) : outline;
}

function outlineOfCondition(condition: OperationNode, outline: number): number {
  let node: OperationNode | undefined = condition;
  let mixed = outline;
  while (node !== undefined) {
    mixed = mix(mixed, node.kind.length);
    if (is<ColumnNode>(node, 'ColumnNode'))
      return mix(mix(mixed, node.column.name.length), node.column.name.charCodeAt(0));
    node = firstPartOf(node);
  }
  return mixed;
}

function firstPartOf(node: OperationNode): OperationNode | undefined {
  if (is<BinaryOperationNode>(node, 'BinaryOperationNode')) return node.leftOperand;
  if (is<ReferenceNode>(node, 'ReferenceNode')) return node.column;
  if (is<AndNode>(node, 'AndNode') || is<OrNode>(node, 'OrNode')) return node.left;
  return is<ParensNode>(node, 'ParensNode') ? node.node : undefined;
}

function mix(one: number, other: number): number {
  return (one * 31 + other) | 0;
}
