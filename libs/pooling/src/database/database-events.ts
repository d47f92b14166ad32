import type { EventEmitter } from 'node:events';
import { asNobody } from '../core/async-context.js';
import type { Clock } from '../core/clock.js';
import {
  acquireChannel,
  closeChannel,
  connectChannel,
  leakChannel,
  releaseChannel,
  timeoutChannel,
} from '../core/diagnostics.js';
import { originOf } from '../core/holders.js';
import type { Pool } from '../core/pool.js';
import type { LeakReport, ObservedSlot, PoolObserver } from '../core/pool-options.js';
import type { CloseReason } from '../core/statistics.js';
import type { PostgresConnection } from './connection/connection.js';
import { announce } from './database-leases.js';
import type { PlanVerdict } from './query/plan-watch.js';
import type { HookFailedReport } from './transaction-tally.js';
import type { SlowQueryReport } from './query/slow-queries.js';
import type { SlowQueryPlan } from './query/slow-query-plans.js';

/** An acquire that waited for longer than `slowAcquireMs`, and got a connection. One that got none has its error. */
export interface SlowAcquireReport {
  readonly pool: string;
  /** From the acquire to the lease, in milliseconds. */
  readonly waitMs: number;
  /** `slowAcquireMs`. */
  readonly thresholdMs: number;
  /** Connections in use, and the most there may be, when the wait was over. */
  readonly inUse: number;
  readonly max: number;
  /** Acquires that still wait. */
  readonly waiting: number;
  /** On whose behalf, and the code that acquired it, where that is known. */
  readonly label?: string;
  readonly acquiredAt?: string;
  /** The transaction that it was acquired for, where that travels with its request: what began it. */
  readonly transaction?: string;
  /** The trace in which it was acquired, where there is a tracer that records it. */
  readonly traceId?: string;
}

/** A statement whose generic plan was worse than custom plans. */
export interface ReplannedReport extends PlanVerdict {
  readonly pool: string;
  /** The statement in one line, cut. */
  readonly statement: string;
}

/** A connection that came back with a transaction open: it is rolled back, and what the transaction wrote is lost. */
export interface LeftOpenReport {
  readonly pool: string;
  /** What ran last in it, in one line, cut. */
  readonly statement: string | undefined;
}

/** The budget of a pool is off: it goes by its own size. */
export interface BudgetOffReport {
  readonly pool: string;
  /** What keeps the processes from seeing each other. */
  readonly reason: string;
}

/** What happened, for logs. No method may throw. */
export type DatabasePoolObserver = Pick<PoolObserver<unknown>, 'openFailed' | 'leaked' | 'unleaked'> & {
  /** An acquire timed out; called for each of them. */
  timedOut?(error: Error): void;
  /** A connection died by itself; `idle` tells whether nobody held it. */
  lost?(error: Error | undefined, idle: boolean): void;
  /** An acquire took longer than `slowAcquireMs`; called for each of them. */
  slowAcquire?(report: SlowAcquireReport): void;
  /** A statement took longer than `slowQueryMs`; called for each of them. */
  slowQuery?(report: SlowQueryReport): void;
  /** How the server plans a statement that was slow, where `slowQueryPlan` asks for it. */
  slowQueryPlan?(plan: SlowQueryPlan): void;
  /** A connection came back with a transaction open; called for each of them. */
  leftOpen?(report: LeftOpenReport): void;
  /** The budget that processes share is off for this pool from now on. */
  budgetOff?(report: BudgetOffReport): void;
  /** A hook of `afterCommit` or `afterRollback` has thrown; called for each of them. */
  hookFailed?(report: HookFailedReport): void;
  /** A prepared statement gets custom plans from now on; called once for each. */
  replanned?(report: ReplannedReport): void;
};

/** What the events of a pool are told with. */
export interface DatabaseEventsHost {
  readonly name: string;
  readonly clock: Clock;
  /** 0: off. */
  readonly slowAcquireMs: number;
  readonly observer: DatabasePoolObserver;
  /** Whose listeners of `error` hear of idle connections that were lost, as `pg-pool`'s do. */
  readonly emitter: EventEmitter;
  /** The pool's levels. */
  levels(): Pick<Pool<unknown>, 'open' | 'idle' | 'max' | 'waiting'>;
  /** A dial has ended: with an error, or well. */
  dialled(error: unknown): void;
}

/** Tells what happens in a pool: whoever made it, who listens to its events, and the channels of `core/diagnostics`. */
export class DatabaseEvents implements PoolObserver<PostgresConnection> {
  readonly #host: DatabaseEventsHost;
  readonly #slowAcquireMs: number;

  constructor(host: DatabaseEventsHost) {
    this.#host = host;
    this.#slowAcquireMs = host.slowAcquireMs === 0 ? Infinity : host.slowAcquireMs;
  }

  opened(_connection: PostgresConnection, durationMs: number, { id }: ObservedSlot): void {
    this.#host.dialled(undefined);
    if (connectChannel.hasSubscribers) connectChannel.publish({ ...this.#source(id), durationMs });
  }

  openFailed(error: unknown, durationMs: number): void {
    this.#host.dialled(error);
    this.#host.observer.openFailed?.(error, durationMs);
    if (connectChannel.hasSubscribers) connectChannel.publish({ ...this.#source(), durationMs, error });
  }

  hearsAcquire(waitMs: number): boolean {
    return acquireChannel.hasSubscribers || waitMs >= this.#slowAcquireMs;
  }

  // Written out, because a spread costs as much as a lease.
  acquired(_connection: PostgresConnection, waitMs: number, slot: ObservedSlot): void {
    if (acquireChannel.hasSubscribers) {
      const { name } = this.#host;
      const label = slot.origin?.label;
      if (label === undefined) acquireChannel.publish({ kind: 'database', pool: name, connection: slot.id, waitMs });
      else acquireChannel.publish({ kind: 'database', pool: name, connection: slot.id, waitMs, label });
    }
    if (waitMs >= this.#slowAcquireMs) this.#slowlyAcquired(waitMs, slot);
  }

  released(_connection: PostgresConnection, useMs: number, { id }: ObservedSlot): void {
    if (!releaseChannel.hasSubscribers) return;
    releaseChannel.publish({ kind: 'database', pool: this.#host.name, connection: id, useMs });
  }

  closed(_connection: PostgresConnection, reason: CloseReason, slot: ObservedSlot): void {
    if (!closeChannel.hasSubscribers) return;
    const event = { ...this.#source(slot.id), reason, ageMs: this.#host.clock.now() - slot.openedAt };
    // The request that happened to notice it has nothing to do with it.
    asNobody(() => closeChannel.publish(event));
  }

  lost(connection: PostgresConnection, error: Error | undefined, idle: boolean): void {
    asNobody(() => this.#tellLost(connection, error, idle));
  }

  #tellLost(connection: PostgresConnection, error: Error | undefined, idle: boolean): void {
    const { observer, emitter } = this.#host;
    observer.lost?.(error, idle);
    // As in pg-pool the error of a borrowed connection is its borrower's.
    if (!idle || emitter.listenerCount('error') === 0) return;
    const failure = error ?? new Error('Connection terminated unexpectedly');
    announce(emitter, 'error', Object.assign(failure, { client: connection.client }), connection.client);
  }

  /** An acquire timed out; called for each of them, in its async context. */
  acquireTimedOut(error: Error): void {
    this.#host.observer.timedOut?.(error);
    if (timeoutChannel.hasSubscribers) timeoutChannel.publish({ ...this.#source(), phase: 'acquire', error });
  }

  /** A statement took longer than `queryTimeoutMs`. */
  queryTimedOut(error: Error): void {
    if (timeoutChannel.hasSubscribers) timeoutChannel.publish({ ...this.#source(), phase: 'query', error });
  }

  leaked(report: LeakReport): void {
    this.#host.observer.leaked?.(report);
    if (!leakChannel.hasSubscribers) return;
    const { connection, activity: _activity, ...rest } = report;
    leakChannel.publish({ ...this.#source(connection), ...rest });
  }

  unleaked(report: LeakReport): void {
    this.#host.observer.unleaked?.(report);
  }

  #slowlyAcquired(waitMs: number, slot: ObservedSlot): void {
    const { name, observer } = this.#host;
    const { open, idle, max, waiting } = this.#host.levels();
    observer.slowAcquire?.({
      pool: name,
      waitMs,
      thresholdMs: this.#slowAcquireMs,
      inUse: open - idle,
      max,
      waiting,
      ...originOf(slot),
    });
  }

  #source(connection?: number): { kind: 'database'; pool: string; connection?: number } {
    const { name } = this.#host;
    return connection === undefined ? { kind: 'database', pool: name } : { kind: 'database', pool: name, connection };
  }
}
