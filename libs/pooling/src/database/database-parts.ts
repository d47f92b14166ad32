import type { EventEmitter } from 'node:events';
import { asNobody } from '../core/async-context.js';
import { systemClock, type Clock } from '../core/clock.js';
import { poolChannel } from '../core/diagnostics.js';
import { Pool } from '../core/pool.js';
import { keepRequests } from '../core/request-context.js';
import { numbers } from '../core/slots.js';
import type { SpanSink } from '../core/span-sink.js';
import type { PostgresConnection } from './connection/connection.js';
import { HandingOn } from './connection/handing-on.js';
import { DatabaseConnector, type ConnectorHost } from './connection/connector.js';
import { ServerRole } from './connection/server-role.js';
import { DatabaseEvents, type DatabasePoolObserver } from './database-events.js';
import { announce, DatabaseLeases } from './database-leases.js';
import type { DatabaseCounters } from './database-statistics.js';
import type { RoleOfServer } from './hosts/connection-role.js';
import { PoolHosts } from './hosts/pool-hosts.js';
import { choosesHost } from './options/chosen-hosts.js';
import { engineOptionsOf } from './options/engine-options.js';
import type { ResolvedDatabaseOptions } from './options/options.js';
import { commentOf } from './options/query-comments.js';
import { PoolBudget } from './pool-budget.js';
import { DatabasePing } from './ping.js';
import type { PlanVerdict } from './query/plan-watch.js';
import { QueryTraces } from './query/query-traces.js';
import { shortenStatement } from './query/shown-statement.js';
import { SingleQueries } from './query/single-queries.js';
import { SlowQueries } from './query/slow-queries.js';
import { SlowQueryPlans } from './query/slow-query-plans.js';
import { StatementCache } from './query/statement-cache.js';
import { StatementTally } from './query/statement-tally.js';
import { StatementTimeout } from './query/submission.js';
import { UnnamedTexts } from './query/unnamed-texts.js';
import { PoolWrites } from './replicas/pool-writes.js';
import { TransactionTally } from './transaction-tally.js';

/** What a pool is made with besides its options. */
export interface DatabasePoolDependencies {
  readonly clock?: Clock;
  /** 0 ≤ number < 1; for jitter. */
  readonly random?: () => number;
  readonly observer?: DatabasePoolObserver;
  /** On whose behalf the present acquire is made, for holders and error messages. */
  readonly label?: () => string | undefined;
  /** Makes spans of what the pool does. */
  readonly spans?: SpanSink | undefined;
  /** How long leases may finish when `end()` or `close()` is called without a deadline, in milliseconds; 10000 by default. */
  readonly closeDeadlineMs?: number;
}

/** What a database pool is made of. */
export interface DatabaseParts {
  readonly clock: Clock;
  readonly engine: Pool<PostgresConnection>;
  readonly leases: DatabaseLeases;
  readonly queries: SingleQueries;
  readonly tally: StatementTally;
  /** Numbers connections. */
  readonly nextConnection: () => number;
  readonly ping: DatabasePing;
  readonly role: RoleOfServer<PostgresConnection>;
  /** There where the pool chooses among hosts. */
  readonly hosts: PoolHosts<PostgresConnection> | undefined;
  /** Which texts are prepared; `undefined`: none. */
  readonly statements: StatementCache | undefined;
  readonly counters: DatabaseCounters;
  /** What the pool may have, where processes share a budget. */
  readonly budget: PoolBudget | undefined;
  readonly transactions: TransactionTally;
  /** Takes notes of what is written; `undefined`: nobody reads it elsewhere. */
  readonly writes: PoolWrites | undefined;
}

/** What a pool has in common with those of its replicas: they are shown as one. */
export type CommonParts = Pick<DatabaseParts, 'tally' | 'nextConnection'>;

/** What is known of a pool before its parts are made. */
interface Making {
  readonly name: string;
  readonly clock: Clock;
  readonly observer: DatabasePoolObserver;
  readonly configuration: ResolvedDatabaseOptions;
}

/**
 * Makes the parts of a pool and wires them. `emitter` is the pool: its listeners hear of connections and leases. `common` are
 * parts of another pool; left out: it has its own.
 */
export function databasePartsOf(
  name: string,
  configuration: ResolvedDatabaseOptions,
  dependencies: DatabasePoolDependencies,
  emitter: EventEmitter,
  common?: CommonParts,
): DatabaseParts {
  const { clock = systemClock, observer = {}, spans } = dependencies;
  const { clientConfig } = configuration;
  const making = { name, clock, observer, configuration };
  const counters: DatabaseCounters = { queries: 0, transactionsLeftOpen: 0, cancelFailures: 0 };
  const statements = statementCacheOf(making);
  const { tally, nextConnection } = common ?? { tally: new StatementTally(clock), nextConnection: numbers() };
  const unnamed = new UnnamedTexts(commentOf(configuration.queryComments));
  const suspectAll = (): void => engine.suspectAll();
  const hosts: PoolHosts<PostgresConnection> | undefined = choosesHost(configuration)
    ? new PoolHosts<PostgresConnection>(configuration, {
        clock,
        random: dependencies.random ?? Math.random,
        suspectAll,
        failedOver: () => budget?.moved(),
        replace: (chosen, most) => engine.replace(chosen, most),
      })
    : undefined;
  const budget: PoolBudget | undefined = PoolBudget.of(configuration, {
    clock,
    random: dependencies.random ?? Math.random,
    engine: () => engine,
    isPresent: (connection) => hosts?.isPresent(connection) ?? true,
    off: (reason) => observer.budgetOff?.({ pool: name, reason }),
  });
  const role = hosts?.role ?? new ServerRole({ clock, suspectAll });
  const traces = new QueryTraces(name, configuration.target, spans);
  // One span stands for all tries of a transaction: they are known by their context.
  if (spans?.present === true) keepRequests();
  const writes = configuration.replicas?.consistency === 'read-your-writes' ? new PoolWrites(name, clock) : undefined;
  // A read is to see what its own request has written.
  if (writes !== undefined) keepRequests();
  const events: DatabaseEvents = new DatabaseEvents({
    name,
    clock,
    slowAcquireMs: configuration.slowAcquireMs,
    observer,
    emitter,
    levels: () => engine,
    dialled: (error) => {
      ping.dialled(error);
      budget?.dialled(error);
    },
  });
  const host: ConnectorHost = {
    name,
    clock,
    clientConfig,
    traces,
    comment: commentOf(configuration.queryComments),
    statements,
    unnamed,
    role,
    hosts,
    traffic: counters,
    tally,
    handingOn: new HandingOn(clock),
    submissions: {
      idleTimeoutMs: configuration.streamIdleTimeoutMs,
      statementTimeout: statementTimeoutOf(configuration),
    },
    slowQueries: slowQueriesOf(making, tally, () => leases),
    get deadlines() {
      return engine.deadlines;
    },
    answered: (lease) => lease.verified(clock.now()),
    queryTimedOut: (error) => events.queryTimedOut(error),
    cancelFailed: () => counters.cancelFailures++,
    opened: (connection) => announce(emitter, 'connect', connection.client),
    leftTransaction: (connection) => {
      counters.transactionsLeftOpen++;
      observer.leftOpen?.({ pool: name, statement: connection.underway.leftStatement });
    },
    removed: (connection) => {
      ping.slotFreed();
      budget?.removed(connection);
      // The borrower that gave it back is gone.
      asNobody(announce, emitter, 'remove', connection.client);
    },
  };
  const engine: Pool<PostgresConnection> = new Pool(
    engineOptionsOf(configuration),
    new DatabaseConnector(configuration, host),
    {
      clock,
      observer: events,
      describe: (connection) => connection.activity(),
      spans,
      nextConnection,
      ...(dependencies.random === undefined ? undefined : { random: dependencies.random }),
      ...(dependencies.label === undefined ? undefined : { label: dependencies.label }),
    },
  );
  budget?.join();
  const leases = new DatabaseLeases({
    name,
    queryTimeoutMs: configuration.queryTimeoutMs,
    engine,
    hooked: configuration.onAcquire !== undefined,
    timedOut: (error) => events.acquireTimedOut(error),
    emitter,
    writes,
  });
  const queries = new SingleQueries(leases, statements ?? unnamed, traces, configuration, hosts, writes);
  publishPool(making);
  const ping: DatabasePing = new DatabasePing({
    name,
    clock,
    get clientConfig() {
      return hosts?.configOf(hosts.present, undefined) ?? clientConfig;
    },
    engine,
    leases,
    role,
  });
  const transactions = new TransactionTally(observer);
  return {
    clock,
    engine,
    leases,
    queries,
    tally,
    nextConnection,
    ping,
    role,
    hosts,
    statements,
    counters,
    budget,
    transactions,
    writes,
  };
}

function statementCacheOf({ name, observer, configuration }: Making): StatementCache | undefined {
  const { preparedStatements } = configuration;
  if (preparedStatements === false) return undefined;
  const replanned = (text: string, verdict: PlanVerdict): void =>
    observer.replanned?.({ pool: name, statement: shortenStatement(text), ...verdict });
  return new StatementCache(preparedStatements.max, replanned, commentOf(configuration.queryComments));
}

function slowQueriesOf(making: Making, tally: StatementTally, leases: () => DatabaseLeases): SlowQueries | undefined {
  const { name, clock, observer, configuration } = making;
  const { slowQueryMs, slowQueryPlan } = configuration;
  if (slowQueryMs === 0) return undefined;
  const plans = slowQueryPlan ? slowQueryPlansOf(making, tally, leases) : undefined;
  return new SlowQueries(name, slowQueryMs, clock, (report) => observer.slowQuery?.(report), plans);
}

function slowQueryPlansOf(
  { name, clock, observer }: Making,
  tally: StatementTally,
  leases: () => DatabaseLeases,
): SlowQueryPlans {
  return new SlowQueryPlans({
    pool: name,
    clock,
    ask: (text) => {
      const lease = leases().tryAcquire('own');
      if (lease === undefined) return undefined;
      const answer = lease.connection.run(text).then(({ rows }) => rows);
      return answer.finally(() => leases().giveBack(lease));
    },
    explained: (plan, text) => {
      tally.explained(text, plan.plan);
      observer.slowQueryPlan?.(plan);
    },
  });
}

/** The pool's own limit on statements: one that the session's settings name is the user's. */
function statementTimeoutOf({
  statementTimeoutMs,
  session,
}: Pick<ResolvedDatabaseOptions, 'statementTimeoutMs' | 'session'>): StatementTimeout | undefined {
  const named = Object.keys(session).some((name) => name.toLowerCase() === 'statement_timeout');
  return statementTimeoutMs > 0 && !named ? new StatementTimeout(statementTimeoutMs) : undefined;
}

function publishPool({ name, configuration }: Making): void {
  if (!poolChannel.hasSubscribers) return;
  const { host, port, database } = configuration.target;
  poolChannel.publish({ name, server: `${host}:${port}/${database}` });
}
