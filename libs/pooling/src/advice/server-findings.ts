import { counted, type Advice } from './advice.js';
import { groupBy } from './group-by.js';
import { serverOf, type AdvisedDatabase } from './advised.js';

/** What a server says about its connections. */
interface ServerRow {
  readonly maxConnections: number;
  /** `superuser_reserved_connections` and `reserved_connections` together. */
  readonly reserved: number;
  /** Clients connected now. */
  readonly clients: number;
  /** Clients of our own application name, ourselves included. */
  readonly ofOurName: number;
  /** The role's own limit; -1: none. */
  readonly roleLimit: number;
  readonly backend: number;
}

// Others' backend_type can't be seen by an ordinary role: what has a user and no visible type counts as a client.
const SERVER_QUERY = `
SELECT current_setting('max_connections')::int AS "maxConnections",
       current_setting('superuser_reserved_connections')::int
         + coalesce(current_setting('reserved_connections', true), '0')::int AS "reserved",
       (SELECT count(*)::int FROM pg_stat_activity
         WHERE backend_type = 'client backend' OR (backend_type IS NULL AND usesysid IS NOT NULL)) AS "clients",
       (SELECT count(*)::int FROM pg_stat_activity
         WHERE application_name = current_setting('application_name') AND usename = current_user) AS "ofOurName",
       coalesce((SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user), -1) AS "roleLimit",
       pg_backend_pid() AS "backend"`;

/** How long advice waits for a connection: it must not stand in the way of the application, in milliseconds. */
const CONNECT_TIMEOUT_MS = 1_000;

/**
 * Asks a server through one of its pools, without opening a connection for it. `undefined` when none of the pool's is
 * free soon, or when a pooler stands between: PgBouncer tells its clients process ids of its own, and the server's
 * limits are its business then.
 */
async function askServer(pool: AdvisedDatabase): Promise<ServerRow | undefined> {
  if (pool.statistics().size === 0) return undefined;
  try {
    const connection = await pool.connect({ timeoutMs: CONNECT_TIMEOUT_MS });
    try {
      const row = (await connection.query(SERVER_QUERY)).rows[0] as ServerRow | undefined;
      const direct = connection.processID === undefined || connection.processID === row?.backend;
      return direct ? row : undefined;
    } finally {
      connection.release();
    }
  } catch {
    // A pool that can't serve advice now has greater problems, which others report.
    return undefined;
  }
}

/** `POOL_EXCEEDS_SERVER`, one for each server whose pools may want more connections than it has for them. */
export async function poolsExceedServers(
  databases: readonly AdvisedDatabase[],
  replicas: number | undefined,
): Promise<Advice[]> {
  const groups = [...groupBy(databases, serverOf)];
  const found = await Promise.all(groups.map(([server, group]) => exceedsServer(server, group, replicas)));
  return found.filter((advice) => advice !== undefined);
}

async function exceedsServer(
  server: string,
  group: readonly AdvisedDatabase[],
  replicas: number | undefined,
): Promise<Advice | undefined> {
  const asked = group.find((pool) => pool.statistics().size > 0);
  if (asked === undefined) return undefined;
  const row = await askServer(asked);
  if (row === undefined) return undefined;
  const pools = group.map(({ name }) => name);
  const statistics = group.map((pool) => pool.statistics());
  const most = statistics.reduce((sum, { max }) => sum + max, 0);
  const own = statistics.reduce((sum, { size, closing }) => sum + size + closing, 0);
  // With the number of replicas known, those who have our name are the replicas, and are counted by their maximum.
  const ours = replicas === undefined ? own : Math.max(own, row.ofOurName);
  const others = Math.max(0, row.clients - ours);
  const capacity = row.maxConnections - row.reserved;
  const limit = row.roleLimit >= 0 ? Math.min(capacity - others, row.roleLimit) : capacity - others;
  const free = Math.max(0, limit);
  const wanted = most * (replicas ?? 1);
  if (wanted <= free) return undefined;
  const each = replicas === undefined || replicas === 1 ? '' : ` (${replicas} replicas × ${most})`;
  const role = row.roleLimit >= 0 ? `, ${row.roleLimit} for this role` : '';
  const required = group.some(({ configuration }) => configuration.startup === 'required');
  return {
    code: 'POOL_EXCEEDS_SERVER',
    severity: required ? 'error' : 'warning',
    pool: asked.name,
    message:
      `${pools.join(', ')}: up to ${counted(wanted, 'connection')}${each}, but the server ${server} has ${free} for ` +
      `them: max_connections ${row.maxConnections}, ${row.reserved} of them reserved${role}, ${others} held by others. ` +
      'Under load it answers "too many clients". Lower size and maxOverflow, or put PgBouncer in front.',
    evidence: {
      pools,
      server,
      wanted,
      free,
      maxConnections: row.maxConnections,
      reserved: row.reserved,
      others,
      capacity,
      ...(replicas === undefined ? undefined : { replicas }),
    },
  };
}
