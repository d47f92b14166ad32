import type { AsyncResource } from 'node:async_hooks';
import type { Submittable } from 'pg';
import { presentContext } from '../../core/async-context.js';
import { PoolLeaseReleasedError } from '../../core/errors.js';
import type { AcquireOptions } from '../../core/pool-options.js';
import type { CloseReason } from '../../core/statistics.js';
import type { PostgresConnection } from '../connection/connection.js';
import { mayEndTransaction } from '../connection/transaction-end.js';
import type { DatabaseLease } from '../database-lease.js';
import type { DatabasePool } from '../database-pool.js';
import type { Opening } from '../query/opening.js';
import type { QueryOutcome, QueryText, StatementForm } from '../query/query-forms.js';
import type { TracedTransaction } from '../query/traced-transaction.js';
import { noting, PositionedWrite, type WriteNote } from '../query/write-notes.js';
import { PlaceInTransaction } from '../wire/place-in-transaction.js';
import type { LeaseSource } from './connection-way.js';

/** What sending statements needs of the pool. */
interface StatementsWay {
  readonly pool: Pick<DatabasePool, 'name' | 'configuration'>;
  readonly leases: LeaseSource;
}

/** How often a transaction is begun at most, when its connection was lost before the server began with it. */
const MOST_ATTEMPTS = 3;

/** A statement, or a request for the connection itself. */
interface Asked {
  /** `undefined`: a request for the connection, for which nothing is sent. */
  readonly text: QueryText | undefined;
  readonly values: unknown[];
  readonly form: StatementForm;
  readonly outcome: QueryOutcome;
  /** Counts what was asked for before it. */
  readonly turn: number;
  /** The context in which it is sent, when it had to wait or is sent again. */
  context: AsyncResource | undefined;
  /** That of its transaction, where that wasn't answered when it was sent. */
  opening: Opening | undefined;
  /** Why its connection is lost, where the server has done nothing for it that stays. */
  loss: Error | undefined;
}

/**
 * Sends statements on one lease, in the order in which they are asked for: the first one of a transaction together with
 * `BEGIN`, the others without waiting for answers.
 */
export class OrderedStatements {
  /** The opening of the transaction that was begun last. */
  opening: Opening | undefined = undefined;
  /** What tracers hear of the transaction. */
  #trace: TracedTransaction | undefined = undefined;
  /** The role of the statements: those of a batch are given up when one before them has failed. */
  role: 'statement' | 'batched' = 'statement';
  readonly #way: StatementsWay;
  #lease: DatabaseLease | undefined;
  readonly #acquire: AcquireOptions | undefined;
  #over = false;
  #running = 0;
  #turns = 0;
  #idle: (() => void) | undefined = undefined;
  /** What waits for the lease, or for the answer to a `BEGIN` that had to be sent by itself. */
  #held: Asked[] | undefined = undefined;
  /** Whether somebody has an answer that rests on this lease. */
  #answered = false;
  /** What was lost with the connection and may begin again, once it is known that all of it may. */
  #lost: Asked[] | undefined = undefined;

  /** @param lease left out: it is leased with the first statement, by `acquire`. */
  constructor(way: StatementsWay, lease: DatabaseLease | undefined, acquire: AcquireOptions | undefined) {
    this.#way = way;
    this.#lease = lease;
    this.#acquire = acquire;
  }

  /** What tracers hear of the transaction: its statements belong to it. */
  set trace(trace: TracedTransaction | undefined) {
    this.#trace = trace;
    const { connection } = this;
    if (connection !== undefined) connection.runner.transaction = trace;
  }

  /** Whether the lease is over, or won't be taken any more. */
  get over(): boolean {
    return this.#over || this.#lease?.released === true;
  }

  /** The connection, while it is leased. */
  get connection(): PostgresConnection | undefined {
    return this.over ? undefined : this.#lease?.connection;
  }

  /** Statements without an answer. */
  get running(): number {
    return this.#running;
  }

  /** Runs a statement after those that were asked for before. */
  run(text: QueryText, values: unknown[], form: StatementForm, outcome: QueryOutcome): void {
    this.#ask(text, values, form, outcome);
  }

  /** Commits, and takes note of where in the log that is: asked for in the same flight. */
  commit(note: WriteNote | undefined, outcome: QueryOutcome): void {
    const { connection } = this;
    if (note === undefined) return this.run('commit', [], 'end', outcome);
    if (connection === undefined) return this.run('commit', [], 'end', noting(note, outcome));
    const { queryTimeoutMs } = this.#way.pool.configuration;
    const write = new PositionedWrite(note, connection.runner, queryTimeoutMs, outcome);
    this.run('commit', [], 'end', write.answered);
    write.sent();
  }

  /** `COMMIT` was sent and nothing will follow it: the next borrower may have the connection now. */
  handOn(): void {
    if (this.#lease !== undefined && !this.over) this.#way.leases.handOn(this.#lease);
  }

  /** Resolves when the connection is leased, and the transaction that was begun is open. */
  ready(): Promise<PostgresConnection> {
    return new Promise((resolve, reject) => {
      this.#ask(undefined, [], 'text', (error) => {
        const { connection } = this;
        if (error === undefined && connection !== undefined) resolve(connection);
        else reject(error ?? this.#leaseOver());
      });
    });
  }

  #ask(text: QueryText | undefined, values: unknown[], form: StatementForm, outcome: QueryOutcome): void {
    this.#running++;
    const answered: QueryOutcome = (error, result, untouched) => {
      if (error !== undefined && untouched === true && this.#mayBeginAgain(asked)) {
        return this.#lose(asked, error);
      }
      this.#answered = true;
      this.#running--;
      if (this.#running === 0) this.#idle?.();
      outcome(error, result, untouched);
      this.#giveUp();
    };
    const asked: Asked = {
      text,
      values,
      form,
      outcome: answered,
      turn: this.#turns++,
      context: undefined,
      opening: undefined,
      loss: undefined,
    };
    if (this.#held === undefined) return this.#send(asked);
    asked.context = presentContext();
    this.#held.push(asked);
  }

  /** Runs a cursor on the connection, which is {@link ready}. */
  submit(submittable: Submittable): void {
    const lease = this.#lease as DatabaseLease;
    lease.connection.runner.submit(lease, submittable);
  }

  /** Resolves when all that was asked for is answered. */
  async settled(): Promise<void> {
    while (this.#running > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  #send(asked: Asked): void {
    const { text, values, form, outcome } = asked;
    if (this.over) return outcome(this.#leaseOver(), undefined as never, true);
    const { opening } = this;
    if (opening !== undefined && opening.state !== 'open') {
      asked.opening = opening;
      asked.context ??= presentContext();
    }
    if (opening?.state === 'failed' && form !== 'end') return outcome(opening.failure(), undefined as never, true);
    const lease = this.#lease;
    if (lease === undefined) return this.#leaseFor(asked);
    const { runner } = lease.connection;
    const { queryTimeoutMs } = this.#way.pool.configuration;
    if (opening !== undefined && text !== undefined && runner.runsInOrder(text, form)) {
      const place = new PlaceInTransaction(opening, form === 'command' || form === 'end' ? form : this.role);
      return runner.executeInOrder(lease, text, values, place, queryTimeoutMs, outcome);
    }
    const { before } = lease.connection.underway;
    if (before !== undefined) return this.#holdUntil(asked, before);
    if (opening !== undefined && form !== 'end' && opening.state !== 'open')
      return this.#openFor(asked, lease, opening);
    if (text === undefined) outcome(undefined, undefined as never);
    else runner.execute(lease, text, values, queryTimeoutMs, outcome);
  }

  #leaseFor(asked: Asked): void {
    asked.context ??= presentContext();
    this.#held = [asked];
    this.#acquireLease();
  }

  #acquireLease(): void {
    // Nobody wants it any more.
    if (this.#over) return this.#letGo();
    this.#way.leases.acquire(this.#acquire).then(
      (lease) => {
        if (this.#over) this.#way.leases.giveBack(lease);
        else this.#leased(lease);
        this.#letGo();
      },
      (error: Error) => {
        const { opening } = this;
        // Some of its statements have failed with the connection before: the others must not be committed without them.
        if (opening !== undefined && opening.attempt > 1) opening.failed(error, true);
        const held = this.#held ?? [];
        this.#held = undefined;
        for (const { outcome } of held) outcome(error, undefined as never, true);
      },
    );
  }

  /**
   * Whether a statement may be sent again on another connection: its own was lost before the server began with the transaction,
   * or behind the `COMMIT` of another one. What may have been done is undone, and nobody has an answer that rests on it.
   */
  #mayBeginAgain({ text, form, opening }: Asked): boolean {
    const lease = this.#lease;
    if (opening === undefined || opening !== this.opening || opening.attempt >= MOST_ATTEMPTS) return false;
    if (this.#answered || form === 'end' || this.role === 'batched') return false;
    if (lease === undefined || this.over || !hasDied(lease.connection)) return false;
    // What ends its transaction by itself may have committed it.
    return text === undefined || !mayEndTransaction(text);
  }

  /** A statement may begin again, if all that were sent with it may: those of a transaction are done together or not at all. */
  #lose(asked: Asked, error: Error): void {
    asked.loss = error;
    (this.#lost ??= []).push(asked);
    this.#held ??= [];
    this.#beginAgain();
  }

  #beginAgain(): void {
    const { opening } = this;
    const lost = this.#lost;
    const held = this.#held ?? [];
    if (opening === undefined || lost === undefined || lost.length + held.length < this.#running) return;
    const lease = this.#lease as DatabaseLease;
    this.#lost = undefined;
    this.#lease = undefined;
    this.opening = opening.again();
    // The last one may have been refused before the first one was lost.
    this.#held = [...lost, ...held].sort((one, other) => one.turn - other.turn);
    if (this.#trace !== undefined) {
      this.#trace.attempts++;
      this.#trace.event('nestjs_pooling.retried_elsewhere');
    }
    this.#way.leases.giveBack(lease, undefined, 'broken');
    const { context } = this.#held[0] as Asked;
    // Later in this turn: by then the pool knows which other connections the server has ended.
    setImmediate(() => (context as AsyncResource).runInAsyncScope(this.#acquireLease, this));
  }

  /** One of the statements of the transaction was answered: those that were lost with its connection fail. */
  #giveUp(): void {
    const lost = this.#lost;
    if (lost === undefined) return;
    this.#lost = undefined;
    for (const { outcome, loss } of lost) outcome(loss as Error, undefined as never, true);
    this.#letGo();
  }

  #leased(lease: DatabaseLease): void {
    this.#lease = lease;
    if (this.#trace !== undefined) lease.connection.runner.transaction = this.#trace;
  }

  /** The end of the last borrower's transaction isn't answered yet. */
  #holdUntil(asked: Asked, before: Promise<void>): void {
    asked.context ??= presentContext();
    this.#held = [asked];
    void before.then(() => this.#letGo());
  }

  #openFor(asked: Asked, lease: DatabaseLease, opening: Opening): void {
    asked.context ??= presentContext();
    this.#held = [asked];
    if (!opening.claimed) lease.connection.runner.open(lease, opening, this.#way.pool.configuration.queryTimeoutMs);
    opening.whenAnswered(() => this.#letGo());
  }

  #letGo(): void {
    // What was lost goes first.
    if (this.#lost !== undefined) return;
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const asked of held) {
      // If one has to wait again, those behind it wait as well.
      if (this.#held === undefined) (asked.context as AsyncResource).runInAsyncScope(this.#send, this, asked);
      else (this.#held as Asked[]).push(asked);
    }
    this.#beginAgain();
  }

  /** Gives the lease back, or lets none be taken any more; a second time does nothing. */
  release(reason?: CloseReason): void {
    this.#over = true;
    if (this.#lease !== undefined) this.#way.leases.giveBack(this.#lease, undefined, reason);
  }

  #leaseOver(): PoolLeaseReleasedError {
    const { name } = this.#way.pool;
    return new PoolLeaseReleasedError(
      name,
      `${name}: the connection was used after it had been given back to the pool`,
    );
  }
}

/** Whether a connection was lost, and not given up by this side, as after a time-out. */
function hasDied({ alive, abandoned, closeReason }: PostgresConnection): boolean {
  return !alive && !abandoned && (closeReason === undefined || closeReason === 'broken');
}
