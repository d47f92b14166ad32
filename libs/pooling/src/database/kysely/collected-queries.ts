import type { CompiledQuery, QueryResult } from 'kysely';

/** Runs the queries of a batch. */
export interface BatchRunner {
  /** Queries run together only if their runners have the same owner. */
  readonly owner: object;
  /** Runs all of them, or rejects with the error of the first that has failed. */
  runBatch(queries: readonly CompiledQuery[]): Promise<QueryResult<unknown>[]>;
}

/** A query that was collected and isn't sent yet. */
interface CollectedQuery {
  readonly query: CompiledQuery;
  resolve(result: QueryResult<unknown>): void;
  reject(error: unknown): void;
}

let collecting: CollectedQueries | undefined;

function collectInto(collection: CollectedQueries | undefined): void {
  collecting = collection;
}

/** The batch that collects queries now, if there is one. */
export function presentCollection(): CollectedQueries | undefined {
  return collecting;
}

/** Collects queries where they would be sent, after their builders have compiled them. The builders shape the answers, too. */
export class CollectedQueries {
  #runner: BatchRunner | undefined = undefined;
  #queries: CollectedQuery[] = [];
  #foreign = false;

  /** Finds out the runner of a database, by a query that isn't sent. */
  of(ask: () => Promise<unknown>): void {
    this.#ask(ask).catch(() => undefined);
    this.#queries = [];
  }

  /** Collects the one query that `ask` runs. Returns the promise of `ask`, which settles in {@link run}. */
  collect<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    const index = this.#queries.length;
    const answer = this.#ask(ask);
    // All are awaited together, so that a single one must not be an unhandled rejection.
    answer.catch(() => undefined);
    if (this.#foreign || this.#queries.length !== index + 1) {
      throw new TypeError(`query ${index} of a batch isn't a single query of its database: nothing was sent`);
    }
    return answer;
  }

  #ask<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    const outer = collecting;
    collectInto(this);
    try {
      return ask();
    } finally {
      collectInto(outer);
    }
  }

  /** Collects a query that `runner` would have run. */
  take<Row>(runner: BatchRunner, query: CompiledQuery): Promise<QueryResult<Row>> {
    this.#runner ??= runner;
    if (runner.owner !== this.#runner.owner) this.#foreign = true;
    return new Promise((resolve, reject) => {
      this.#queries.push({ query, resolve: resolve as CollectedQuery['resolve'], reject });
    });
  }

  /** Runs the collected queries, and settles all of them. */
  async run(): Promise<void> {
    const queries = this.#queries;
    if (queries.length === 0) return;
    try {
      const results = await (this.#runner as BatchRunner).runBatch(queries.map(({ query }) => query));
      for (const [at, { resolve }] of queries.entries()) resolve(results[at] as QueryResult<unknown>);
    } catch (error) {
      for (const { reject } of queries) reject(error);
      throw error;
    }
  }
}
