import type { Closer } from './closer.js';
import type { Leasing } from './leasing.js';
import type { PoolParts } from './pool-parts.js';
import type { Visit } from './visits.js';

/** A ceiling for a pool that comes from outside, such as its part in a budget that processes share. */
export class OutsideLimit<T> {
  readonly #parts: PoolParts<T>;
  readonly #closer: Closer<T>;
  readonly #leasing: Pick<Leasing<T>, 'serve' | 'visits'>;

  constructor(parts: PoolParts<T>, closer: Closer<T>, leasing: Pick<Leasing<T>, 'serve' | 'visits'>) {
    this.#parts = parts;
    this.#closer = closer;
    this.#leasing = leasing;
  }

  /** Connections there are, those being opened included and those being closed not. */
  get used(): number {
    const { slots } = this.#parts;
    return slots.used - slots.closing;
  }

  /** The most connections that the pool's own bounds allow. */
  get most(): number {
    return this.#parts.slots.most;
  }

  /** Connections that would be in use if there were enough, and those that are kept ready. */
  get wanted(): number {
    const { options, slots, waiters } = this.#parts;
    const busy = slots.open - slots.idle - slots.arriving;
    return Math.min(slots.most, Math.max(busy + waiters.waiting, options.minIdle));
  }

  /**
   * Sets the most connections there may be, within the pool's own bounds. Idle ones that are too many are closed at once,
   * the others when they are given back; a running query is never cut.
   */
  set(ceiling: number): void {
    this.#parts.slots.limit(ceiling);
    this.trim();
  }

  /** Closes idle connections that are too many, and gives room that was made to those who wait. */
  trim(): void {
    const { clock, slots, waiters } = this.#parts;
    waiters.moveUp(clock.now());
    for (const entry of slots.idleEntries()) {
      if (slots.open <= slots.kept) break;
      this.#closer.retire(entry, 'overflow');
    }
    // A pool that nobody has used yet opens nothing.
    if (slots.used > 0 || waiters.length > 0) this.#leasing.serve();
  }

  /** Does something with a connection that is idle, or with the next one that comes back, before any waiter. */
  visit(visit: Visit<T>): void {
    const { life } = this.#parts;
    if (!life.ending) this.#leasing.visits.ask(visit);
  }
}
