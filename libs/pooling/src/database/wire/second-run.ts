import type { TransactionStatus } from '../pg-internals.js';
import { PreparedText, type StatementCache } from '../query/statement-cache.js';
import { failureOf, isSameError } from './failed-statement.js';
import type { WireQuery } from './wire-query.js';
import type { WireSession } from './wire-session.js';

/**
 * Whether a failed query runs once more: its statement may be out of date, and nothing was lost by the error. Drops what the
 * error says is out of date.
 */
export function runsAgain(query: WireQuery, status: TransactionStatus, session: WireSession, alive: boolean): boolean {
  // The error is that of `BEGIN`.
  if (query.place?.opening.state === 'failed') return false;
  const failure = failureOf(query);
  const { prepared } = query;
  if (failure === 'genuine' || !(prepared instanceof PreparedText)) return false;
  const { statements } = session;
  if (failure === 'forgotten') statements.clear();
  else if (failure === 'taken') statements.remove(prepared);
  else if (failure === 'outdated') {
    statements.cache.invalidate(prepared, session.now());
    statements.cache.schemaMayHaveChanged(session.now());
  }
  query.firstFailure = failure;
  if (status === 'I' && query.place === undefined && alive && !query.settled) return true;
  if (failure === 'suspect') {
    // It can't be tried again here, because the transaction is lost.
    statements.remove(prepared);
    statements.cache.suspect(prepared, session.now());
  }
  return false;
}

/** A query has run for the second time: that shows whether the statement of its first run was out of date. */
export function ranAgain({ error, firstError, prepared }: WireQuery, cache: StatementCache, now: number): void {
  if (firstError === undefined || !(prepared instanceof PreparedText)) return;
  if (error !== undefined && isSameError(error, firstError)) return;
  cache.invalidate(prepared, now);
  cache.schemaMayHaveChanged(now);
}
