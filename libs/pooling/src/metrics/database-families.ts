import type { FleetStatistics } from '../database/fleet/fleet-member.js';
import type { DatabasePoolStatistics } from '../database/database-statistics.js';
import { FamilyMaker, type MetricFamily } from './metric-family.js';
import type { DatabaseMetrics } from './metrics-source.js';
import type { Labels } from './samples.js';

const pools = new FamilyMaker<DatabaseMetrics>(({ databases }) =>
  databases.map((database) => [{ pool: database.statistics.name }, database]),
);

/** Connections of all pools of a database to each host, its replicas' included. */
function* hostConnections({ hosts, replicas }: DatabasePoolStatistics): Iterable<readonly [Labels, number]> {
  const sums = new Map<string, readonly [Labels, number]>();
  for (const { host, role, connections } of [...(hosts?.states ?? []), ...(replicas?.states ?? [])]) {
    if (role === undefined) continue;
    const key = `${role} ${host}`;
    sums.set(key, [{ host, role }, (sums.get(key)?.[1] ?? 0) + connections]);
  }
  yield* sums.values();
}

/** The fleet, where somebody could look. */
function seen(fleet: FleetStatistics | undefined): FleetStatistics | undefined {
  return fleet?.state === 'on' ? fleet : undefined;
}

/** Everything that is published of database pools. */
export const DATABASE_FAMILIES: readonly MetricFamily[] = [
  pools.gauge('db_pool_size', 'Connections open now, idle or in use', ({ statistics }) => statistics.size),
  pools.gauge('db_pool_available', 'Idle connections', ({ statistics }) => statistics.idle),
  pools.gauge('db_pool_waiting', 'Acquires in the queue', ({ statistics }) => statistics.waiting),
  pools.gauge('db_pool_in_use', 'Connections in use', ({ statistics }) => statistics.inUse),
  pools.gauge('db_pool_connecting', 'Connections being opened', ({ statistics }) => statistics.connecting),
  pools.gauge(
    'db_pool_max',
    'The most connections there may be: size and maxOverflow, or what the budget leaves',
    ({ statistics }) => statistics.max,
  ),
  pools.gauge(
    'db_pool_budget',
    'The most connections of all processes that share the budget',
    ({ statistics }) => statistics.fleet?.budget,
  ),
  pools.gauge(
    'db_pool_fleet_processes',
    'Processes that share the budget, at the last look',
    ({ statistics }) => seen(statistics.fleet)?.processes,
  ),
  pools.gauge(
    'db_pool_fleet_connections',
    'Connections of all processes that share the budget, at the last look',
    ({ statistics }) => seen(statistics.fleet)?.connections,
  ),
  pools.gauge('db_pool_overflow', 'Connections beyond size', ({ statistics }) => statistics.overflow),
  pools.gauge(
    'db_pool_recommended_size',
    'The size that the load of the last minute asks for',
    ({ recommendedSize }) => recommendedSize,
  ),
  pools.gauge(
    'db_pool_server_connections',
    "All clients connected to the pool's server, when it was last asked",
    ({ server }) => server?.clients,
  ),
  pools.gauge(
    'db_pool_server_max_connections',
    "Clients that the pool's server takes: max_connections less the reserved ones",
    ({ server }) => server?.capacity,
  ),
  pools.histogram(
    'db_pool_acquire_seconds',
    'From acquire to lease, of acquires that got a connection',
    ({ histograms }) => histograms.wait,
  ),
  pools.histogram('db_pool_usage_seconds', 'From lease to release', ({ histograms }) => histograms.use),
  pools.histogram('db_pool_connect_seconds', 'Opening a connection', ({ histograms }) => histograms.connect),
  pools.counter(
    'db_pool_acquire_timeouts_total',
    'Acquires that got no connection in time',
    ({ statistics }) => statistics.acquireTimeouts,
  ),
  pools.counter(
    'db_pool_queue_rejected_total',
    'Acquires refused because the queue was full',
    ({ statistics }) => statistics.queueRejected,
  ),
  pools.counter('db_pool_opened_total', 'Connections opened', ({ statistics }) => statistics.opened),
  pools.counters(
    'db_pool_closed_total',
    'Connections closed, by reason',
    'reason',
    ({ statistics }) => statistics.closed,
  ),
  pools.counter('db_pool_connect_errors_total', 'Dials that failed', ({ statistics }) => statistics.connectErrors),
  pools.counter('db_pool_leaks_total', 'Leases reported as leaked', ({ statistics }) => statistics.leaks),
  pools.gauges(
    'db_pool_leaked_connections',
    'Connections held now that were reported as leaked, by who acquired them',
    ({ leaked }) => leaked.map(({ connections, ...labels }) => [labels, connections]),
  ),
  pools.gauges(
    'db_pool_host_connections',
    'Connections to each of several hosts, by the role of its server',
    ({ statistics }) => hostConnections(statistics),
  ),
  pools.counter(
    'db_pool_failovers_total',
    'How often the host that takes writes has changed',
    ({ statistics }) => statistics.hosts?.failovers,
  ),
  pools.gauges('db_pool_replica_lag_seconds', 'How old what a replica lacks is, by its host', ({ statistics }) =>
    (statistics.replicas?.states ?? []).flatMap(({ host, lagMs }) =>
      lagMs === undefined ? [] : [[{ host }, lagMs / 1_000] as const],
    ),
  ),
  pools.counters(
    'db_pool_replica_reads_total',
    'Reads of @InjectReplicaDb(), by where they went: to a replica, to one that was waited for, to the primary',
    'outcome',
    ({ statistics }) => ({ ...statistics.replicas?.reads }),
  ),
  pools.counters(
    'db_pool_transactions_total',
    'Transactions of @Transactional() that have ended, by their outcome',
    'outcome',
    ({ statistics }) => statistics.transactions,
  ),
  pools.counter(
    'db_pool_transaction_hook_failures_total',
    'Hooks of afterCommit and afterRollback that have thrown',
    ({ statistics }) => statistics.transactionHookFailures,
  ),
  pools.counter(
    'db_pool_prepared_statement_hits_total',
    'Queries that found their statement prepared on their connection',
    ({ statistics }) => statistics.preparedStatementHits,
  ),
  pools.counter(
    'db_pool_prepared_statement_misses_total',
    'Queries of texts not used before, or not yet on their connection',
    ({ statistics }) => statistics.preparedStatementMisses,
  ),
];
