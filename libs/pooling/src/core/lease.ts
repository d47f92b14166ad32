import type { AcquireOrigin } from './acquire-origin.js';
import type { PoolEntry } from './pool-entry.js';
import type { CloseReason } from './statistics.js';

/** What a lease needs of its pool. */
export interface LeaseOwner<T> {
  /** @internal */
  giveBack(entry: PoolEntry<T>, reason: CloseReason | undefined): void;
  /** @internal */
  giveBackShare(lease: SharedLease<T>, reason: CloseReason | undefined): void;
  /** @internal */
  leaseOver(action: 'used' | 'released'): Error;
}

/**
 * What a borrower holds: the right to one connection until it is released. The pool doesn't refer to it, so that a
 * lease that was dropped without release can be found out by the garbage collector.
 */
export class Lease<T> {
  readonly #owner: LeaseOwner<T>;
  readonly #entry: PoolEntry<T>;
  readonly #epoch: number;

  /** @internal Leases are made by the pool. */
  constructor(owner: LeaseOwner<T>, entry: PoolEntry<T>) {
    this.#owner = owner;
    this.#entry = entry;
    this.#epoch = entry.epoch;
  }

  /** Whether the connection was given back. */
  get released(): boolean {
    return this.#entry.epoch !== this.#epoch;
  }

  /** The connection. Throws `ERR_POOL_LEASE_RELEASED` after the release. */
  get connection(): T {
    if (this.#entry.epoch !== this.#epoch) throw this.#owner.leaseOver('used');
    return this.#entry.connection as T;
  }

  /**
   * Gives the connection back. With a reason it is closed instead of reused.
   * Throws `ERR_POOL_LEASE_RELEASED` when it was given back before.
   */
  release(reason?: CloseReason): void {
    if (this.#entry.epoch !== this.#epoch) throw this.#owner.leaseOver('released');
    this.#owner.giveBack(this.#entry, reason);
  }

  /** @internal Who has it. */
  get origin(): AcquireOrigin | undefined {
    return this.#entry.origin;
  }

  /** @internal What the pool's leak detection keeps instead of the lease. */
  get entry(): PoolEntry<T> {
    return this.#entry;
  }
}

/** The right to use a connection together with others. */
export class SharedLease<T> extends Lease<T> {
  /** When it began, on the pool's clock. */
  readonly since: number;
  readonly #sharedOwner: LeaseOwner<T>;
  readonly #origin: AcquireOrigin | undefined;
  #over = false;

  /** @internal */
  constructor(owner: LeaseOwner<T>, entry: PoolEntry<T>, since: number, origin: AcquireOrigin | undefined) {
    super(owner, entry);
    this.#sharedOwner = owner;
    this.#origin = origin;
    this.since = since;
  }

  override get origin(): AcquireOrigin | undefined {
    return this.#origin;
  }

  override get released(): boolean {
    return this.#over || super.released;
  }

  override get connection(): T {
    if (this.#over) throw this.#sharedOwner.leaseOver('used');
    return super.connection;
  }

  override release(reason?: CloseReason): void {
    if (this.released) throw this.#sharedOwner.leaseOver('released');
    this.#over = true;
    this.#sharedOwner.giveBackShare(this, reason);
  }
}
