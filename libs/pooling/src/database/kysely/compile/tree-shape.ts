import type { OperationNode } from 'kysely';

/** What a part of a tree has to be for the whole to have the same shape. */
type Part = Branch | Leaf;
/** Something that isn't looked into: it has to be the same. */
type Leaf = string | number | boolean | bigint | symbol | undefined | null | object;

/**
 * What a branch asks for: a node with the same properties in the same order; a list that is as long, each of its members
 * as here; the value of one parameter, or the values of as many, whatever they are.
 */
type Form = 'node' | 'list' | 'value' | 'values';

class Branch {
  readonly form: Form;
  readonly keys: readonly string[];
  readonly parts: readonly Part[];
  /** The number of the first parameter here. */
  readonly first: number;
  /** How many parameters stand here. */
  readonly count: number;

  constructor(form: Form, keys: readonly string[], parts: readonly Part[], first = 0, count = 0) {
    this.form = form;
    this.keys = keys;
    this.parts = parts;
    this.first = first;
    this.count = count;
  }
}

/** The property that holds the values of a node's parameters. */
const VALUE_PROPERTIES: Partial<Record<OperationNode['kind'], { readonly key: string; readonly form: Form }>> = {
  ValueNode: { key: 'value', form: 'value' },
  PrimitiveValueListNode: { key: 'values', form: 'values' },
};

/** A query as Kysely has built it, but for the values of its parameters. */
export class TreeShape {
  readonly #root: Branch;

  private constructor(root: Branch) {
    this.#root = root;
  }

  /**
   * @param tree the query.
   * @param places the nodes whose values are parameters, with the number of each one's first.
   * @param parameters how many there are.
   * @returns `undefined` when it isn't plain where each parameter stands: a node was used twice, or isn't in the tree.
   */
  static of(tree: OperationNode, places: ReadonlyMap<object, number>, parameters: number): TreeShape | undefined {
    const shaping = new Shaping(places);
    const root = shaping.nodeOf(tree);
    return shaping.slots === parameters && shaping.places === places.size ? new TreeShape(root) : undefined;
  }

  /** The values of the parameters of a tree that has this shape; `undefined` when it has another. */
  parametersOf(tree: OperationNode): unknown[] | undefined {
    const values: unknown[] = [];
    return fits(this.#root, tree, values) ? values : undefined;
  }
}

class Shaping {
  readonly #places: ReadonlyMap<object, number>;
  /** Nodes with parameters that were met. */
  places = 0;
  /** Parameters that were met. */
  slots = 0;

  constructor(places: ReadonlyMap<object, number>) {
    this.#places = places;
  }

  nodeOf(node: object): Branch {
    const first = this.#places.get(node);
    const keys = Object.keys(node);
    const parts = keys.map((key) => {
      const value = (node as Record<string, unknown>)[key];
      return first === undefined
        ? this.#partOf(value)
        : this.#partWithParameters(node as OperationNode, key, value, first);
    });
    return new Branch('node', keys, parts);
  }

  #partWithParameters({ kind }: OperationNode, key: string, value: unknown, first: number): Part {
    const property = VALUE_PROPERTIES[kind];
    if (property?.key !== key) return this.#partOf(value);
    const count = Array.isArray(value) && property.form === 'values' ? value.length : 1;
    this.places++;
    this.slots += count;
    return new Branch(property.form, [], [], first, count);
  }

  #partOf(value: unknown): Part {
    if (typeof value !== 'object' || value === null) return value as Leaf;
    if (Array.isArray(value))
      return new Branch(
        'list',
        [],
        value.map((member) => this.#partOf(member)),
      );
    // Dates, buffers and the like hold more than their properties tell.
    return Object.getPrototypeOf(value) === Object.prototype ? this.nodeOf(value) : value;
  }
}

/** Whether a value is what a branch says; gathers the parameters. The hot loop: it is run for every query that is built. */
function fits(branch: Branch, value: unknown, values: unknown[]): boolean {
  const { parts } = branch;
  switch (branch.form) {
    case 'value':
      values[branch.first] = value;
      return true;
    case 'values':
      return isList(value, branch.count) && place(value, values, branch.first);
    case 'list': {
      if (!isList(value, parts.length)) return false;
      for (let index = 0; index < parts.length; index++) {
        if (!isAs(parts[index], value[index], values)) return false;
      }
      return true;
    }
    case 'node': {
      if (typeof value !== 'object' || value === null) return false;
      const { keys } = branch;
      let index = 0;
      for (const key in value) {
        if (key !== keys[index]) return false;
        if (!isAs(parts[index++], (value as Record<string, unknown>)[key], values)) return false;
      }
      return index === keys.length;
    }
  }
}

function isAs(part: Part, value: unknown, values: unknown[]): boolean {
  return part === value || (part instanceof Branch && fits(part, value, values));
}

function isList(value: unknown, length: number): value is readonly unknown[] {
  return Array.isArray(value) && value.length === length;
}

function place(from: readonly unknown[], to: unknown[], first: number): true {
  for (let index = 0; index < from.length; index++) to[first + index] = from[index];
  return true;
}
