import type { Connector } from './connector.js';
import type { Fitness } from './fitness.js';
import { LinkedList } from './linked-list.js';
import type { PoolEntry } from './pool-entry.js';

/**
 * The connections that several borrowers use at once and that more may join, by how many they are: the one with the
 * fewest is found without a search.
 */
export class Sharing<T> {
  readonly #connector: Pick<Connector<T>, 'shareable'>;
  readonly #fitness: Fitness<T>;
  /** Index: how many share it. A connection that has as many as it may have is in none. */
  readonly #levels: LinkedList<PoolEntry<T>>[];

  /** @param limit how many may share a connection; 1: nobody does. */
  constructor(limit: number, connector: Pick<Connector<T>, 'shareable'>, fitness: Fitness<T>) {
    this.#levels = Array.from({ length: limit }, () => new LinkedList<PoolEntry<T>>());
    this.#connector = connector;
    this.#fitness = fitness;
  }

  /** The connection with the fewest borrowers among those that one more may join. */
  leastShared(now: number): PoolEntry<T> | undefined {
    for (let entry = this.#least(); entry !== undefined; entry = this.#least()) {
      const fit = this.#fitness.retireReason(entry, now) === undefined;
      if (fit && this.#connector.shareable?.(entry.connection as T) !== false) return entry;
      // The next of its borrowers that gives it back puts it here again.
      this.exclude(entry);
    }
    return undefined;
  }

  /** One more borrower joins. */
  join(entry: PoolEntry<T>): void {
    entry.shares++;
    this.#place(entry);
  }

  /** One of several borrowers leaves; others may join in its place unless the connection is to be closed. */
  leave(entry: PoolEntry<T>, closes: boolean): void {
    entry.shares--;
    if (closes) this.exclude(entry);
    else this.#place(entry);
  }

  /** Nobody may join any more, or for the time being. */
  exclude(entry: PoolEntry<T>): void {
    (entry.list as LinkedList<PoolEntry<T>> | undefined)?.remove(entry);
  }

  /** All leave at once; returns how many they were. */
  end(entry: PoolEntry<T>): number {
    const { shares } = entry;
    this.exclude(entry);
    entry.shares = 0;
    entry.closeReason = undefined;
    return shares;
  }

  /**
   * From when on a use counts that began at `since` and ends now. Overlapping uses are counted end to end, so that they
   * add up to the time the connection was busy.
   */
  useSince(entry: PoolEntry<T>, since: number, now: number): number {
    const from = Math.max(since, entry.returnedAt);
    entry.returnedAt = now;
    return from;
  }

  #place(entry: PoolEntry<T>): void {
    this.exclude(entry);
    this.#levels[entry.shares]?.push(entry);
  }

  #least(): PoolEntry<T> | undefined {
    for (const level of this.#levels) {
      if (level.first !== undefined) return level.first;
    }
    return undefined;
  }
}
