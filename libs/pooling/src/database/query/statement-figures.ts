import { BUCKET_BOUNDS_MS, bucketOf, percentileOf } from '../../core/histogram.js';

/** How long a period is, in milliseconds, and how many are kept: ten minutes. */
const PERIOD_MS = 120_000;
const PERIODS = 5;
/** How much time figures cover at the most, in milliseconds. */
export const COVERED_MS = PERIODS * PERIOD_MS;

/** What is counted: how often it was run with each kind of plan, and as a cursor, a stream or a `COPY`; and what came of it. */
const GENERIC = 0;
const CUSTOM = 1;
const UNPREPARED = 2;
const STREAMED = 3;
const FAILED = 4;
const ROWS = 5;
const TOTAL_MS = 6;
const MAX_MS = 7;
/** From here on: how many took how long. */
const DURATIONS = 8;
const COLUMNS = DURATIONS + BUCKET_BOUNDS_MS.length + 1;

/**
 * How a run was planned. `generic`: prepared, and used so often on its connection that the server may use one plan for all
 * values; `custom`: prepared, and planned for its own values; `unprepared`.
 */
export type RunKind = 'generic' | 'custom' | 'unprepared';

const COLUMN_OF: Readonly<Record<RunKind, number>> = { generic: GENERIC, custom: CUSTOM, unprepared: UNPREPARED };

/** What a statement has come to in the last minutes. */
export interface StatementTotals {
  /** How often it was sent, and how often it failed. */
  readonly count: number;
  readonly failed: number;
  /** From sending to the answer, in milliseconds; those that were streamed aside. */
  readonly totalMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Rows that it gave or changed; those that were streamed aside. */
  readonly rows: number;
  /** How often with each kind of plan, and as a cursor, a stream or a `COPY`. */
  readonly runs: Readonly<Record<RunKind | 'streamed', number>>;
}

/** The period that a time on the pool's clock belongs to. */
export function periodOf(now: number): number {
  return Math.floor(now / PERIOD_MS);
}

/** Sums of figures. */
export class StatementSums {
  readonly cells: Float64Array = new Float64Array(COLUMNS);

  /** What they come to. */
  totals(): StatementTotals {
    const at = (column: number): number => this.cells[column] as number;
    const runs = { generic: at(GENERIC), custom: at(CUSTOM), unprepared: at(UNPREPARED), streamed: at(STREAMED) };
    const timed = runs.generic + runs.custom + runs.unprepared;
    return {
      count: timed + runs.streamed,
      failed: at(FAILED),
      totalMs: at(TOTAL_MS),
      p99Ms: percentileOf(this.cells.subarray(DURATIONS), timed, at(MAX_MS), 0.99),
      maxMs: at(MAX_MS),
      rows: at(ROWS),
      runs,
    };
  }
}

/**
 * What one statement has come to on behalf of one handler, in memory that is taken once. Counted by periods, of which the
 * oldest is forgotten when a new one begins.
 */
export class StatementFigures {
  readonly handler: string | undefined;
  readonly #cells = new Float64Array(PERIODS * COLUMNS);
  #period = -1;

  constructor(handler: string | undefined) {
    this.handler = handler;
  }

  /** Counts a run that was answered, or never will be. */
  ran(period: number, kind: RunKind, ms: number, rows: number, failed: boolean): void {
    const at = this.#at(period);
    const cells = this.#cells;
    (cells[at + COLUMN_OF[kind]] as number)++;
    (cells[at + DURATIONS + bucketOf(ms)] as number)++;
    (cells[at + TOTAL_MS] as number) += ms;
    (cells[at + ROWS] as number) += rows;
    if (failed) (cells[at + FAILED] as number)++;
    if (ms > (cells[at + MAX_MS] as number)) cells[at + MAX_MS] = ms;
  }

  /** Counts one that answers for itself. */
  streamed(period: number): void {
    const at = this.#at(period);
    (this.#cells[at + STREAMED] as number)++;
  }

  /** Adds what is kept to sums. */
  addTo({ cells }: StatementSums, period: number): void {
    this.#at(period);
    for (let index = 0; index < this.#cells.length; index++) {
      const column = index % COLUMNS;
      const value = this.#cells[index] as number;
      if (column !== MAX_MS) (cells[column] as number) += value;
      else if (value > (cells[MAX_MS] as number)) cells[MAX_MS] = value;
    }
  }

  /** Where a period's cells begin; it may be a new one. */
  #at(period: number): number {
    if (period !== this.#period) {
      const first = Math.max(this.#period + 1, period - PERIODS + 1);
      for (let each = first; each <= period; each++) {
        const begin = (each % PERIODS) * COLUMNS;
        this.#cells.fill(0, begin, begin + COLUMNS);
      }
      this.#period = period;
    }
    return (period % PERIODS) * COLUMNS;
  }
}
