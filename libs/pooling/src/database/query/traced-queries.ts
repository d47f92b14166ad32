import type { Client, QueryResult, Submittable } from 'pg';
import { newestQueryOf, queuedQueries, unqueueNewest } from '../pg-internals.js';
import type { QueryOutcome, QueryText } from './query-forms.js';
import type { Statement } from './statement.js';
import { asPgResult } from '../wire/pg-result.js';
import type { WireQuery } from '../wire/wire-query.js';
import type { Wire } from '../wire/wire.js';

/*
 * How queries are handed to `pg.Client` when a tracer (OpenTelemetry, Datadog, Sentry, X-Ray, Elastic, New Relic, …) has
 * put itself in front of `query`. What they do with it: begin a span in `query`; end it by the last argument, when that is
 * a function, or by the property `callback` of the query in pg's queue; and hand on a copy, `{ ...query, text }`, of what has
 * no name.
 */

/** What stands for a query of the wire. All that it can do it has as properties of its own: a copy can do it, too. */
interface TracedQuery extends Submittable {
  readonly text: string;
  readonly values: readonly unknown[];
  /** Defined, so that no tracer appends a comment to the text, and empty, so that none names a span after it. */
  readonly name: null;
  callback: ((error: Error | null, result: QueryResult) => void) | undefined;
  handleError(error: Error): void;
  handleReadyForQuery(): void;
}

/** {@link Wire.join} or `client.query`, so that a tracer hears of the query and of its answer. */
export function runTraced(client: Client, wire: Wire, query: WireQuery): void {
  let held: TracedQuery | undefined;
  /** pg may run a copy, whose callback has to be called. */
  const take = (taken: TracedQuery): void => {
    held = taken;
    query.query = taken;
    if (wire.underway > 0) wire.join(query);
    else wire.begin(query);
  };
  /** Where it was never submitted, the one in pg's queue has to fail. */
  const fail = (waiting: TracedQuery, error: Error): void => {
    held ??= waiting;
    query.handleError(error);
  };
  const traced: TracedQuery = {
    text: query.text,
    values: query.values,
    name: null,
    callback: undefined,
    submit(this: TracedQuery) {
      take(this);
      return null;
    },
    handleError(this: TracedQuery, error) {
      fail(this, error);
    },
    handleReadyForQuery: () => query.handleReadyForQuery(),
  };
  query.relay = (error, result) => {
    const answer = error === undefined ? asPgResult(result) : (undefined as never);
    const callback = held?.callback;
    if (callback === undefined) query.heard(error, answer);
    else callback.call(held, error ?? null, answer);
  };
  const heard = (error: Error | null, result: QueryResult): void => query.heard(error, result);
  try {
    client.query(traced as unknown as string, heard as never) as unknown;
  } catch (error) {
    // A tracer may throw: whoever waits for the answer must hear of it.
    return query.heard(error as Error, undefined as never);
  }
  if (!query.joins || wire.underway === 0) return;
  if (query.place !== undefined && queuedQueries(client) > 1) return;
  const newest = newestQueryOf(client) as TracedQuery | undefined;
  if (newest?.submit !== traced.submit || newest === held) return;
  unqueueNewest(client);
  take(newest);
}

/** `client.query` for a statement that isn't prepared: with the arguments that pg-pool would give. */
export function queryTraced(
  client: Client,
  config: QueryText,
  values: unknown[] | undefined,
  statement: Statement,
): void {
  const heard: QueryOutcome = (error, result) => statement.heard(error, result);
  try {
    client.query(typeof config === 'string' ? config : (plainConfig(config) as never), values as never, heard as never);
  } catch (error) {
    return statement.heard(error as Error, undefined as never);
  }
  const query = newestQueryOf(client) as (Submittable & { callback?: QueryOutcome }) | undefined;
  statement.query = query;
  // The time limit may be over before pg runs it.
  statement.relay = (error, result) => {
    const callback = query?.callback ?? heard;
    if (query !== undefined) query.callback = ignore;
    callback.call(query, error, result);
  };
}

function ignore(): void {
  // The tracer has its answer.
}

/** A config whose copies lose nothing: the text of the given one may be a getter, or inherited. */
function plainConfig(config: Exclude<QueryText, string>): object {
  const plain: Record<string, unknown> = {};
  for (const key in config) plain[key] = (config as unknown as Record<string, unknown>)[key];
  const { text, name } = config as { text?: unknown; name?: unknown };
  if (text !== undefined) plain['text'] = text;
  if (name !== undefined) plain['name'] = name;
  // The values and the callback are arguments, and the time limit is the pool's.
  for (const key of ['values', 'callback', 'query_timeout']) delete plain[key];
  return plain;
}

/** What pg calls on a query object. */
interface Submission extends Submittable {
  name?: unknown;
  callback?: QueryOutcome | undefined;
  handleError?(error: Error, connection: unknown): void;
  handleReadyForQuery?(connection: unknown): void;
}

/**
 * `client.query` for a cursor, a stream, a `COPY`. They report their end by events, or not at all, and few tracers listen to
 * that. So a tracer gets a callback, which is called when the query has ended.
 */
export function submitTraced<Kind extends Submittable>(client: Client, given: Kind): Kind {
  const submission = given as Submission;
  // Some tracers copy a query without a name, and a copy of an object with methods is of no use.
  submission.name ??= null;
  if (submission.callback !== undefined && submission.callback !== null) return client.query(given);
  const result = client.query(submission as never, ignore as never) as unknown;
  const tracer = submission.callback as QueryOutcome | undefined;
  submission.callback = undefined;
  if (tracer === ignore || tracer === undefined) return result as Kind;
  let told = false;
  const tell = (error: Error | undefined): void => {
    if (told) return;
    told = true;
    tracer.call(submission, error, undefined as never);
  };
  const { handleError, handleReadyForQuery } = submission;
  submission.handleError = function (error, connection) {
    tell(error);
    handleError?.call(submission, error, connection);
  };
  submission.handleReadyForQuery = function (connection) {
    tell(undefined);
    handleReadyForQuery?.call(submission, connection);
  };
  return result as Kind;
}
