import { Origin } from './origin.js';
import type { CountersByOrigin } from './statistics.js';

/** Records of origins without a socket are kept up to this number. */
const MAX_UNUSED = 100;

/** The records of the origins that a pool knows now. */
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
    return this.#records.get(key) ?? this.#add(new Origin(key, key, '', (named) => this.#counters.of(named)));
  }

  /**
   * The record of an origin whose certificate is to be that of a name, which the URL doesn't say: connections to one
   * address aren't shared between names.
   */
  named(key: string, servername: string | null | undefined): Origin {
    if (!servername || !key.startsWith('https:') || new URL(key).hostname === servername) return this.of(key);
    const id = `${key} ${servername}`;
    return this.#records.get(id) ?? this.#add(new Origin(key, id, servername, (named) => this.#counters.of(named)));
  }

  /** The record of an origin whose record was forgotten. */
  again(origin: Origin): Origin {
    return this.named(origin.key, origin.servername);
  }

  #add(origin: Origin): Origin {
    this.#records.set(origin.id, origin);
    return origin;
  }

  /** Drops a record that nothing needs, when there are many; its counters stay. */
  forgetIfUnused(origin: Origin): void {
    if (!origin.unused || origin.forgotten || this.#records.size <= MAX_UNUSED) return;
    origin.forgotten = true;
    this.#records.delete(origin.id);
  }

  clear(): void {
    this.#records.clear();
  }

  [Symbol.iterator](): IterableIterator<Origin> {
    return this.#records.values();
  }
}
