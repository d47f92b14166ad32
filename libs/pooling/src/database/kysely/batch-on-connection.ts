import type { CompiledQuery, QueryResult } from 'kysely';
import { mayEndTransaction } from '../connection/transaction-end.js';
import { serialiseQuery } from '../query/sent-values.js';
import type { WireValue } from '../wire/message-writer.js';

/** Runs queries in a transaction that is open, without waiting for the answers of those before. */
export async function runBatchOn(
  run: (query: CompiledQuery) => Promise<QueryResult<unknown>>,
  queries: readonly CompiledQuery[],
): Promise<QueryResult<unknown>[]> {
  valuesOfBatch(queries);
  const settled = await Promise.allSettled(queries.map((query) => run(query)));
  return settled.map((each, index) => {
    if (each.status === 'fulfilled') return each.value;
    throw withIndex(each.reason, index);
  });
}

/**
 * The values of all queries of a batch as they are sent. If one query can't be sent, none is.
 *
 * @throws the error of a query that can't be sent, or that would end the transaction.
 */
export function valuesOfBatch(queries: readonly CompiledQuery[]): WireValue[][] {
  return queries.map(({ query, sql, parameters }, index) => {
    if (query.kind === 'RawNode' && mayEndTransaction(sql)) {
      throw withIndex(new TypeError(`a query of a batch would end its transaction: ${sql.slice(0, 80)}`), index);
    }
    try {
      return serialiseQuery(sql, parameters);
    } catch (error) {
      throw withIndex(error, index);
    }
  });
}

/** Adds to an error the number of its query in the batch. */
export function withIndex<Thrown>(error: Thrown, index: number): Thrown {
  return error instanceof Error ? Object.assign(error, { details: { index } }) : error;
}
