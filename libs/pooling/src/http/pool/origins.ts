import { Origin } from './origin.js';
import type { CountersByOrigin } from './statistics.js';

/** Records of origins without a socket are kept up to this number. */
const MAX_UNUSED = 100;

/** The records of the origins that a connector knows now. */
export class Origins {
  readonly #records = new Map<string, Origin>();
  readonly #counters: CountersByOrigin;

  constructor(counters: CountersByOrigin) {
    this.#counters = counters;
  }

  /** The record of an origin that is known, by the exact text of its origin. */
  known(key: string): Origin | undefined {
    return this.#records.get(key);
  }

  /** The record of an origin, made when it is new. */
  of(key: string): Origin {
    let origin = this.#records.get(key);
    if (origin === undefined) {
      origin = new Origin(key, this.#counters.of(key));
      this.#records.set(key, origin);
    }
    return origin;
  }

  /** Drops a record that nothing needs, when there are many; its counters stay. */
  forgetIfUnused(origin: Origin): void {
    if (!origin.unused || origin.forgotten || this.#records.size <= MAX_UNUSED) return;
    origin.forgotten = true;
    this.#records.delete(origin.key);
  }

  clear(): void {
    this.#records.clear();
  }

  [Symbol.iterator](): IterableIterator<Origin> {
    return this.#records.values();
  }
}
