import type { FleetStatistics } from '../database/fleet/fleet-member.js';
import { counted, type Advice } from './advice.js';
import { groupBy } from './group-by.js';
import { serverOf, type AdvisedDatabase } from './advised.js';
import type { ServerRow, ServerWatch } from './server-watch.js';

/** `POOL_EXCEEDS_SERVER`, one for each server whose pools may want more connections than it has for them. */
export function poolsExceedServers(
  databases: readonly AdvisedDatabase[],
  servers: Pick<ServerWatch, 'latest'>,
  replicas: number | undefined,
): Advice[] {
  return Array.from(groupBy(databases, serverOf), ([server, group]) => {
    const row = servers.latest(server);
    return row === undefined ? undefined : exceedsServer(server, group, row, replicas);
  }).filter((advice) => advice !== undefined);
}

/** `READ_ONLY_SERVER`: writes fail with 25006. */
export function readOnlyServer(pool: AdvisedDatabase): Advice | undefined {
  if (pool.statistics().readOnly !== true) return undefined;
  const server = serverOf(pool);
  return {
    code: 'READ_ONLY_SERVER',
    severity: 'error',
    pool: pool.name,
    message:
      `${pool.name}: the server ${server} takes no writes: it is a standby, or default_transaction_read_only is on. ` +
      'Its connections are replaced until the name leads to a server that does. Promote a server, or let the name ' +
      'point to the primary.',
    evidence: { server },
  };
}

function exceedsServer(
  server: string,
  group: readonly AdvisedDatabase[],
  row: ServerRow,
  replicas: number | undefined,
): Advice | undefined {
  const pools = group.map(({ name }) => name);
  const { budgeted, fleets } = fleetsOf(group);
  const statistics = group.filter((pool) => !budgeted.has(pool)).map((pool) => pool.statistics());
  const most = statistics.reduce((sum, { max }) => sum + max, 0);
  const own = statistics.reduce((sum, { size, closing }) => sum + size + closing, 0) + sum(fleets, 'connections');
  // Where `replicas` is given, clients of our name are those replicas, which count by their maximum.
  const ours = replicas === undefined ? own : Math.max(own, row.ofOurName);
  const others = Math.max(0, row.clients - ours);
  const capacity = row.maxConnections - row.reserved;
  const limit = row.roleLimit >= 0 ? Math.min(capacity - others, row.roleLimit) : capacity - others;
  const free = Math.max(0, limit);
  const shared = sum(fleets, 'budget');
  const wanted = most * (replicas ?? 1) + shared;
  if (wanted <= free) return undefined;
  const each = replicas === undefined || replicas === 1 || most === 0 ? '' : ` (${replicas} replicas × ${most})`;
  const remedy = shared > 0 ? 'Lower the budget' : 'Lower size and maxOverflow';
  const role = row.roleLimit >= 0 ? `, ${row.roleLimit} for this role` : '';
  const required = group.some(({ configuration }) => configuration.startup === 'required');
  return {
    code: 'POOL_EXCEEDS_SERVER',
    severity: required ? 'error' : 'warning',
    pool: pools[0] as string,
    message:
      `${pools.join(', ')}: up to ${counted(wanted, 'connection')}${each}, but the server ${server} has ${free} for ` +
      `them: max_connections ${row.maxConnections}, ${row.reserved} of them reserved${role}, ${others} held by others. ` +
      `Under load it answers "too many clients". ${remedy}, or put PgBouncer in front.`,
    evidence: {
      pools,
      server,
      wanted,
      free,
      maxConnections: row.maxConnections,
      reserved: row.reserved,
      others,
      capacity,
      ...(shared === 0 ? undefined : { budget: shared }),
      ...(replicas === undefined ? undefined : { replicas }),
    },
  };
}

/** The pools with a budget. Each budget counts once, for all processes and for all pools of this one. */
function fleetsOf(group: readonly AdvisedDatabase[]): {
  readonly budgeted: ReadonlySet<AdvisedDatabase>;
  readonly fleets: readonly FleetStatistics[];
} {
  const budgeted = new Set<AdvisedDatabase>();
  const fleets = new Map<string, FleetStatistics>();
  for (const pool of group) {
    const { fleet } = pool.statistics();
    if (fleet === undefined || fleet.state === 'off') continue;
    const { applicationName, target } = pool.configuration;
    budgeted.add(pool);
    fleets.set(JSON.stringify([applicationName, target.user]), fleet);
  }
  return { budgeted, fleets: [...fleets.values()] };
}

function sum(fleets: readonly FleetStatistics[], figure: 'budget' | 'connections'): number {
  return fleets.reduce((total, fleet) => total + fleet[figure], 0);
}
