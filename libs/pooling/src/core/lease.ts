import type { AcquireOrigin } from './acquire-origin.js';
import type { PoolEntry } from './pool-entry.js';
import type { LeaseUse } from './pool-options.js';
import type { CloseReason } from './statistics.js';

/** What a lease tells its pool. */
export interface LeaseOwner<T> {
  /** A lease came back. */
  giveBack(entry: PoolEntry<T>, reason: CloseReason | undefined): void;
  /** The borrower has sent the last thing that it will send: gives the connection to the first waiter, if that may have it now. */
  handOn(entry: PoolEntry<T>): boolean;
  /** One of those who share a connection, since `since`, gave it back. */
  giveBackShare(entry: PoolEntry<T>, since: number, reason: CloseReason | undefined): void;
  /** The error of a lease that is over. */
  leaseOver(action: 'used' | 'released'): Error;
}

/**
 * What a borrower holds: the right to one connection until it is released. The pool doesn't refer to it, so that a
 * lease that was dropped without release can be found out by the garbage collector.
 */
export class Lease<T> {
  protected readonly owner: LeaseOwner<T>;
  protected readonly entry: PoolEntry<T>;
  /** Who has it, as far as that is known. Still known after the end: the answer to the last statement may come later. */
  readonly origin: AcquireOrigin | undefined;
  readonly #epoch: number;

  constructor(owner: LeaseOwner<T>, entry: PoolEntry<T>) {
    this.owner = owner;
    this.entry = entry;
    this.origin = entry.origin;
    this.#epoch = entry.epoch;
  }

  /** Whether the connection was given back. */
  get released(): boolean {
    return this.entry.epoch !== this.#epoch;
  }

  /** The connection. Throws `ERR_POOL_LEASE_RELEASED` after the release. */
  get connection(): T {
    if (this.entry.epoch !== this.#epoch) throw this.owner.leaseOver('used');
    return this.entry.connection as T;
  }

  /**
   * Gives the connection back. With a reason it is closed instead of reused.
   * Throws `ERR_POOL_LEASE_RELEASED` when it was given back before.
   */
  release(reason?: CloseReason): void {
    if (this.entry.epoch !== this.#epoch) throw this.owner.leaseOver('released');
    this.owner.giveBack(this.entry, reason);
  }

  /**
   * Ends the lease before the answer to the last thing that was sent has come, if the first waiter can have the connection
   * now: what that sends is answered behind. Returns whether it has ended.
   */
  handOn(): boolean {
    return this.entry.epoch === this.#epoch && this.owner.handOn(this.entry);
  }

  /** The connection's number in its pool. */
  get connectionId(): number {
    return this.entry.id;
  }

  /** When it began, on the clock's scale, while it lasts and isn't shared. */
  get since(): number {
    return this.entry.leasedAt;
  }

  /** What it is for. */
  get use(): LeaseUse {
    return this.entry.use;
  }

  /** The connection has just answered: proof of life without a ping. */
  verified(now: number): void {
    this.entry.verifiedAt = now;
  }
}

/** The right to use a connection together with others. */
export class SharedLease<T> extends Lease<T> {
  readonly #since: number;
  #over = false;

  constructor(owner: LeaseOwner<T>, entry: PoolEntry<T>, since: number) {
    super(owner, entry);
    this.#since = since;
  }

  override get released(): boolean {
    return this.#over || super.released;
  }

  override get connection(): T {
    if (this.#over) throw this.owner.leaseOver('used');
    return super.connection;
  }

  /** Others may be on the connection: it is given back in the usual way. */
  override handOn(): boolean {
    return false;
  }

  override release(reason?: CloseReason): void {
    if (this.released) throw this.owner.leaseOver('released');
    this.#over = true;
    this.owner.giveBackShare(this.entry, this.#since, reason);
  }
}
