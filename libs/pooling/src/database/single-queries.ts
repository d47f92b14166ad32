import type { QueryResult, Submittable } from 'pg';
import type { DatabaseLease, DatabaseLeases } from './database-leases.js';
import { callbackOf, isSubmittable, promiseOf, valuesOf, type QueryOutcome, type QueryText } from './query-forms.js';
import { asPgResult } from './wire/pg-result.js';

/**
 * Queries that don't care which connection they run on: `pool.query` in all its forms. Each of them passes through
 * {@link execute}.
 */
export class SingleQueries {
  readonly #leases: DatabaseLeases;
  readonly #queryTimeoutMs: number;

  constructor(leases: DatabaseLeases, queryTimeoutMs: number) {
    this.#leases = leases;
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
    this.execute(config, valuesOf(values), (error, answer) =>
      outcome(error, error === undefined ? asPgResult(answer) : answer),
    );
    return undefined;
  }

  /** Runs one statement on whichever connection is free first. */
  run(text: string, values: unknown[]): Promise<QueryResult> {
    return promiseOf((settle) => this.execute(text, values, settle));
  }

  /** Runs one statement on whichever connection is free first, and calls back once. */
  execute(config: QueryText, values: unknown[] | undefined, callback: QueryOutcome): void {
    const lease = this.#leases.tryAcquire();
    if (lease !== undefined) return this.#executeOn(lease, config, values, callback);
    this.#leases.acquire().then(
      (acquired) => this.#executeOn(acquired, config, values, callback),
      (error: Error) => callback(error, undefined as never),
    );
  }

  #executeOn(lease: DatabaseLease, config: QueryText, values: unknown[] | undefined, callback: QueryOutcome): void {
    const timeoutMs = (typeof config === 'object' && config.query_timeout) || this.#queryTimeoutMs;
    try {
      lease.connection.execute(lease, config, values, timeoutMs, (error, result) => {
        // First the connection, then the caller: what the caller throws must not cost a slot.
        this.#leases.giveBack(lease, error);
        callback(error, result);
      });
    } catch (error) {
      this.#leases.giveBack(lease, error as Error);
      callback(error as Error, undefined as never);
    }
  }

  /** As in pg-pool: calls back with the query's result; the connection is free when the query has ended. */
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
        submittable.callback ??= settle;
        client.once('drain', free);
        client.once('end', free);
        client.query(submittable);
      },
      (error: Error) => callback(error, undefined as never),
    );
  }
}

function refuseFunction(callback: QueryOutcome): void {
  const error = new Error('Passing a function as the first parameter to pool.query is not supported');
  setImmediate(() => callback(error, undefined as never));
}

function answer(error: Error, callback: QueryOutcome | undefined): Promise<never> | void {
  if (callback === undefined) return Promise.reject(error);
  process.nextTick(() => callback(error, undefined as never));
}
