/** A node of a {@link LinkedList}. Whoever stands in a list extends it, so that listing allocates nothing. */
export abstract class LinkedNode {
  /** @internal */ previousNode: LinkedNode | undefined = undefined;
  /** @internal */ nextNode: LinkedNode | undefined = undefined;
  /** @internal */ list: object | undefined = undefined;

  /** Whether this node stands in a list now. */
  get listed(): boolean {
    return this.list !== undefined;
  }
}

/** Doubly linked list through its own nodes: every operation takes constant time at any length. */
export class LinkedList<N extends LinkedNode> {
  #first: LinkedNode | undefined;
  #last: LinkedNode | undefined;
  #length = 0;

  /** How many nodes stand in the list. */
  get length(): number {
    return this.#length;
  }

  /** The node that came first. */
  get first(): N | undefined {
    return this.#first as N | undefined;
  }

  /** The node that came last. */
  get last(): N | undefined {
    return this.#last as N | undefined;
  }

  /** Puts a node at the end. */
  push(node: N): void {
    this.#claim(node);
    node.previousNode = this.#last;
    if (this.#last === undefined) this.#first = node;
    else this.#last.nextNode = node;
    this.#last = node;
  }

  /** Puts a node at the front. */
  unshift(node: N): void {
    this.#claim(node);
    node.nextNode = this.#first;
    if (this.#first === undefined) this.#last = node;
    else this.#first.previousNode = node;
    this.#first = node;
  }

  /** Puts a node in front of another one of this list; `undefined`: at the end. */
  insertBefore(node: N, next: N | undefined): void {
    if (next === undefined) return this.push(node);
    const before = next.previousNode;
    if (before === undefined) return this.unshift(node);
    this.#claim(node);
    node.previousNode = before;
    node.nextNode = next;
    before.nextNode = node;
    next.previousNode = node;
  }

  /** Takes the node that came first. */
  shift(): N | undefined {
    const node = this.#first;
    if (node !== undefined) this.#unlink(node);
    return node as N | undefined;
  }

  /** Takes the node that came last. */
  pop(): N | undefined {
    const node = this.#last;
    if (node !== undefined) this.#unlink(node);
    return node as N | undefined;
  }

  /** Takes a node out, wherever it stands; returns whether it stood in this list. */
  remove(node: N): boolean {
    if (node.list !== this) return false;
    this.#unlink(node);
    return true;
  }

  /** From first to last; the node just given may be removed while iterating. */
  *[Symbol.iterator](): IterableIterator<N> {
    let node = this.#first;
    while (node !== undefined) {
      const next: LinkedNode | undefined = node.nextNode;
      yield node as N;
      node = next;
    }
  }

  #claim(node: LinkedNode): void {
    if (node.list !== undefined) throw new Error('bug: the node stands in a list already');
    node.list = this;
    this.#length++;
  }

  #unlink(node: LinkedNode): void {
    if (node.previousNode === undefined) this.#first = node.nextNode;
    else node.previousNode.nextNode = node.nextNode;
    if (node.nextNode === undefined) this.#last = node.previousNode;
    else node.nextNode.previousNode = node.previousNode;
    node.previousNode = undefined;
    node.nextNode = undefined;
    node.list = undefined;
    this.#length--;
  }
}
