import type { QueryResult } from 'kysely';
import type { QueryResult as PgQueryResult } from 'pg';

/** Commands whose affected rows Kysely reports. */
const CHANGING_COMMANDS = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

/** An answer of the server's as Kysely knows it. */
export function kyselyResult<Row>({ command, rowCount, rows }: PgQueryResult): QueryResult<Row> {
  const result: QueryResult<Row> = { rows: (rows ?? []) as Row[] };
  return CHANGING_COMMANDS.has(command) ? { ...result, numAffectedRows: BigInt(rowCount ?? 0) } : result;
}
