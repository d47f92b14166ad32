import { viewOf, type FleetView } from './fleet-view.js';

/** The part of a connection that a look needs. */
export interface FleetConnection {
  /** The server's process id, as it was told when the connection was opened. */
  readonly processId: number | undefined;
  /** Whether it can be used further. */
  readonly alive: boolean;
  /** It was given a name, which it has to be given again when its session is reset. */
  carry(name: string): void;
  run(text: string, values: unknown[]): Promise<{ readonly rows: readonly unknown[] }>;
}

/**
 * Counts connections by name: every role may read all names. Other databases of the server count as well. A query's parallel
 * workers have its name and are no connections. Numbers come as text, because the parsers of numbers may be the user's own.
 */
const QUESTION = `
select application_name as name, count(*)::text as connections, pg_backend_pid()::text as backend
from pg_stat_activity
where usename = session_user
  and (application_name = $1::text or left(application_name, length($2::text)) = $2::text)
  and coalesce(backend_type, 'client backend') = 'client backend'
group by application_name`;

/** Renames the connection; everybody sees the new name at once. */
export const RENAME = "select set_config('application_name', $1, false)";

interface Row {
  readonly name: string;
  readonly connections: string;
  readonly backend: string;
}

/** What a look has found: the fleet, or why it can't be seen. */
export type Sight =
  | { readonly view: FleetView }
  | { readonly blind: 'a pooler stands between' | 'the server can’t tell who is connected' };

/** Counts the connections of the fleet. Rejects when the connection is dead, or the server can't answer at the moment. */
export async function look(connection: FleetConnection, fleet: string, plain: string): Promise<Sight> {
  let rows: readonly Row[];
  try {
    ({ rows } = (await connection.run(QUESTION, [plain, `${fleet}#`])) as { readonly rows: readonly Row[] });
  } catch (error) {
    if (connection.alive && cannotAnswer(error)) return { blind: 'the server can’t tell who is connected' };
    throw error;
  }
  // Behind a pooler the backend changes, and has the name that its last client gave it.
  if (rows.some(({ backend }) => Number(backend) !== connection.processId)) return { blind: 'a pooler stands between' };
  const counted = rows.map(({ name, connections }) => ({ name, connections: Number(connections) }));
  return { view: viewOf(counted, fleet, plain) };
}

/** Whether the server doesn't know the question or refuses it, rather than fails at this moment. */
function cannotAnswer(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && /^(?:42|0A)...$/.test(code);
}
