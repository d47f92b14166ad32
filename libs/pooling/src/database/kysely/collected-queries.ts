import type { CompiledQuery, QueryResult } from 'kysely';

/** Who runs queries together. */
export interface BatchRunner {
  /** What queries must have in common to run together. */
  readonly owner: object;
  /** Runs all of them, or rejects with the error of the first that has failed. */
  runBatch(queries: readonly CompiledQuery[]): Promise<QueryResult<unknown>[]>;
}

/** A query that was asked for, and isn't sent yet. */
interface CollectedQuery {
  readonly query: CompiledQuery;
  resolve(result: QueryResult<unknown>): void;
  reject(error: unknown): void;
}

let collecting: CollectedQueries | undefined;

function collectInto(collection: CollectedQueries | undefined): void {
  collecting = collection;
}

/** What takes queries instead of the database, while somebody collects them. */
export function presentCollection(): CollectedQueries | undefined {
  return collecting;
}

/** Queries as their builders compile them, taken where they would be sent: what becomes of their answers is the builders' own. */
export class CollectedQueries {
  #runner: BatchRunner | undefined = undefined;
  #queries: CollectedQuery[] = [];
  #foreign = false;

  /** Finds out what a database runs its queries with. */
  of(ask: () => Promise<unknown>): void {
    this.#ask(ask).catch(() => undefined);
    this.#queries = [];
  }

  /** Takes the one query that `ask` runs. Gives what `ask` gives, which comes with {@link run}. */
  collect<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    const index = this.#queries.length;
    const answer = this.#ask(ask);
    // Each is answered together with all others: nobody waits for one alone.
    answer.catch(() => undefined);
    if (this.#foreign || this.#queries.length !== index + 1) {
      throw new TypeError(`number ${index} of a batch is no single query of its database; it was not sent`);
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

  /** Takes a query instead of who would run it. */
  take<Row>(runner: BatchRunner, query: CompiledQuery): Promise<QueryResult<Row>> {
    this.#runner ??= runner;
    if (runner.owner !== this.#runner.owner) this.#foreign = true;
    return new Promise((resolve, reject) => {
      this.#queries.push({ query, resolve: resolve as CollectedQuery['resolve'], reject });
    });
  }

  /** Runs what was collected, and answers all. */
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
