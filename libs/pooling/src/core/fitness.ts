import type { Connector } from './connector.js';
import type { LifeCycle } from './life-cycle.js';
import type { PoolEntry } from './pool-entry.js';
import type { PoolOptions } from './pool-options.js';
import type { CloseReason } from './statistics.js';

/** What is to be done with an idle connection that somebody wants: lease it, check it first, or close it. */
export type Judgement = 'ready' | 'check' | CloseReason;

/** Judges connections: which are to be replaced, and which have to be checked before a lease. Changes none of them. */
export class Fitness<T> {
  readonly #options: Pick<PoolOptions, 'maxUses' | 'pingAfterIdleMs'>;
  readonly #connector: Pick<Connector<T>, 'usable' | 'ping'>;
  readonly #life: LifeCycle;
  #generation = 0;
  #suspectAt = -Infinity;

  constructor(
    options: Pick<PoolOptions, 'maxUses' | 'pingAfterIdleMs'>,
    connector: Pick<Connector<T>, 'usable' | 'ping'>,
    life: LifeCycle,
  ) {
    this.#options = options;
    this.#connector = connector;
    this.#life = life;
  }

  /** The generation of connections dialled now. */
  get generation(): number {
    return this.#generation;
  }

  /** Connections dialled before now are replaced when they are next idle. */
  expireAll(): void {
    this.#generation++;
  }

  /** Connections whose last proof of life is older than `now` are checked before they are leased. */
  suspectAll(now: number): void {
    this.#suspectAt = now;
  }

  /** Whether a lease that ends proves its connection alive: one that began before the last loss doesn't. */
  provenByLease(entry: PoolEntry<T>): boolean {
    return entry.leasedAt > this.#suspectAt;
  }

  /** Why a connection is to be replaced, if it is. */
  retireReason(entry: PoolEntry<T>, now: number): CloseReason | undefined {
    if (entry.lost) return 'broken';
    if (this.#life.ending) return 'shutdown';
    if (entry.generation !== this.#generation) return 'expired';
    if (now >= entry.expiresAt) return 'lifetime';
    if (this.#options.maxUses > 0 && entry.uses >= this.#options.maxUses) return 'uses';
    return undefined;
  }

  /** The same, and `broken` when the connector finds it unusable. */
  unfitReason(entry: PoolEntry<T>, now: number): CloseReason | undefined {
    return this.retireReason(entry, now) ?? (this.#connector.usable(entry.connection as T) ? undefined : 'broken');
  }

  /** Judges an idle connection that somebody wants. */
  judge(entry: PoolEntry<T>, now: number): Judgement {
    const unfit = this.unfitReason(entry, now);
    if (unfit !== undefined) return unfit;
    if (this.#connector.ping === undefined) return 'ready';
    if (entry.verifiedAt <= this.#suspectAt) return 'check';
    return now - entry.verifiedAt >= this.#options.pingAfterIdleMs ? 'check' : 'ready';
  }
}
