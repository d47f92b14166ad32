import type { EngineAcquireOptions } from '../core/pool-options.js';
import { groupBy } from './group-by.js';
import { serverOf, type AdvisedDatabase } from './advised.js';

/** What a server says about its connections. */
export interface ServerRow {
  readonly maxConnections: number;
  /** `superuser_reserved_connections` and `reserved_connections` together. */
  readonly reserved: number;
  /** Clients connected now. */
  readonly clients: number;
  /** Clients of our own application name, whatever id of a process stands behind it, ourselves included. */
  readonly ofOurName: number;
  /** The role's own limit; -1: none. */
  readonly roleLimit: number;
  readonly backend: number;
}

// An ordinary role can't see the backend_type of others: an entry with a user and without a type counts as a client.
const SERVER_QUERY = `
SELECT current_setting('max_connections')::int AS "maxConnections",
       current_setting('superuser_reserved_connections')::int
         + coalesce(current_setting('reserved_connections', true), '0')::int AS "reserved",
       (SELECT count(*)::int FROM pg_stat_activity
         WHERE backend_type = 'client backend' OR (backend_type IS NULL AND usesysid IS NOT NULL)) AS "clients",
       (SELECT count(*)::int FROM pg_stat_activity
         WHERE split_part(application_name, '#', 1) = split_part(current_setting('application_name'), '#', 1)
           AND usename = current_user) AS "ofOurName",
       coalesce((SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user), -1) AS "roleLimit",
       pg_backend_pid() AS "backend"`;

/** How long advice waits for an idle connection that is checked first, in milliseconds. */
const PATIENCE_MS = 1_000;

/**
 * Asks a server through one of its pools, without opening a connection for it. `undefined` when that fails, or when there is a
 * pooler in between (PgBouncer makes up process ids), which has to keep to the server's limits itself.
 */
async function askServer(pool: AdvisedDatabase): Promise<ServerRow | undefined> {
  try {
    // Ended by a signal, because a time-out would count as one of the application's. The user's hooks don't run for it.
    const own: EngineAcquireOptions = { signal: AbortSignal.timeout(PATIENCE_MS), use: 'own' };
    const connection = await pool.connect(own);
    try {
      const row = (await connection.query(SERVER_QUERY)).rows[0] as ServerRow | undefined;
      const direct = connection.processID === undefined || connection.processID === row?.backend;
      return direct ? row : undefined;
    } finally {
      connection.release();
    }
  } catch {
    // A pool that can't serve advice now has larger problems, which are reported elsewhere.
    return undefined;
  }
}

/** A server's latest answer, and how often its pools had been acquired from then. */
interface Answer {
  /** `undefined`: none. */
  readonly row: ServerRow | undefined;
  readonly acquired: number;
}

/**
 * Asks servers how many connections they have, while their pools are in use. A question to an idle pool would keep its last
 * connection open, and a database awake that suspends itself when it is idle.
 */
export class ServerWatch {
  readonly #answers = new Map<string, Answer>();

  /** Asks each server one question, on a connection that is open already, where its pools were used since the last one. */
  async ask(databases: readonly AdvisedDatabase[]): Promise<void> {
    const groups = groupBy(databases, serverOf);
    for (const server of this.#answers.keys()) if (!groups.has(server)) this.#answers.delete(server);
    await Promise.all(Array.from(groups, ([server, group]) => this.#ask(server, group)));
  }

  /** What a server said last; `undefined` when it couldn't be asked. */
  latest(server: string): ServerRow | undefined {
    return this.#answers.get(server)?.row;
  }

  async #ask(server: string, group: readonly AdvisedDatabase[]): Promise<void> {
    if (this.#answers.get(server)?.acquired === acquiredFrom(group)) return;
    const statistics = group.map((pool) => pool.statistics());
    // The application's acquires come first: a pool that is busy is asked another time.
    const free = group[statistics.findIndex(({ idle, waiting }) => idle > 0 && waiting === 0)];
    if (free === undefined && statistics.some(({ size }) => size > 0)) return;
    const row = free === undefined ? undefined : await askServer(free);
    this.#answers.set(server, { row, acquired: acquiredFrom(group) });
  }
}

function acquiredFrom(group: readonly AdvisedDatabase[]): number {
  return group.reduce((sum, pool) => sum + pool.statistics().acquired, 0);
}
