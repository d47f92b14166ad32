import type { AsyncResource } from 'node:async_hooks';
import type { QueryResult, Submittable } from 'pg';
import { inPresentContext, presentContext } from '../../core/async-context.js';
import type { EngineAcquireOptions } from '../../core/pool-options.js';
import { isSlow, SLOW_MS } from '../../core/slow-acquires.js';
import type { DatabaseLease } from '../database-lease.js';
import type { DatabaseLeases } from '../database-leases.js';
import type { ResolvedDatabaseOptions } from '../options/options.js';
import {
  callbackOf,
  isSubmittable,
  parametersOf,
  promiseOf,
  textOf,
  valuesOf,
  type QueryOutcome,
  type QueryText,
} from './query-forms.js';
import type { QueryTraces } from './query-traces.js';
import { SlowTexts } from './slow-texts.js';
import type { StatementCache } from './statement-cache.js';
import type { TracedQuery } from './traced-query.js';
import type { WireText } from './unnamed-text.js';
import { PositionedWrite, type WriteNote, type WriteNotes } from './write-notes.js';
import type { UnnamedTexts } from './unnamed-texts.js';
import { asPgResult } from '../wire/pg-result.js';

/** How often a query is sent at most, when its connection was lost before the server began with it. */
const MOST_ATTEMPTS = 3;
/** What a single query leases a connection for: to be shared with others, or for itself alone. */
export type SingleUse = 'brief' | 'shared' | 'slow';

type AcquireOptionsByUse = Readonly<Record<SingleUse, EngineAcquireOptions>>;

function acquireOptions(traced: boolean): AcquireOptionsByUse {
  return { brief: { use: 'brief', traced }, shared: { use: 'shared', traced }, slow: { use: 'slow', traced } };
}

const TRACED = acquireOptions(true);
const UNTRACED = acquireOptions(false);

/** Finds out why a write was refused, where there are several hosts. */
export interface RefusedWrites {
  /** Whether an error may mean that the server has another role by now. */
  mayHaveMoved(error: Error): boolean;
  /** Asks the server whether its role has changed, within a few seconds; never rejects. */
  moved(connection: DatabaseLease['connection']): Promise<boolean>;
}

/** One query on its way to a connection. */
interface SingleQuery {
  readonly config: QueryText;
  readonly values: unknown[] | undefined;
  /** Its text for the wire; `undefined`: it is left to pg. */
  readonly prepared: WireText | undefined;
  readonly use: SingleUse;
  /** Whether the time from the beginning of its lease to its answer is its own. */
  readonly timed: boolean;
  /** Whether a tracer listens to it. */
  readonly traced: boolean;
  readonly callback: QueryOutcome;
  /** The caller's context, in which hooks and listeners run: the answer comes from a socket that belongs to no request. */
  readonly context: AsyncResource | undefined;
  /** The note that is taken of what it writes. */
  readonly note: WriteNote | undefined;
  attempts: number;
  /** Its trace, once it has a connection. */
  trace: TracedQuery | undefined;
}

/**
 * Queries that may run on any connection: `pool.query` in all its forms. Each of them passes through {@link execute}.
 */
export class SingleQueries {
  readonly #leases: DatabaseLeases;
  readonly #texts: StatementCache | UnnamedTexts;
  readonly #slowTexts = new SlowTexts();
  readonly #pipelining: boolean;
  readonly #queryTimeoutMs: number;
  /** Traces of statements and transactions. */
  readonly traces: QueryTraces;
  /** `undefined` where the pool doesn't choose among hosts. */
  readonly #refusals: RefusedWrites | undefined;
  /** There where others read from replicas what these write. */
  readonly #writes: WriteNotes | undefined;

  constructor(
    leases: DatabaseLeases,
    texts: StatementCache | UnnamedTexts,
    traces: QueryTraces,
    { pipelining, queryTimeoutMs }: Pick<ResolvedDatabaseOptions, 'pipelining' | 'queryTimeoutMs'>,
    refusals?: RefusedWrites,
    writes?: WriteNotes,
  ) {
    this.#refusals = refusals;
    this.#writes = writes;
    this.#leases = leases;
    this.traces = traces;
    this.#texts = texts;
    this.#pipelining = pipelining !== false;
    this.#queryTimeoutMs = queryTimeoutMs;
  }

  /** `pool.query`, whatever it was called with: a promise, or `undefined` when there is a callback. */
  query(
    config: QueryText | Submittable | QueryOutcome | null | undefined,
    values: readonly unknown[] | QueryOutcome | undefined,
    callback: QueryOutcome | undefined,
  ): unknown {
    if (typeof config === 'function') return refuseFunction(config);
    if (config === null || config === undefined) {
      const error = new TypeError('Client was passed a null or undefined query');
      return answer(error, typeof values === 'function' ? values : callback);
    }
    if (isSubmittable(config)) {
      const outcome = typeof values === 'function' ? values : callback;
      if (outcome === undefined) return promiseOf((settle) => this.#submit(config, settle));
      this.#submit(config, outcome);
      return undefined;
    }
    const outcome = callbackOf(config, values, callback);
    if (outcome === undefined) {
      return promiseOf((settle) => this.execute(config, valuesOf(values), settle)).then(asPgResult);
    }
    const heard = inPresentContext(outcome);
    this.execute(config, valuesOf(values), (error, answer) =>
      heard(error, error === undefined ? asPgResult(answer) : answer),
    );
    return undefined;
  }

  /**
   * Runs one statement on whichever connection is free first.
   *
   * @param single whether the text is known to hold one statement.
   * @param reads whether it is known to write nothing.
   * @param traced whether a tracer listens to it.
   */
  run(text: QueryText, values: unknown[], single: boolean, reads?: boolean, traced?: boolean): Promise<QueryResult> {
    return promiseOf((settle) => this.execute(text, values, settle, single, reads, traced));
  }

  /** Runs one statement on whichever connection is free first, and calls back once. */
  execute(
    config: QueryText,
    values: unknown[] | undefined,
    callback: QueryOutcome,
    single = false,
    reads = false,
    traced = this.traces.traced,
  ): void {
    const prepared = this.#texts.prepare(config, values, single);
    const use = this.#useOf(config, prepared);
    this.#dispatch({
      config,
      values: prepared === undefined ? values : parametersOf(config, values),
      prepared,
      use,
      timed: use !== 'shared',
      traced,
      callback,
      context: this.#contextOf(traced),
      note: reads ? undefined : this.#writes?.begin(),
      attempts: 1,
      trace: undefined,
    });
  }

  /** Runs one statement that only reads on a connection that its caller has leased, and gives that back. It is sent once. */
  runOn(lease: DatabaseLease, text: QueryText, values: unknown[]): Promise<QueryResult> {
    const prepared = this.#texts.prepare(text, values, true);
    const { traced } = this.traces;
    return promiseOf((callback) =>
      this.#executeOn(lease, {
        config: text,
        values,
        prepared,
        use: 'brief',
        timed: false,
        traced,
        callback,
        context: this.#contextOf(traced),
        note: undefined,
        attempts: MOST_ATTEMPTS,
        trace: undefined,
      }),
    );
  }

  /** The caller's context, where anybody hears of the query: a promise keeps its own. */
  #contextOf(traced: boolean): AsyncResource | undefined {
    return this.#leases.heard || traced || this.traces.subscribed ? presentContext() : undefined;
  }

  /** What a lease for {@link runOn} is for. */
  useOf(text: QueryText): SingleUse {
    return isSlow(this.#texts.usualMs(textOf(text))) ? 'slow' : 'brief';
  }

  #useOf(config: QueryText, prepared: WireText | undefined): SingleUse {
    if (prepared === undefined || !prepared.kept) return this.#slowTexts.has(textOf(config)) ? 'slow' : 'brief';
    if (this.#pipelining && this.#texts.shareable(prepared)) return 'shared';
    return isSlow(prepared.plans.usualMs) ? 'slow' : 'brief';
  }

  #dispatch(query: SingleQuery): void {
    const { use, traced } = query;
    const lease = this.#leases.tryAcquire(use, traced);
    if (lease !== undefined) return this.#executeOn(lease, query);
    this.#leases.acquire((traced ? TRACED : UNTRACED)[use]).then(
      (acquired) => this.#executeOn(acquired, query),
      (error: Error) => this.#settle(query, error, undefined as never),
    );
  }

  #settle(query: SingleQuery, error: Error | undefined, result: QueryResult): void {
    query.trace?.end(error, result);
    query.callback(error, result);
  }

  #executeOn(lease: DatabaseLease, query: SingleQuery): void {
    try {
      const begun = query.trace !== undefined;
      query.trace ??= lease.connection.runner.trace(lease, query.config, query.values, query.traced);
      if (begun || query.trace === undefined) this.#send(lease, query);
      else query.trace.begin(() => this.#send(lease, query));
    } catch (error) {
      this.#leases.giveBack(lease, error as Error);
      this.#settle(query, error as Error, undefined as never);
    }
  }

  #send(lease: DatabaseLease, query: SingleQuery): void {
    const { config, values, prepared, context, note } = query;
    const timeoutMs = (typeof config === 'object' && config.query_timeout) || this.#queryTimeoutMs;
    const outcome: QueryOutcome = (error, result, untouched) =>
      context === undefined
        ? this.#answered(lease, query, error, result, untouched)
        : context.runInAsyncScope(this.#answered, this, lease, query, error, result, untouched);
    const { runner } = lease.connection;
    const write = note === undefined ? undefined : new PositionedWrite(note, runner, timeoutMs, outcome);
    const heard = write === undefined ? outcome : write.answered;
    if (prepared === undefined) return runner.executeUnprepared(lease, config, values, timeoutMs, heard);
    runner.executePrepared(lease, prepared, values as unknown[], timeoutMs, heard, query.trace);
    write?.sent();
  }

  #answered(
    lease: DatabaseLease,
    query: SingleQuery,
    error: Error | undefined,
    result: QueryResult,
    untouched: boolean | undefined,
  ): void {
    if (error !== undefined && this.#refusals?.mayHaveMoved(error) === true && mayBeRunAgain(query)) {
      return void this.#refused(this.#refusals, lease, query, error);
    }
    // The wire times prepared statements that succeed.
    if (query.timed && (error !== undefined || query.prepared?.kept !== true)) this.#learn(lease, query, error);
    // The connection goes back before the caller is called: a callback that throws must not cost a slot.
    this.#leases.giveBack(lease, error);
    // Later in this turn: by then the pool knows which other connections the server has ended.
    if (untouched !== true || query.attempts++ >= MOST_ATTEMPTS) return this.#settle(query, error, result);
    query.trace?.event('nestjs_pooling.retried_elsewhere');
    setImmediate(() => this.#dispatch(query));
  }

  #learn(lease: DatabaseLease, { config, prepared }: SingleQuery, error: Error | undefined): void {
    const ms = this.#leases.heldMs(lease);
    // An error at once doesn't tell how long an answer takes; one after long says that it takes longer still.
    if (ms === undefined || (error !== undefined && ms < SLOW_MS)) return;
    if (prepared?.kept === true) prepared.plans.learn(ms);
    else this.#slowTexts.ran(textOf(config), ms);
  }

  /** Runs a refused write again elsewhere, if the server has another role by now: it has done nothing for it. */
  async #refused(refusals: RefusedWrites, lease: DatabaseLease, query: SingleQuery, error: Error): Promise<void> {
    const moved = await refusals.moved(lease.connection);
    this.#leases.giveBack(lease, error, moved ? 'invalid' : undefined);
    if (!moved) return this.#settle(query, error, undefined as never);
    query.attempts++;
    query.trace?.event('nestjs_pooling.retried_elsewhere');
    setImmediate(() => this.#dispatch(query));
  }

  /** Runs a query object, as pg-pool does: calls back with its result, and frees the connection when it has ended. */
  #submit(submittable: Submittable & { callback?: QueryOutcome }, callback: QueryOutcome): void {
    this.#leases.acquire().then(
      (lease) => {
        const client = this.#leases.clientOf(lease);
        let answered = false;
        const settle: QueryOutcome = (error, result) => {
          if (answered) return;
          answered = true;
          callback(error ?? undefined, result);
        };
        const free = (): void => {
          this.#leases.giveBack(lease);
          settle(undefined, undefined as never);
        };
        submittable.callback = inPresentContext(submittable.callback ?? settle);
        client.once('drain', free);
        client.once('end', free);
        client.query(submittable);
      },
      (error: Error) => callback(error, undefined as never),
    );
  }
}

/** Of several statements in one text the first may have been committed. */
function mayBeRunAgain({ attempts, config }: SingleQuery): boolean {
  return attempts < MOST_ATTEMPTS && !/;\s*\S/.test(textOf(config));
}

function refuseFunction(callback: QueryOutcome): void {
  const error = new Error('Passing a function as the first parameter to pool.query is not supported');
  setImmediate(() => callback(error, undefined as never));
}

function answer(error: Error, callback: QueryOutcome | undefined): Promise<never> | void {
  if (callback === undefined) return Promise.reject(error);
  process.nextTick(() => callback(error, undefined as never));
}
