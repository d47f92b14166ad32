import { Logger } from '@nestjs/common';
import { describeCause } from '../core/errors.js';
import { foreignFrames, nameAcquirer, type Holder } from '../core/holders.js';
import type { LeakReport } from '../core/pool-options.js';
import type { Clock } from '../core/clock.js';
import type {
  BudgetOffReport,
  DatabasePoolObserver,
  LeftOpenReport,
  ReplannedReport,
  SlowAcquireReport,
} from '../database/database-events.js';
import type { SlowQueryPlan } from '../database/query/slow-query-plans.js';
import type { SlowQueryReport } from '../database/query/slow-queries.js';
import type { HookFailedReport } from '../database/transaction-tally.js';
import type { HttpLeakReport } from '../http/exchange/body-watch.js';
import { LogThrottle, type HeldBack } from './log-throttle.js';

/**
 * Writes a database pool's reports to the application's logger. Reports of slow operations are objects, with the message first,
 * so that a structured logger keeps the fields.
 */
export class PoolLog implements DatabasePoolObserver {
  readonly #logger = new Logger('DatabasePool');
  readonly #name: string;
  readonly #slowAcquires: LogThrottle;
  readonly #slowQueries: LogThrottle;
  readonly #leftOpen: LogThrottle;

  constructor(name: string, clock?: Clock) {
    this.#name = name;
    this.#slowAcquires = new LogThrottle(
      (heldBack) => this.#heldBack('slow-acquire', 'slow acquires', heldBack),
      clock,
    );
    this.#leftOpen = new LogThrottle(({ count, windowMs }) => this.#moreLeftOpen(count, windowMs), clock);
    this.#slowQueries = new LogThrottle((heldBack) => this.#heldBack('slow-query', 'slow queries', heldBack), clock);
  }

  slowAcquire(report: SlowAcquireReport): void {
    if (!this.#slowAcquires.admits(report.waitMs)) return;
    const { pool, waitMs, inUse, max, waiting } = report;
    const state = `${inUse} of ${max} in use, ${waiting} waiting`;
    const message = `${pool}: slow acquire: ${howLong(waitMs)}${byWhom(report)} (${state})`;
    this.#logger.warn({ message, event: 'slow-acquire', ...report, waitMs: Math.round(waitMs) });
  }

  slowQuery(report: SlowQueryReport): void {
    if (!this.#slowQueries.admits(report.durationMs)) return;
    const { pool, durationMs, statement, error } = report;
    const end = error === undefined ? '' : `, failed with ${error}`;
    const message = `${pool}: slow query: ${howLong(durationMs)}${byWhom(report)}${end}: ${statement}`;
    this.#logger.warn({ message, event: 'slow-query', ...report, durationMs: Math.round(durationMs) });
  }

  slowQueryPlan({ pool, statement, plan }: SlowQueryPlan): void {
    const message = `${pool}: the plan of a slow query, for any values: ${statement}\n${plan}`;
    this.#logger.warn({ message, event: 'slow-query-plan', pool, statement, plan });
  }

  leftOpen({ pool, statement }: LeftOpenReport): void {
    if (!this.#leftOpen.admits(0)) return;
    const last = statement === undefined ? '' : `; it ran last: ${statement}`;
    const message = `${pool}: a connection came back with a transaction open: it is rolled back, and what it wrote is lost. Look for a forgotten COMMIT${last}`;
    this.#logger.warn({ message, event: 'transaction-left-open', pool, statement });
  }

  #moreLeftOpen(count: number, windowMs: number): void {
    const message = `${this.#name}: ${count} more connections came back with a transaction open in ${howLong(windowMs)}`;
    this.#logger.warn({ message, event: 'transaction-left-open', pool: this.#name, heldBack: count, windowMs });
  }

  hookFailed({ pool, hook, error, begunAt }: HookFailedReport): void {
    const of = begunAt === undefined ? '' : ` of a transaction that was begun by ${begunAt}`;
    const message = `${pool}: a hook of ${hook}${of} has failed, which changes nothing: ${describeCause(error)}`;
    const stack = error instanceof Error ? error.stack : undefined;
    this.#logger.error({ message, event: 'transaction-hook-failed', pool, hook, begunAt, stack });
  }

  replanned(report: ReplannedReport): void {
    const { pool, statement, genericMs, customMs } = report;
    const message =
      `${pool}: custom plans from now on: ${customMs.toFixed(2)} ms on average instead of ${genericMs.toFixed(2)} ms with the ` +
      `generic plan: ${statement}`;
    this.#logger.log({ message, event: 'replanned', ...report });
  }

  budgetOff({ pool, reason }: BudgetOffReport): void {
    const message =
      `${pool}: the budget is off: ${reason}, so that processes can't see each other. ` +
      'Each may open as many connections as size and maxOverflow allow';
    this.#logger.warn({ message, event: 'budget-off', pool, reason });
  }

  #heldBack(event: string, what: string, { count, longestMs, windowMs }: HeldBack): void {
    const message = `${this.#name}: ${count} more ${what} in ${howLong(windowMs)}, the longest took ${howLong(longestMs)}`;
    this.#logger.warn({
      message,
      event,
      pool: this.#name,
      heldBack: count,
      longestMs: Math.round(longestMs),
      windowMs,
    });
  }

  leaked(report: LeakReport): void {
    const { connection, heldMs, label, transaction, stack, collected, activity } = report;
    const by = label === undefined ? '' : ` by ${label}`;
    const held =
      transaction === undefined ? '' : `, held for the transaction of ${transaction}${afterStatements(activity)}`;
    const what = collected ? 'was dropped without being released' : 'has not been released';
    this.#logger.warn(
      `${this.#name}: connection ${connection}${held}, acquired${by} ${howLong(heldMs)} ago, ${what}${framesOf(stack)}`,
    );
  }

  unleaked({ connection, heldMs }: LeakReport): void {
    this.#logger.log(`${this.#name}: connection ${connection} was released after all, after ${howLong(heldMs)}`);
  }
}

const httpLogger = new Logger('HttpClient');

/** Writes to the application's logger that a streamed answer holds a connection. */
export function logHttpLeak({ client, method, url, unreadMs, stack }: HttpLeakReport): void {
  const what = unreadMs === undefined ? 'was dropped unread' : `has not been read for ${howLong(unreadMs)}`;
  httpLogger.warn(
    `${client}: the streamed answer to ${method} ${url} ${what} and holds a connection${framesOf(stack)}`,
  );
}

function afterStatements(activity: LeakReport['activity']): string {
  const statements = activity?.statements;
  if (statements === undefined) return '';
  return ` after ${statements} statement${statements === 1 ? '' : 's'}`;
}

function byWhom(acquirer: Pick<Holder, 'label' | 'acquiredAt' | 'transaction'>): string {
  const who = nameAcquirer(acquirer);
  return who === undefined ? '' : ` by ${who}`;
}

/** The application's lines of a stack, without those of Nest, the driver and this library. */
function framesOf(stack: string | undefined): string {
  return foreignFrames(stack)
    .map((line) => `\n${line}`)
    .join('');
}

function howLong(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
