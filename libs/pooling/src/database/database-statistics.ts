import type { Pool } from '../core/pool.js';
import type { PoolStatistics } from '../core/statistics.js';
import type { FleetStatistics } from './fleet/fleet-member.js';
import type { HostsStatistics } from './hosts/host-statistics.js';
import type { StatementCache } from './query/statement-cache.js';
import type { Leaks } from './replicas/replica-leases.js';
import type { ReplicaSet } from './replicas/replica-set.js';
import type { ReplicasStatistics } from './replicas/replica-statistics.js';
import type { TransactionOutcomes, TransactionTally } from './transaction-tally.js';

/** {@link PoolStatistics} with what a database adds. */
export interface DatabasePoolStatistics extends PoolStatistics {
  /** Connections that came back with an open transaction, which was rolled back. */
  readonly transactionsLeftOpen: number;
  /** Cancel requests, sent after a query's time-out, that failed. */
  readonly cancelFailures: number;
  /** Whether the server takes no writes, by what the newest connections say; asked for once a write was refused (25006). */
  readonly readOnly: boolean;
  /** Transactions of `@Transactional()` and `transactional()` that have ended, by their outcome. */
  readonly transactions: TransactionOutcomes;
  /** Hooks of `afterCommit` and `afterRollback` that have thrown. */
  readonly transactionHookFailures: number;
  /** Statements that borrowers have run. */
  readonly queries: number;
  /** Queries that found their statement prepared on their connection. */
  readonly preparedStatementHits: number;
  /** Queries that didn't: of texts not used before, or not yet on this connection. */
  readonly preparedStatementMisses: number;
  /** The processes that share the `budget`; left out without one. */
  readonly fleet?: FleetStatistics;
  /** What is known of several hosts; left out where the pool doesn't choose among hosts. */
  readonly hosts?: HostsStatistics;
  /** What is known of the replicas; left out without any. */
  readonly replicas?: ReplicasStatistics;
}

/** What a database pool counts besides its engine. */
export interface DatabaseCounters {
  queries: number;
  transactionsLeftOpen: number;
  cancelFailures: number;
}

/** What the statistics of a database pool are read from. */
export interface StatisticsSource {
  readonly engine: Pick<Pool<unknown>, 'statistics'>;
  readonly counters: DatabaseCounters;
  readonly role: { readonly readOnly: boolean };
  /** `undefined`: the pool doesn't choose among hosts. */
  readonly hosts: { statistics(): HostsStatistics } | undefined;
  readonly transactions: TransactionTally;
  /** `undefined`: nothing is prepared. */
  readonly statements: StatementCache | undefined;
  /** `undefined`: the pool has none. */
  readonly budget: { readonly statistics: FleetStatistics } | undefined;
}

/** An immutable snapshot of levels and counters. */
export function databaseStatistics(
  source: StatisticsSource,
  replicas: Pick<ReplicaSet, 'statistics' | 'leases'> | undefined,
): DatabasePoolStatistics {
  const { engine, counters, role, hosts, statements, budget, transactions } = source;
  const own = engine.statistics();
  return {
    ...own,
    ...(replicas === undefined ? undefined : leaksOf(own, replicas.leases.leaks())),
    transactionsLeftOpen: counters.transactionsLeftOpen,
    cancelFailures: counters.cancelFailures,
    readOnly: role.readOnly,
    transactions: { ...transactions.outcomes },
    transactionHookFailures: transactions.hookFailures,
    queries: counters.queries,
    preparedStatementHits: statements?.hits ?? 0,
    preparedStatementMisses: statements?.misses ?? 0,
    ...(budget === undefined ? undefined : { fleet: budget.statistics }),
    ...(hosts === undefined ? undefined : { hosts: hosts.statistics() }),
    ...(replicas === undefined ? undefined : { replicas: replicas.statistics() }),
  };
}

/** Leaks of a pool and of its replicas, as `holders()` shows both. */
function leaksOf(
  { leaks, lastLeak }: PoolStatistics,
  { count, last }: Leaks,
): Pick<PoolStatistics, 'leaks' | 'lastLeak'> {
  const newest = lastLeak === undefined || (last !== undefined && last.at > lastLeak.at) ? last : lastLeak;
  return { leaks: leaks + count, ...(newest === undefined ? undefined : { lastLeak: newest }) };
}
