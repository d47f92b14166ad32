import type { CompiledQuery, QueryId, RawNode } from 'kysely';
import { beginsWith } from '../query/leading-words.js';
import type { StatementForm } from '../query/query-forms.js';

/** The id of such commands: no plugin sees them. */
export const COMMAND_ID: QueryId = { queryId: 'command' };

/** A command of the transaction itself (`COMMIT`, `SAVEPOINT a`) as a query, for Kysely's log. */
export function commandQuery(text: string): CompiledQuery {
  const query: RawNode = { kind: 'RawNode', sqlFragments: [text], parameters: [] };
  return { sql: text, query, parameters: [], queryId: COMMAND_ID };
}

/** What is known of a query's form. */
export function formOf({ query, queryId, sql, parameters }: CompiledQuery): StatementForm {
  if (queryId === COMMAND_ID) return 'command';
  // What Kysely has built is one statement, and so is what has parameters.
  if (query.kind !== 'RawNode' || parameters.length > 0) return 'statement';
  return sql.includes(';') || beginsWith(sql, 'COPY') ? 'text' : 'statement';
}
