import { PoolClosedError } from './errors.js';

/**
 * `running` ⇄ `suspended`: acquires wait. Both → `draining`: still serves, opens nothing ahead of demand → `finishing`:
 * refuses newcomers, serves those who wait → `closing`: serves nobody, leases may finish → `closed`. Any of the later
 * ones may be left out.
 */
export type PoolState = 'running' | 'suspended' | 'draining' | 'finishing' | 'closing' | 'closed';

const FOLLOWING: Readonly<Record<PoolState, readonly PoolState[]>> = {
  running: ['suspended', 'draining', 'finishing', 'closing'],
  suspended: ['running', 'draining', 'closing'],
  draining: ['finishing', 'closing'],
  finishing: ['closing'],
  closing: ['closed'],
  closed: [],
};

/** The state of a pool, and what each state allows. */
export class LifeCycle {
  #state: PoolState = 'running';

  /** The present state. */
  get state(): PoolState {
    return this.#state;
  }

  /** Enters a state; `false` when the present one doesn't lead there. */
  enter(state: PoolState): boolean {
    if (!FOLLOWING[this.#state].includes(state)) return false;
    this.#state = state;
    return true;
  }

  /** Whether whoever comes now may get a connection at once. */
  get lending(): boolean {
    return this.#state === 'running' || this.#state === 'draining';
  }

  /** Whether those who wait get connections. */
  get serving(): boolean {
    return this.#state === 'running' || this.#state === 'draining' || this.#state === 'finishing';
  }

  /** Whether newcomers are refused. */
  get refusing(): boolean {
    return this.#state === 'finishing' || this.ending;
  }

  /** Whether every connection is to be closed. */
  get ending(): boolean {
    return this.#state === 'closing' || this.#state === 'closed';
  }
}

/** What a pool says to whoever comes too late, or still waits when it closes. */
export function poolClosedError(pool: string): PoolClosedError {
  return new PoolClosedError(pool, `${pool}: the pool is closed`);
}
