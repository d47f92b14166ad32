import type { AcquireOrigin } from '../../core/acquire-origin.js';
import { traceAbove } from '../../core/call-trace.js';
import type { Clock, Timer } from '../../core/clock.js';
import { PoolAcquireTimeoutError, PoolLeaseReleasedError } from '../../core/errors.js';
import { poolClosedError } from '../../core/life-cycle.js';
import type { PoolEntry } from '../../core/pool-entry.js';
import type { EngineAcquireOptions } from '../../core/pool-options.js';
import { presentHandler } from '../../core/request-context.js';
import type { PostgresConnection } from '../../database/connection/connection.js';
import type { StatementSender } from '../../database/connection/statement-runner.js';
import type { DatabaseLease } from '../../database/database-lease.js';
import type { Lender } from '../../database/database-leases.js';
import type { DatabasePool } from '../../database/database-pool.js';
import { HeldConnection, type TestConnection } from './held-connection.js';
import { HeldRunner } from './held-runner.js';
import { Turn } from './turn.js';
import { WaitingHolder, type Wanted } from './waiting-holder.js';

/** Frames of a captured stack: from here to the application. */
const TRACE_FRAMES = 30;

/** Who has run nothing for so long while another one waits is taken to wait for that one, in milliseconds. */
const QUIET_MS = 3_000;

/** What a shared connection is made with. */
export interface SharedConnectionParts {
  readonly pool: DatabasePool;
  readonly connection: PostgresConnection;
  readonly clock: Clock;
  /** Ends the whole. */
  end(): void;
}

/**
 * The one connection of a test, lent to one after the other. Who acquires while somebody holds it waits, unless the holder itself
 * has asked: then it comes in between.
 */
export class SharedConnection implements Lender, TestConnection {
  readonly name: string;
  readonly connection: PostgresConnection;
  readonly sender: StatementSender;
  readonly end: () => void;
  /** Whether whoever comes is refused. */
  closed = false;
  readonly #pool: DatabasePool;
  readonly #clock: Clock;
  /** Who holds it: each was let in between by the one before. */
  readonly #held: HeldConnection[] = [];
  readonly #waiting = new Set<WaitingHolder>();
  #changed: (() => void)[] = [];
  #watch: Timer | undefined = undefined;
  #savepoints = 0;

  constructor({ pool, connection, clock, end }: SharedConnectionParts) {
    this.name = pool.name;
    this.connection = connection;
    this.sender = connection.runner;
    this.end = end;
    this.#pool = pool;
    this.#clock = clock;
    connection.runner = new HeldRunner(connection.runner, (lease) => this.#heldBy(lease));
    connection.shownStatus = 'I';
  }

  /** The connection is what it was. */
  giveUp(): void {
    this.connection.runner = this.sender;
    this.connection.shownStatus = undefined;
  }

  async acquire(options: EngineAcquireOptions | undefined): Promise<DatabaseLease> {
    const { signal, timeoutMs, use = 'held', origin: known } = options ?? {};
    signal?.throwIfAborted();
    if (this.closed) throw poolClosedError(this.name);
    const trace = traceAbove(SharedConnection.prototype.acquire, TRACE_FRAMES);
    const origin: AcquireOrigin = { label: presentHandler(), span: undefined, ...known, trace: known?.trace ?? trace };
    const wanted: Wanted = { use, origin, turn: Turn.present };
    if (this.#admits(wanted)) return await this.#lend(wanted);
    const waiting = new WaitingHolder({
      wanted,
      clock: this.#clock,
      timeoutMs: timeoutMs ?? this.#pool.configuration.acquireTimeoutMs,
      signal,
      late: (late) => late.reject(this.#lateError()),
      gone: (gone) => this.#gone(gone),
    });
    this.#waiting.add(waiting);
    this.#watchHolder();
    return await waiting.lease;
  }

  holding<Result>(fn: () => Result): Result {
    return Turn.run(fn);
  }

  #admits({ turn }: Wanted): boolean {
    const top = this.#held.at(-1);
    if (top === undefined) return true;
    return top.nests && !top.over && top.turn !== undefined && turn?.isWithin(top.turn) === true;
  }

  async #lend(wanted: Wanted): Promise<DatabaseLease> {
    const held = new HeldConnection(this, { ...wanted, now: () => this.#clock.now() });
    this.#held.push(held);
    this.connection.shownStatus = 'I';
    const { onAcquire } = this.#pool.configuration;
    if (onAcquire !== undefined) {
      try {
        await held.prepare(() => onAcquire(this.connection.client));
      } catch (error) {
        this.giveBack(held.entry);
        throw error;
      }
    }
    return held.lease;
  }

  #heldBy(lease: unknown): HeldConnection {
    const held = this.#held.find((each) => each.lease === lease);
    if (held === undefined) throw this.leaseOver('used');
    return held;
  }

  giveBack(entry: PoolEntry<PostgresConnection>): void {
    entry.epoch++;
    const held = this.#held.find((each) => each.entry === entry);
    if (held === undefined) return;
    held.over = true;
    void held.finish().then(() => this.#finished(held));
  }

  /** The next holder has to wait: each one's transaction is a savepoint of the test's. */
  handOn(): boolean {
    return false;
  }

  giveBackShare(entry: PoolEntry<PostgresConnection>): void {
    this.giveBack(entry);
  }

  leaseOver(action: 'used' | 'released'): Error {
    return new PoolLeaseReleasedError(
      this.name,
      `${this.name}: a connection was ${action} after it had been given back`,
    );
  }

  #finished(held: HeldConnection): void {
    this.#held.splice(this.#held.indexOf(held), 1);
    this.connection.shownStatus = this.#held.at(-1)?.status ?? 'I';
    this.#serve();
    this.#tellChange();
  }

  #serve(): void {
    for (const waiting of [...this.#waiting]) {
      if (this.#admits(waiting.wanted)) waiting.resolve(this.#lend(waiting.wanted));
    }
  }

  #gone(waiting: WaitingHolder): void {
    this.#waiting.delete(waiting);
    this.#tellChange();
  }

  #tellChange(): void {
    const changed = this.#changed;
    this.#changed = [];
    for (const tell of changed) tell();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#changed.push(resolve));
  }

  async onTop(held: HeldConnection): Promise<void> {
    while (this.#held.at(-1) !== held) await this.#change();
  }

  nextSavepoint(): string {
    this.#savepoints++;
    return `test_${this.#savepoints}`;
  }

  /** Resolves when nobody holds it and nobody waits for it. */
  async quiet(): Promise<void> {
    while (this.#held.length > 0 || this.#waiting.size > 0) await this.#change();
  }

  /** Who holds it, and hasn't given it back. */
  get holders(): string[] {
    return this.#held.filter(({ over }) => !over).map(({ holder }) => holder);
  }

  /** Takes it from whoever holds it. */
  takeAway(): void {
    for (const waiting of [...this.#waiting]) waiting.reject(poolClosedError(this.name));
    for (const held of this.#held.toReversed()) if (!held.over) this.giveBack(held.entry);
  }

  /** Who waits for a holder that waits for him is told so, before the test's own time limit says nothing of it. */
  #watchHolder(): void {
    if (this.#watch !== undefined) return;
    const look = (): void => {
      this.#watch = undefined;
      const top = this.#held.at(-1);
      if (top === undefined || this.#waiting.size === 0) return;
      const left = QUIET_MS - top.quietMs;
      if (left > 0) {
        this.#watch = this.#clock.setBackgroundTimeout(look, left);
        return;
      }
      for (const waiting of [...this.#waiting]) waiting.reject(this.#lateError());
    };
    this.#watch = this.#clock.setBackgroundTimeout(look, QUIET_MS);
  }

  #lateError(): PoolAcquireTimeoutError {
    const top = this.#held.at(-1);
    const holder = top === undefined ? 'somebody' : top.holder;
    const quiet =
      top === undefined || top.quietMs === 0 ? '' : `, and has run nothing for ${Math.round(top.quietMs)} ms`;
    return new PoolAcquireTimeoutError(
      this.name,
      `${this.name}: in the transaction of a test (beginTestTransaction) one connection serves everybody, one after the other: ` +
        `${holder} holds it${quiet}. If that waits for what was asked for here, ask for it within the callback of ` +
        'transactional(), db.transaction().execute() or withConnection(), where it comes in between, or give the test a database ' +
        'of its own with cloneDatabase()',
      { details: { holder } },
    );
  }
}
