import type { EventEmitter } from 'node:events';
import type { PoolClient } from 'pg';
import type { AcquireOrigin } from '../core/acquire-origin.js';
import { releaseChannel } from '../core/diagnostics.js';
import { PoolAcquireTimeoutError } from '../core/errors.js';
import type { Pool } from '../core/pool.js';
import { rethrow } from '../core/rethrow.js';
import type { EngineAcquireOptions, LeaseUse } from '../core/pool-options.js';
import type { CloseReason } from '../core/statistics.js';
import type { PostgresConnection } from './connection/connection.js';
import type { DatabaseLease } from './database-lease.js';
import type { WriteNote, WriteNotes } from './query/write-notes.js';
import { PooledClient, type PooledClientHost } from './pooled-client.js';

/** Who lends a connection in place of the pool: a test, in which everybody shares one. */
export interface Lender {
  acquire(options: EngineAcquireOptions | undefined): Promise<DatabaseLease>;
  /** Runs what holds a connection, or will: what that acquires meanwhile is served before it gives its own back. */
  holding<Result>(fn: () => Result): Result;
  /** The pool is about to close. */
  end(): void;
}

/** What leases need of their pool. */
export interface LeasesHost {
  readonly name: string;
  readonly queryTimeoutMs: number;
  readonly engine: Pool<PostgresConnection>;
  /** Whether a hook runs at each acquire. */
  readonly hooked: boolean;
  /** An acquire timed out; called in its async context. */
  timedOut(error: Error): void;
  /** Whose listeners hear of leases, as `pg-pool`'s do. */
  readonly emitter: EventEmitter;
  /** There where others read from replicas what borrowers write. */
  readonly writes: WriteNotes | undefined;
}

/** Emits an event from within the engine. A listener's error is thrown in a later turn, so that the engine goes on. */
export function announce(emitter: EventEmitter, event: string, ...parameters: unknown[]): void {
  if (emitter.listenerCount(event) === 0) return;
  try {
    emitter.emit(event, ...parameters);
  } catch (error) {
    rethrow(error);
  }
}

/** Every lease of a database pool begins and ends here, whoever it is for. */
export class DatabaseLeases {
  /** Who lends in place of the pool. */
  lender: Lender | undefined = undefined;
  readonly #host: LeasesHost;
  readonly #clientHost: PooledClientHost;
  /** Nothing here may keep a lease alive that its borrower has dropped: leak detection waits for that. */
  readonly #clients = new WeakMap<DatabaseLease, PoolClient>();
  /** The notes that are taken of what borrowers write. */
  readonly #notes: WeakMap<DatabaseLease, WriteNote> | undefined;
  #started = false;

  constructor(host: LeasesHost) {
    this.#host = host;
    this.#notes = host.writes === undefined ? undefined : new WeakMap();
    this.#clientHost = {
      name: host.name,
      queryTimeoutMs: host.queryTimeoutMs,
      release: (lease, error) => this.giveBack(lease, error, error ? 'broken' : undefined),
      note: (lease) => this.#note(lease),
    };
  }

  /** Whether hooks or listeners hear of acquires and releases: they are called in the async context of the acquire. */
  get heard(): boolean {
    const { hooked, emitter } = this.#host;
    return (
      hooked ||
      releaseChannel.hasSubscribers ||
      emitter.listenerCount('release') > 0 ||
      emitter.listenerCount('acquire') > 0
    );
  }

  /** Starts the background work of the pool. */
  start(): void {
    this.#started = true;
    this.#host.engine.start();
  }

  /**
   * Leases a connection at once, or gives `undefined`. Where none is idle, a `shared` lease may use one that others use.
   *
   * @param traced whether a tracer listens, where that is known.
   */
  tryAcquire(use: LeaseUse, traced?: boolean): DatabaseLease | undefined {
    if (this.lender !== undefined && use !== 'own') return undefined;
    const lease = this.#host.engine.tryAcquire(use, traced);
    if (lease !== undefined && use !== 'own') this.#announceAcquire(lease);
    return lease;
  }

  /** A connection, by its deadline. */
  async acquire(options?: EngineAcquireOptions): Promise<DatabaseLease> {
    if (!this.#started) this.start();
    let lease: DatabaseLease;
    try {
      const { lender } = this;
      lease = await (lender === undefined || options?.use === 'own'
        ? this.#host.engine.acquire(options)
        : lender.acquire(options));
    } catch (error) {
      if (error instanceof PoolAcquireTimeoutError) this.#host.timedOut(error);
      throw error;
    }
    if (options?.use !== 'own') this.#announceAcquire(lease);
    return lease;
  }

  /** Who calls now, as far as that is kept: for a lease that is taken later. */
  get origin(): AcquireOrigin {
    return this.#host.engine.origin('held');
  }

  /** The one client of a lease. */
  clientOf(lease: DatabaseLease): PoolClient {
    let client = this.#clients.get(lease);
    if (client === undefined) {
      client = new PooledClient(this.#clientHost, lease);
      this.#clients.set(lease, client);
    }
    return client;
  }

  /** The one note of a lease: what a borrower runs may write, whatever it is. */
  #note(lease: DatabaseLease): WriteNote | undefined {
    const { writes } = this.#host;
    if (writes === undefined || lease.use === 'own') return undefined;
    const notes = this.#notes as WeakMap<DatabaseLease, WriteNote>;
    let note = notes.get(lease);
    if (note === undefined) notes.set(lease, (note = writes.begin()));
    return note;
  }

  /**
   * The borrower has sent the end of its transaction and will send nothing more: lends the connection to the first waiter,
   * if it may have it before the answer. The lease is over then, and is not given back.
   */
  handOn(lease: DatabaseLease): void {
    if (this.#host.engine.queued === 0 || this.lender !== undefined || this.heard || this.#clients.has(lease)) return;
    lease.handOn();
  }

  /** How long a lease has lasted, in milliseconds; `undefined`: it is over, or not the pool's. */
  heldMs(lease: DatabaseLease): number | undefined {
    if (lease.released || this.lender !== undefined) return undefined;
    return this.#host.engine.deadlines.now - lease.since;
  }

  /** Ends a lease, unless it was ended by force already. Never throws. */
  giveBack(lease: DatabaseLease, error?: Error | boolean, reason?: CloseReason): void {
    if (lease.released) return;
    const { before } = lease.connection.underway;
    // It has sent nothing, or won't wait: the connection is still busy with the transaction before.
    if (before !== undefined) return void before.then(() => this.giveBack(lease, error, reason));
    // What a cursor or a COPY has written is known to nobody but its borrower.
    this.#notes?.get(lease)?.somewhere();
    const { connection } = lease;
    const { emitter } = this.#host;
    if (lease.use !== 'own' && emitter.listenerCount('release') > 0)
      announce(emitter, 'release', error, this.clientOf(lease));
    const { borrower } = connection;
    connection.forgetBorrower();
    lease.release(connection.closeReason ?? reason);
    borrower?.removeAllListeners();
  }

  #announceAcquire(lease: DatabaseLease): void {
    const { emitter } = this.#host;
    if (emitter.listenerCount('acquire') > 0) announce(emitter, 'acquire', this.clientOf(lease));
  }
}
