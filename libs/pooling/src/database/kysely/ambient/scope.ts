import type { CompiledQuery, QueryResult } from 'kysely';
import type { PoolTransactionError } from '../../../core/errors.js';
import { Hooks } from './hooks.js';
import type { BegunAt } from './begun-at.js';
import type { Beginning } from '../../query/opening.js';
import type { TransactionSession } from './transaction-session.js';
import { SavepointTurns } from './savepoint-turns.js';

/** The transaction of a scope. */
export interface ScopedTransaction {
  /** The name of the database. */
  readonly name: string;
  readonly beginning: Beginning;
  readonly begunAt: BegunAt;
  readonly session: TransactionSession;
  readonly root: Scope;
  nextSavepoint(): string;
  /** The error of a statement after the end. */
  overError(what: 'savepoint' | 'transaction', reason: Error | undefined): PoolTransactionError;
}

/**
 * A transaction, or a savepoint in one: what is sent in it, its hooks, and the savepoints within. A savepoint is sent with
 * its first statement, so that an empty one costs nothing.
 */
export class Scope {
  readonly transaction: ScopedTransaction;
  readonly hooks = new Hooks();
  readonly #parent: Scope | undefined;
  readonly #turns: SavepointTurns;
  /** Whether statements around it wait while it is open. Not with `startTransaction()`: both come from the same context. */
  readonly #alone: boolean;
  readonly #savepoint: string;
  #sent = false;
  #state: 'open' | 'over' = 'open';
  #reason: Error | undefined = undefined;
  /** Whether its savepoint is gone: released, rolled back, or gone with the scope around it. */
  #ended = false;
  /** Inner savepoints that are open or wait. */
  readonly #within = new Set<Scope>();

  constructor(transaction: ScopedTransaction, parent?: Scope, alone = true) {
    this.transaction = transaction;
    this.#parent = parent;
    this.#alone = alone;
    this.#turns = parent === undefined || alone ? new SavepointTurns() : parent.#turns;
    this.#savepoint = parent === undefined ? '' : transaction.nextSavepoint();
  }

  /** Whether it accepts no more statements. */
  get over(): boolean {
    return this.#state === 'over';
  }

  /** Sends a statement at once, or after the savepoint that is open. */
  execute<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    if (this.#state !== 'open') return Promise.reject(this.overError());
    if (!this.#turns.free) return this.#executeLater(query);
    this.#send();
    return this.transaction.session.executeQuery<Row>(query);
  }

  async #executeLater<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    await this.#turn();
    return await this.transaction.session.executeQuery<Row>(query);
  }

  /** Streams the rows of a query, after the savepoint that is open. */
  async *stream<Row>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<Row>> {
    await this.#turn();
    yield* this.transaction.session.streamQuery<Row>(query, chunkSize);
  }

  /** Resolves when a statement may be sent; by then its savepoint was sent. */
  async #turn(): Promise<void> {
    this.#refuseOver();
    if (!this.#turns.free) {
      await this.#turns.statement();
      this.#refuseOver();
    }
    this.#send();
  }

  /** Begins a savepoint, after the one that is open. */
  async nest(): Promise<Scope> {
    this.#refuseOver();
    const inner = new Scope(this.transaction, this);
    this.#within.add(inner);
    try {
      await this.#turns.enter();
    } catch (error) {
      this.#within.delete(inner);
      throw error;
    }
    if (this.#state === 'open') return inner;
    this.#within.delete(inner);
    this.#turns.leave();
    throw this.overError();
  }

  /** Begins a savepoint for one of Kysely's controlled transactions, whose statements mix with those of this scope. */
  async nestBeside(): Promise<Scope> {
    await this.#turn();
    const inner = new Scope(this.transaction, this, false);
    this.#within.add(inner);
    inner.#send();
    return inner;
  }

  /**
   * Releases a savepoint: from now on it is part of the scope around it.
   *
   * @throws the server's error, such as 25P02 when one of its statements had failed; it is rolled back by then.
   */
  async release(): Promise<void> {
    if (!this.#alone) await this.#turn();
    this.#refuseOver();
    await this.#end(true);
  }

  /** Rolls back a savepoint. */
  async undo(): Promise<void> {
    if (!this.#ended) await this.#end(false);
  }

  async #end(released: boolean): Promise<void> {
    const parent = this.#parent as Scope;
    parent.#within.delete(this);
    this.#ended = true;
    this.close();
    try {
      if (released) {
        await this.undoUnfinished();
        if (this.#sent) await this.transaction.session.command(`release savepoint ${this.#savepoint}`);
        parent.hooks.takeOver(this.hooks);
      } else await this.#rollBack();
    } catch (error) {
      await this.#rollBack();
      throw error;
    } finally {
      if (this.#alone) parent.#turns.leave();
    }
  }

  async #rollBack(): Promise<void> {
    this.#forgetWithin();
    (this.#parent as Scope).hooks.takeRolledBack(this.hooks);
    if (!this.#sent) return;
    // A savepoint that can't be rolled back alone goes with the transaction: the server refuses everything else from then on.
    const { session } = this.transaction;
    await Promise.allSettled([
      session.command(`rollback to savepoint ${this.#savepoint}`),
      session.command(`release savepoint ${this.#savepoint}`),
    ]);
  }

  /** Inner savepoints are gone with this one. */
  #forgetWithin(): void {
    for (const inner of this.#within) {
      inner.#ended = true;
      inner.#forgetWithin();
      this.hooks.takeRolledBack(inner.hooks);
    }
    this.#within.clear();
  }

  /** Accepts nothing more, here and in all inner savepoints; `reason`: why, when its caller hasn't ended it. */
  close(reason?: Error): void {
    this.#state = 'over';
    this.#reason ??= reason;
    // With `startTransaction()` the turns are those of the scope around it.
    if (this.#alone) this.#turns.close(() => this.overError());
    for (const inner of this.#within) inner.close(reason);
  }

  /** A closed scope for code whose time limit is over: it accepts nothing, and this one goes on. */
  closedFor(reason: Error): Scope {
    const closed = new Scope(this.transaction, this);
    closed.close(reason);
    return closed;
  }

  /** Rolls back inner savepoints that are still open: nobody has awaited their work, and it isn't done. */
  async undoUnfinished(): Promise<void> {
    for (const inner of [...this.#within].toReversed()) {
      this.#within.delete(inner);
      inner.#ended = true;
      await inner.#rollBack();
    }
  }

  #send(): void {
    if (this.#sent) return;
    this.#sent = true;
    if (this.#parent === undefined) return;
    this.#parent.#send();
    // If it fails, all that follows fails as well: the transaction had failed before, or the connection is lost.
    this.transaction.session.command(`savepoint ${this.#savepoint}`).catch(() => undefined);
  }

  #refuseOver(): void {
    if (this.#state !== 'open') throw this.overError();
  }

  /** The error of a statement after the end. */
  overError(): PoolTransactionError {
    const { root } = this.transaction;
    return this.transaction.overError(root.over ? 'transaction' : 'savepoint', this.#reason ?? root.#reason);
  }
}
