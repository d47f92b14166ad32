import type { Holder } from '../../core/holders.js';
import type { LeakNotice } from '../../core/statistics.js';
import type { Replica } from './replica.js';

/** Leases that were reported as leaked. */
export interface Leaks {
  readonly count: number;
  readonly last: LeakNotice | undefined;
}

/** Who holds connections to replicas: to hosts as well that are none any more, until the last of them is given back. */
export class ReplicaLeases {
  readonly #present: () => readonly Replica[];
  readonly #leaving = new Set<Replica>();
  /** Of hosts that are gone. */
  #leaks = 0;

  /** @param present gives the replicas that are read from. */
  constructor(present: () => readonly Replica[]) {
    this.#present = present;
  }

  get #all(): Replica[] {
    return [...this.#present(), ...this.#leaving];
  }

  /** Its host is a replica no more: ends its pool within a time, in milliseconds. */
  leave(replica: Replica, deadlineMs: number): void {
    this.#leaving.add(replica);
    void replica.close(deadlineMs).then(() => {
      this.#leaving.delete(replica);
      this.#leaks += replica.parts.engine.statistics().leaks;
    });
  }

  /** Who holds connections, by replica. */
  holders(): Holder[] {
    return this.#all.flatMap((replica) => replica.holders());
  }

  /** Takes a connection from its borrower and destroys it. Returns whether there was one. */
  terminate(connection: number): boolean {
    return this.#all.some(({ parts }) => parts.engine.terminate(connection));
  }

  leaks(): Leaks {
    let count = this.#leaks;
    let last: LeakNotice | undefined;
    for (const { parts } of this.#all) {
      const { leaks, lastLeak } = parts.engine.statistics();
      count += leaks;
      if (lastLeak !== undefined && lastLeak.at >= (last?.at ?? -Infinity)) last = lastLeak;
    }
    return { count, last };
  }
}
