import { presentContext } from '../../core/async-context.js';
import type { Clock } from '../../core/clock.js';
import { originOf } from '../../core/holders.js';
import type { Lease } from '../../core/lease.js';
import type { QueryOutcome } from './query-forms.js';
import { shortenStatement } from './shown-statement.js';
import type { SlowQueryPlans } from './slow-query-plans.js';

/** A statement that took longer than `slowQueryMs`, however it ended. */
export interface SlowQueryReport {
  readonly pool: string;
  /** From sending it to its answer, in milliseconds. */
  readonly durationMs: number;
  /** `slowQueryMs`. */
  readonly thresholdMs: number;
  /** The statement in one line, cut; never its parameters' values. */
  readonly statement: string;
  /** Rows that it gave or changed; left out when it failed. */
  readonly rows?: number;
  /** The code of its error, or the error's name: left out when it went well. */
  readonly error?: string;
  readonly inTransaction: boolean;
  /** Identifies the connection within its pool, as in `holders()`. */
  readonly connection: number;
  /** The server's process id, as in `pg_stat_activity` and the server's log. */
  readonly serverId?: number;
  /** On whose behalf, and the code that acquired the connection, where that is known. */
  readonly label?: string;
  readonly acquiredAt?: string;
  /** The transaction that it ran in, where that travels with its request: what began it. */
  readonly transaction?: string;
  /** The trace in which it was acquired, where there is a tracer that records it. */
  readonly traceId?: string;
}

/** What a report needs of the statement's connection. */
interface TimedConnection {
  readonly processId: number | undefined;
  readonly inTransaction: boolean;
}

/** Times the statements of a pool. Made only when `slowQueryMs` is set. */
export class SlowQueries {
  constructor(
    private readonly pool: string,
    private readonly thresholdMs: number,
    private readonly clock: Clock,
    private readonly report: (report: SlowQueryReport) => void,
    private readonly plans: SlowQueryPlans | undefined,
  ) {}

  /**
   * Times a statement that is sent now: wraps its callback.
   *
   * @param parsed whether the server takes the text for one statement, or refuses it.
   */
  timing(
    connection: TimedConnection,
    lease: Lease<unknown>,
    text: string,
    parsed: boolean,
    callback: QueryOutcome,
  ): QueryOutcome {
    const startedAt = this.clock.now();
    // The answer comes from a socket that belongs to no request: the report is made in the caller's context.
    const context = presentContext();
    return (error, result, untouched) => {
      const durationMs = this.clock.now() - startedAt;
      if (durationMs >= this.thresholdMs) {
        context.runInAsyncScope(this.#slow, this, connection, lease, text, durationMs, error, result?.rowCount);
        if (parsed && error === undefined) this.plans?.slow(text);
      }
      callback(error, result, untouched);
    };
  }

  #slow(
    connection: TimedConnection,
    lease: Lease<unknown>,
    text: string,
    durationMs: number,
    error: Error | undefined,
    rows: number | null | undefined,
  ): void {
    const serverId = connection.processId;
    this.report({
      pool: this.pool,
      durationMs,
      thresholdMs: this.thresholdMs,
      statement: shortenStatement(text),
      ...(typeof rows === 'number' ? { rows } : undefined),
      ...(error === undefined ? undefined : { error: (error as { code?: string }).code ?? error.name }),
      inTransaction: connection.inTransaction,
      connection: lease.connectionId,
      ...(serverId === undefined ? undefined : { serverId }),
      ...originOf(lease),
    });
  }
}
