import { fairShares } from './fair-shares.js';

/** A pool of a process, as the budget sees it. */
export interface FleetPool {
  /** Connections it has, those being opened included and those being closed not. */
  readonly used: number;
  /** Those of them that are open. */
  readonly open: number;
  /** The most connections that its options allow. */
  readonly most: number;
  /** Connections it would use if it could. */
  readonly wanted: number;
  /** Sets the most connections it may have. */
  limit(ceiling: number): void;
}

/** Divides the ceiling of a process among its pools to the same server. Each gets at least one. */
export class PoolShares<Member extends FleetPool> {
  readonly #ceilings = new Map<Member, number>();

  /** The pools. */
  get pools(): IterableIterator<Member> {
    return this.#ceilings.keys();
  }

  /** How many pools there are. */
  get count(): number {
    return this.#ceilings.size;
  }

  /** Connections of all pools. */
  get used(): number {
    return this.#sum((pool) => pool.used);
  }

  /** Those of them that are open. */
  get open(): number {
    return this.#sum((pool) => pool.open);
  }

  /** The most connections that their options allow. */
  get most(): number {
    return this.#sum((pool) => pool.most);
  }

  /** Connections that they would use if they could. */
  get wanted(): number {
    return this.#sum((pool) => pool.wanted);
  }

  /** One more pool. */
  add(pool: Member): void {
    this.#ceilings.set(pool, 0);
  }

  /** A pool that is closed. */
  remove(pool: Member): void {
    this.#ceilings.delete(pool);
  }

  /** Sets the ceiling of each pool. One gets more only when another has given it back. */
  share(total: number): void {
    const pools = [...this.pools];
    const shares = fairShares(
      pools.map(({ wanted }) => Math.max(1, wanted)),
      total,
    );
    const targets = pools.map((pool, index) => Math.max(1, Math.min(pool.most, shares[index] as number)));
    pools.forEach((pool, index) => {
      const target = targets[index] as number;
      if (this.#ceilingOf(pool) > target) this.#set(pool, target);
    });
    const standing = pools.map((pool) => Math.max(pool.used, this.#ceilingOf(pool)));
    let room = total - standing.reduce((sum, each) => sum + each, 0);
    pools.forEach((pool, index) => {
      const target = targets[index] as number;
      const held = standing[index] as number;
      const given = Math.max(0, Math.min(target - held, room));
      room -= given;
      this.#set(pool, Math.max(1, Math.min(target, held + given)));
    });
  }

  /** Takes the ceilings away: each pool goes by its own options. */
  free(): void {
    for (const pool of this.pools) this.#set(pool, Infinity);
  }

  #ceilingOf(pool: Member): number {
    return this.#ceilings.get(pool) as number;
  }

  #set(pool: Member, ceiling: number): void {
    if (this.#ceilings.get(pool) === ceiling) return;
    this.#ceilings.set(pool, ceiling);
    pool.limit(ceiling);
  }

  #sum(figure: (pool: Member) => number): number {
    let sum = 0;
    for (const pool of this.pools) sum += figure(pool);
    return sum;
  }
}
