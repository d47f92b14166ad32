import type { CompiledQuery, Log, QueryResult } from 'kysely';
import { PoolCommitUnknownError } from '../../core/errors.js';
import type { EngineAcquireOptions } from '../../core/pool-options.js';
import type { WireValue } from '../wire/message-writer.js';
import { valuesOfBatch, withIndex } from './batch-on-connection.js';
import { commandQuery, formOf } from './command-query.js';
import type { ConnectionWay } from './connection-way.js';
import type { StatementOutcome } from './kysely-connection.js';
import { kyselyResult } from './kysely-result.js';
import { isLogging } from './logged-queries.js';
import { connectionOn } from './read-only-connection.js';
import { RetriedTransaction } from './retried-transaction.js';
import { commitUnknownError, isAnswer } from './transaction-errors.js';

/** How often a batch is sent at most, when its connection was lost before the server began with it. */
const MOST_ATTEMPTS = 3;
const BRIEF: EngineAcquireOptions = Object.freeze({ use: 'brief' });
const COMMIT = commandQuery('commit');

/** Runs queries in a transaction of their own, in one round trip. */
export async function runBatch(way: ConnectionWay, queries: readonly CompiledQuery[]): Promise<QueryResult<unknown>[]> {
  const values = valuesOfBatch(queries);
  // What is sent again is one transaction to a tracer.
  if (way.queries.traces.heard) return await RetriedTransaction.over(() => runAll(way, queries, values));
  return await runAll(way, queries, values);
}

async function runAll(
  way: ConnectionWay,
  queries: readonly CompiledQuery[],
  values: readonly WireValue[][],
): Promise<QueryResult<unknown>[]> {
  for (let attempt = 1; ; attempt++) {
    const connection = connectionOn(way, await way.leases.acquire(BRIEF));
    try {
      connection.begin({}, queries.length);
      const outcomes = await Promise.all([
        ...queries.map((query, at) => connection.outcomeOf(query, values[at] as unknown[], formOf(query))),
        connection.outcomeOf(COMMIT, [], 'end'),
      ]);
      if (attempt < MOST_ATTEMPTS && outcomes.every(({ untouched }) => untouched)) continue;
      const failure = failureOf(way.pool.name, outcomes);
      if (failure === undefined) connection.tell('committed');
      else connection.tell(failure instanceof PoolCommitUnknownError ? 'unknown' : 'rolled back', failure);
      await tellLog(way.log, queries, outcomes);
      if (failure !== undefined) throw failure;
      return outcomes.slice(0, -1).map(({ result }) => kyselyResult(result));
    } finally {
      connection.release();
    }
  }
}

/** What a batch rejects with: the error of its first query that has failed, or of the commit. */
function failureOf(pool: string, outcomes: readonly StatementOutcome[]): Error | undefined {
  const index = outcomes.findIndex(({ error }) => error !== undefined);
  const first = outcomes[index]?.error;
  if (first === undefined) return undefined;
  const commit = outcomes.at(-1) as StatementOutcome;
  // Where the server has answered one of them with an error, the commit was a rollback.
  const known = commit.error === undefined || commit.untouched || isAnswer(first) || isAnswer(commit.error);
  if (!known) return commitUnknownError(pool, first);
  return index < outcomes.length - 1 ? withIndex(first, index) : first;
}

async function tellLog(
  log: Log,
  queries: readonly CompiledQuery[],
  outcomes: readonly StatementOutcome[],
): Promise<void> {
  if (!isLogging(log)) return;
  for (const [at, { error, durationMs }] of outcomes.entries()) {
    const event = { query: queries[at] ?? COMMIT, queryDurationMillis: durationMs };
    if (error === undefined) await log.query(() => ({ level: 'query', ...event }));
    else await log.error(() => ({ level: 'error', error, ...event }));
  }
}
