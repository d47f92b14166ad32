import type { CompiledQuery, QueryResult } from 'kysely';
import type { PoolTransactionError } from '../../../core/errors.js';
import { Hooks } from './hooks.js';
import type { BegunAt } from './begun.js';
import type { Beginning, TransactionSession } from './session.js';
import { Turns } from './turns.js';

/** The transaction that a scope is of, or in. */
export interface ScopedTransaction {
  /** The name of the database. */
  readonly name: string;
  readonly beginning: Beginning;
  readonly begunAt: BegunAt;
  readonly session: TransactionSession;
  readonly root: Scope;
  nextSavepoint(): string;
  /** The error of what comes after the end. */
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
  readonly #turns: Turns;
  /** Whether its statements wait while it is open: those of `startTransaction()` can't be told from those around it. */
  readonly #alone: boolean;
  readonly #savepoint: string;
  #sent = false;
  #state: 'open' | 'over' = 'open';
  #reason: Error | undefined = undefined;
  /** Whether its savepoint is dealt with: released, undone, or gone with what is around it. */
  #ended = false;
  /** The savepoints that are open or wait in it. */
  readonly #within = new Set<Scope>();

  constructor(transaction: ScopedTransaction, parent?: Scope, alone = true) {
    this.transaction = transaction;
    this.#parent = parent;
    this.#alone = alone;
    this.#turns = parent === undefined || alone ? new Turns() : parent.#turns;
    this.#savepoint = parent === undefined ? '' : transaction.nextSavepoint();
  }

  /** Whether nothing more is let in. */
  get over(): boolean {
    return this.#state === 'over';
  }

  /** The scope in whose fate this one shares; `undefined`: it is the transaction itself. */
  get parent(): Scope | undefined {
    return this.#parent;
  }

  /** Runs a statement when it is its turn: at once, unless a savepoint is open. */
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

  /** Streams the rows of a query when it is its turn. */
  async *stream<Row>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<Row>> {
    await this.#turn();
    yield* this.transaction.session.streamQuery<Row>(query, chunkSize);
  }

  /** Resolves when it is a statement's turn, with the savepoint sent. */
  async #turn(): Promise<void> {
    this.#refuseOver();
    if (!this.#turns.free) {
      await this.#turns.statement();
      this.#refuseOver();
    }
    this.#send();
  }

  /** Begins a savepoint when it is its turn. */
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

  /** Begins a savepoint whose statements come in between those of this scope, as Kysely's controlled transactions do. */
  async nestBeside(): Promise<Scope> {
    await this.#turn();
    const inner = new Scope(this.transaction, this, false);
    this.#within.add(inner);
    inner.#send();
    return inner;
  }

  /**
   * Ends a savepoint: with the fate of the scope around it.
   *
   * @throws the server's error, such as 25P02 when one of its statements had failed; it is rolled back by then.
   */
  async release(): Promise<void> {
    if (!this.#alone) await this.#turn();
    this.#refuseOver();
    await this.#end(true);
  }

  /** Undoes a savepoint. */
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
    // What can't be undone alone is undone with the whole: the server refuses everything else from then on.
    const { session } = this.transaction;
    await Promise.allSettled([
      session.command(`rollback to savepoint ${this.#savepoint}`),
      session.command(`release savepoint ${this.#savepoint}`),
    ]);
  }

  /** What has begun within goes with this. */
  #forgetWithin(): void {
    for (const inner of this.#within) {
      inner.#ended = true;
      inner.#forgetWithin();
      this.hooks.takeRolledBack(inner.hooks);
    }
    this.#within.clear();
  }

  /** Lets in nothing more, here and in all savepoints within; `reason`: why, where its end was not asked for. */
  close(reason?: Error): void {
    this.#state = 'over';
    this.#reason ??= reason;
    // Statements of `startTransaction()` wait with those around it.
    if (this.#alone) this.#turns.close(() => this.overError());
    for (const inner of this.#within) inner.close(reason);
  }

  /** The same for code that has had its time in it: nothing more of that is let in. */
  closedFor(reason: Error): Scope {
    const closed = new Scope(this.transaction, this);
    closed.close(reason);
    return closed;
  }

  /** Undoes the savepoints within that nobody has ended: work that nobody waited for, and that isn't done. */
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
    // Where it fails, so does all that follows: the transaction had failed before, or the connection is lost.
    this.transaction.session.command(`savepoint ${this.#savepoint}`).catch(() => undefined);
  }

  #refuseOver(): void {
    if (this.#state !== 'open') throw this.overError();
  }

  /** The error of what comes after the end. */
  overError(): PoolTransactionError {
    const { root } = this.transaction;
    return this.transaction.overError(root.over ? 'transaction' : 'savepoint', this.#reason ?? root.#reason);
  }
}
