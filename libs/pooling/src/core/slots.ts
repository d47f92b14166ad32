import type { Connector } from './connector.js';
import { LinkedList } from './linked-list.js';
import { PoolEntry, type StepState } from './pool-entry.js';

/** Numbers from 1 on. */
export function numbers(): () => number {
  let last = 0;
  return () => ++last;
}

/**
 * Every slot in use, the idle connections among them, and how many stand in which state. All changes of an entry's
 * state are made here.
 */
export class Slots<T> {
  readonly #connector: Pick<Connector<T>, 'parked'>;
  readonly #entries = new Set<PoolEntry<T>>();
  /** The last one was used last and is leased first, so that the surplus ages at the front. */
  readonly #idle = new LinkedList<PoolEntry<T>>();
  #size: number;
  #maxOverflow: number;
  /** What may be had from outside, whatever the bounds. */
  #ceiling = Infinity;
  readonly #nextId: () => number;
  #connecting = 0;
  #arriving = 0;
  #closing = 0;
  #onEmpty: (() => void) | undefined = undefined;

  /** @param nextId numbers the connections. */
  constructor(
    size: number,
    maxOverflow: number,
    connector: Pick<Connector<T>, 'parked'>,
    nextId: () => number = numbers(),
  ) {
    this.#size = size;
    this.#maxOverflow = maxOverflow;
    this.#connector = connector;
    this.#nextId = nextId;
  }

  /** Connections kept when idle, by the bounds. */
  get size(): number {
    return this.#size;
  }

  /** Connections that may be kept when idle now. */
  get kept(): number {
    return Math.min(this.#size, this.#ceiling);
  }

  /** The most slots there may be by the bounds. */
  get most(): number {
    return this.#size + this.#maxOverflow;
  }

  /** The most slots there may be now. */
  get max(): number {
    return Math.min(this.#size + this.#maxOverflow, this.#ceiling);
  }

  /** Slots in use: dialling, open or closing. */
  get used(): number {
    return this.#entries.size;
  }

  /** Connections open now, idle or in use. */
  get open(): number {
    return this.#entries.size - this.#connecting - this.#closing;
  }

  /** Those of them that haven't died in their borrowers' hands. */
  get alive(): number {
    let dead = 0;
    for (const entry of this.#entries) if (entry.lost && entry.state === 'leased') dead++;
    return this.open - dead;
  }

  /** Idle connections. */
  get idle(): number {
    return this.#idle.length;
  }

  /** Dials under way. */
  get connecting(): number {
    return this.#connecting;
  }

  /** Connections that will soon be idle: being checked or reset. */
  get arriving(): number {
    return this.#arriving;
  }

  /** Connections whose socket isn't gone yet. */
  get closing(): number {
    return this.#closing;
  }

  /** The idle connection that was used last. */
  get newestIdle(): PoolEntry<T> | undefined {
    return this.#idle.last;
  }

  /** Changes the bounds. */
  resize(size: number, maxOverflow: number): void {
    this.#size = size;
    this.#maxOverflow = maxOverflow;
  }

  /** Sets the most slots there may be, within the bounds; `Infinity`: as many as they allow. */
  limit(ceiling: number): void {
    this.#ceiling = ceiling;
  }

  /** Whether there is a connection too many: beyond what there may be, or what is kept while nobody is `waiting`. */
  overfull(waiting: boolean): boolean {
    return this.open > (waiting ? this.max : this.kept);
  }

  /** Every slot in use. */
  [Symbol.iterator](): IterableIterator<PoolEntry<T>> {
    return this.#entries.values();
  }

  /** The idle connections, longest idle first; each is still idle when its turn comes, whatever happens meanwhile. */
  *idleEntries(): IterableIterator<PoolEntry<T>> {
    for (const entry of [...this.#idle]) {
      if (entry.state === 'idle') yield entry;
    }
  }

  /** Takes a free slot for a dial. */
  dial(generation: number): PoolEntry<T> {
    const entry = new PoolEntry<T>(this.#nextId(), generation);
    this.#entries.add(entry);
    this.#connecting++;
    return entry;
  }

  /** The dial has brought a connection. */
  opened(entry: PoolEntry<T>, connection: T, now: number): void {
    this.#leave(entry);
    entry.state = 'opened';
    entry.connection = connection;
    entry.openedAt = now;
    entry.verifiedAt = now;
  }

  /** Puts a connection among the idle ones. */
  park(entry: PoolEntry<T>, now: number): void {
    this.#leave(entry);
    entry.state = 'idle';
    entry.idleSince = now;
    this.#idle.push(entry);
    this.#connector.parked?.(entry.connection as T, true);
  }

  /** A step begins. */
  step(entry: PoolEntry<T>, step: StepState): void {
    this.#leave(entry);
    entry.state = step;
    if (step !== 'preparing') this.#arriving++;
  }

  /** Gives a connection to a borrower, or to one more of those who share it. */
  lease(entry: PoolEntry<T>, now: number): void {
    this.#leave(entry);
    entry.state = 'leased';
    entry.leasedAt = now;
    entry.uses++;
  }

  /** The end of a connection begins. */
  close(entry: PoolEntry<T>): void {
    this.#leave(entry);
    entry.state = 'closing';
    this.#closing++;
  }

  /** The slot is free. */
  free(entry: PoolEntry<T>): void {
    this.#leave(entry);
    entry.state = 'gone';
    entry.connection = undefined;
    this.#entries.delete(entry);
    if (this.#entries.size === 0) this.#onEmpty?.();
  }

  /** Calls back when the last slot in use is free. */
  onEmpty(callback: () => void): void {
    this.#onEmpty = callback;
  }

  #leave(entry: PoolEntry<T>): void {
    switch (entry.state) {
      case 'leased':
        break;
      case 'idle':
        this.#idle.remove(entry);
        this.#connector.parked?.(entry.connection as T, false);
        break;
      case 'connecting':
        this.#connecting--;
        break;
      case 'checking':
      case 'resetting':
        this.#arriving--;
        break;
      case 'closing':
        this.#closing--;
        break;
      default:
    }
  }
}
