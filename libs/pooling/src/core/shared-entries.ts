import { LinkedList } from './linked-list.js';
import type { PoolEntry } from './pool-entry.js';

/**
 * The connections that several borrowers use at once and that more may join, by how many they are: the one with the
 * fewest is found without a search.
 */
export class SharedEntries<T> {
  /** Index: how many share it. One that has as many as may is in none. */
  readonly #levels: LinkedList<PoolEntry<T>>[];

  /** @param depth how many may share a connection; 1: nobody does. */
  constructor(depth: number) {
    this.#levels = Array.from({ length: depth }, () => new LinkedList<PoolEntry<T>>());
  }

  /** Puts a connection where the number of its borrowers belongs. */
  place(entry: PoolEntry<T>): void {
    this.remove(entry);
    this.#levels[entry.shares]?.push(entry);
  }

  /** Nobody may join any more, or for the time being. */
  remove(entry: PoolEntry<T>): void {
    (entry.list as LinkedList<PoolEntry<T>> | undefined)?.remove(entry);
  }

  /** The one with the fewest borrowers. */
  least(): PoolEntry<T> | undefined {
    for (const level of this.#levels) {
      if (level.first !== undefined) return level.first;
    }
    return undefined;
  }
}
