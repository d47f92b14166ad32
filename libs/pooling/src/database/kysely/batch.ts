import type { CompiledQuery, QueryExecutorProvider, QueryResult, RawBuilder } from 'kysely';
import { CollectedQueries } from './collected-queries.js';
import { commandQuery } from './command-query.js';

/** Shows which database a batch is for: it is collected like a query, and never sent. */
const NOTHING = commandQuery('');

/** What {@link batch} takes: a query builder, raw `sql`, a compiled query, or a function that runs one query (of `prepareQuery`). */
export type BatchQuery =
  { execute(): Promise<unknown> } | RawBuilder<unknown> | CompiledQuery<unknown> | (() => Promise<unknown>);

/** What a query of a batch gives: what its own `execute()` does. */
export type BatchResult<Query> =
  Query extends CompiledQuery<infer Row>
    ? QueryResult<Row>
    : Query extends RawBuilder<infer Row>
      ? QueryResult<Row>
      : Query extends { execute(): Promise<infer Result> }
        ? Result
        : Query extends () => Promise<infer Result>
          ? Result
          : never;

/** The results of a batch, in the order of its queries. */
export type BatchResults<Queries extends readonly BatchQuery[]> = {
  -readonly [Index in keyof Queries]: BatchResult<Queries[Index]>;
};

/**
 * Runs queries that are known beforehand in one transaction and in one round trip, `BEGIN` and `COMMIT` included. All of them
 * are committed, or none is; each result is what the query's own `execute()` gives.
 *
 * On a `Transaction`, and within `transactional`, they run in that one, in one round trip.
 *
 * ```ts
 * const [accounts, [event]] = await batch(db, [
 *   db.updateTable('accounts').set({ balance: 0 }).where('id', '=', id).returning('balance'),
 *   db.insertInto('events').values({ id, tenant }).returning('id'),
 *   sql`select pg_notify('accounts', ${id})`,
 * ]);
 * ```
 *
 * @param db what `@InjectDb()` gave, or a transaction on it.
 * @throws the error of the first query that failed, with its number from 0 on as `details.index`; the error of the commit;
 * `ERR_POOL_COMMIT_UNKNOWN`; what an acquire throws; `TypeError` for a query of another database, and for one that would end
 * the transaction. Nothing was committed then, except perhaps with `ERR_POOL_COMMIT_UNKNOWN`.
 */
export async function batch<const Queries extends readonly BatchQuery[]>(
  db: QueryExecutorProvider,
  queries: Queries,
): Promise<BatchResults<Queries>> {
  const collected = new CollectedQueries();
  collected.of(() => run(db, NOTHING));
  const answers = queries.map((query) => collected.collect(() => ask(db, query)));
  await collected.run();
  return (await Promise.all(answers)) as BatchResults<Queries>;
}

function ask(db: QueryExecutorProvider, query: BatchQuery): Promise<unknown> {
  if (typeof query === 'function') return query();
  if ('sql' in query) return run(db, query);
  return 'isRawBuilder' in query ? query.execute(db) : (query as { execute(): Promise<unknown> }).execute();
}

function run(db: QueryExecutorProvider, query: CompiledQuery<unknown>): Promise<QueryResult<unknown>> {
  return db.getExecutor().executeQuery(query);
}
