import type { QueryResult } from 'kysely';
import type { QueryResult as PgQueryResult } from 'pg';

/** Commands whose affected rows Kysely reports. */
const CHANGING_COMMANDS = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

/** An answer of the server's as Kysely knows it. */
export function kyselyResult<Row>(answer: PgQueryResult): QueryResult<Row> {
  const rows = (answer.rows ?? []) as Row[];
  // Two literals: a spread costs a microsecond here.
  return CHANGING_COMMANDS.has(answer.command) ? { rows, numAffectedRows: BigInt(answer.rowCount ?? 0) } : { rows };
}
