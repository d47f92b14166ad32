export { PoolingModule } from './module/pooling.module.js';
export type {
  AsyncOptions,
  DatabaseOptionsFactory,
  HealthRouteOptions,
  HttpClientOptionsFactory,
  MetricsRouteOptions,
  NamedDatabaseAsyncOptions,
  NamedDatabaseOptions,
  NamedHttpClientAsyncOptions,
  NamedHttpClientOptions,
  PoolingModuleAsyncOptions,
  PoolingModuleOptions,
  PoolingOptionsFactory,
  ShutdownOptions,
  StaticOptions,
} from './module/module-options.js';
export {
  InjectDb,
  InjectDbPool,
  InjectHttpClient,
  InjectReplicaDb,
  type InjectDecorator,
} from './module/decorators.js';
export { Transactional, type TransactionalDecorator } from './module/transactional.js';
export { getDbPoolToken, getDbToken, getHttpClientToken, getReplicaDbToken } from './module/tokens.js';
export {
  PoolRegistry,
  type DatabaseSnapshot,
  type HttpClientSnapshot,
  type PoolingSnapshot,
} from './module/pool-registry.js';
export type { PlainSettings, PlainValue } from './module/plain-settings.js';

export { PoolHealthIndicator } from './health/pool-health.indicator.js';

export { DatabasePool, type ConnectCallback } from './database/database-pool.js';
export type { DatabasePoolDependencies } from './database/database-parts.js';
export type { DatabasePoolStatistics } from './database/database-statistics.js';
export type { HostsStatistics, HostStatistics } from './database/hosts/host-statistics.js';
export type {
  ReplicaReadCounts,
  ReplicasStatistics,
  ReplicaStatistics,
} from './database/replicas/replica-statistics.js';
export type { FleetBudget } from './database/fleet/fleet-members.js';
export type { FleetProcess, FleetStatistics } from './database/fleet/fleet-member.js';
export type {
  BudgetOffReport,
  DatabasePoolObserver,
  LeftOpenReport,
  ReplannedReport,
  SlowAcquireReport,
} from './database/database-events.js';
export type { AddressSource, ConnectionTarget } from './database/options/connection-options.js';
export type {
  FindHosts,
  HostAddress,
  HostTarget,
  LoadBalanceHosts,
  TargetSessionAttrs,
} from './database/options/host-options.js';
export type { HookFailedReport, TransactionOutcomes } from './database/transaction-tally.js';
export type { SlowQueryReport } from './database/query/slow-queries.js';
export type { QueryComments } from './database/options/query-comments.js';
export type { SlowQueryPlan } from './database/query/slow-query-plans.js';
export type {
  BudgetOptions,
  DatabaseOptions,
  DatabasePreset,
  DatabaseStartup,
  PrePingOptions,
  ReplicaConsistency,
  ReplicaOptions,
  ResetHook,
  ResolvedDatabaseOptions,
  ResolvedReplicaOptions,
  SessionSettings,
} from './database/options/options.js';
export type { PingResult } from './database/ping.js';
export { batch, type BatchQuery, type BatchResult, type BatchResults } from './database/kysely/batch.js';
export { createKysely, type CreateKyselyOptions } from './database/kysely/kysely.js';
export { prepareQuery, type Compilable, type PreparedQuery } from './database/kysely/prepare-query.js';
export { UnpreparedPlugin } from './database/kysely/unprepared-plugin.js';
export { currentTransaction, transactional } from './database/kysely/ambient/transactional.js';
export {
  afterCommit,
  afterRollback,
  withoutTransaction,
  type HookOptions,
} from './database/kysely/ambient/outcome-hooks.js';
export type { Hook } from './database/kysely/ambient/hooks.js';
export type {
  Propagation,
  TransactionalOptions,
  TransactionSettingsMap,
} from './database/kysely/ambient/transactional-options.js';
export { consistencyToken, withConsistency } from './database/kysely/replicas/consistency.js';
export { retryTransaction } from './database/kysely/retry-transaction.js';
export type { RetryTransactionOptions } from './database/kysely/retries.js';

export { HttpClient, type HttpClientDependencies } from './http/http-client.js';
export type { HttpCloseReport, HttpHolder } from './http/pool/close.js';
export type { ResolveAll } from './http/pool/lookup.js';
export type { FormStream } from './http/message/foreign-bodies.js';
export type { HttpLeakReport } from './http/exchange/body-watch.js';
export type { HttpHeaders, HttpHeaderValue } from './http/message/headers.js';
export type {
  HttpClientOptions,
  HttpRedirectOptions,
  HttpRetryOptions,
  HttpTimeouts,
  ResolvedHttpClientOptions,
  ResolvedHttpRetry,
  ResolvedHttpTimeouts,
} from './http/options.js';
export type { HttpBody, HttpQueryValue, HttpRequestInit } from './http/message/request.js';
export type { HttpRequestInitWithMethod } from './http/message/request-init.js';
export {
  HttpResponse,
  type HttpResponseHeaders,
  type HttpResponsePromise,
  type HttpStreamResponse,
} from './http/message/response.js';
export type {
  HttpClientStatistics,
  HttpCloseReason,
  HttpOriginMetrics,
  HttpOriginStatistics,
  HttpRequestDurations,
} from './http/pool/statistics.js';

export {
  HttpOriginRefusedError,
  HttpQueueFullError,
  HttpResponseTooLargeError,
  HttpStatusError,
  HttpTimeoutError,
  PoolAcquireTimeoutError,
  PoolClosedError,
  PoolCommitUnknownError,
  PoolConnectError,
  PoolingError,
  PoolLeaseReleasedError,
  PoolNotConfiguredError,
  PoolOptionsError,
  PoolQueryTimeoutError,
  PoolQueueFullError,
  PoolSuspendedError,
  PoolTransactionError,
  type PoolTransactionErrorCode,
  type PoolTransactionErrorOptions,
  type ErrorDetails,
  type PoolingErrorOptions,
  type HttpTimeoutPhase,
} from './core/errors.js';
export type {
  HttpRequestEvent,
  PoolAcquireEvent,
  PoolCloseEvent,
  PoolConnectEvent,
  PoolCreated,
  PoolEventSource,
  PoolLeakEvent,
  PoolReleaseEvent,
  PoolTimeoutEvent,
} from './core/diagnostics.js';
export type {
  AcquireOperation,
  AcquireReason,
  ExchangeOperation,
  QueryOperation,
  TracedOperation,
  TransactionOperation,
} from './core/tracing-channels.js';
export type { OpenSpan, QueryShape, SpanRef, SpanSink } from './core/span-sink.js';
export { spansFor, type ConfigurableSpans } from './tracing/spans.js';
export type { ResolvedTracing, Tracing, TracingMode, TracingOptions } from './tracing/tracing-options.js';
export type { AcquireOrigin, TransactionOrigin } from './core/acquire-origin.js';
export type { CallTrace } from './core/call-trace.js';
export type { Exemplar, HistogramSnapshot, Percentiles } from './core/histogram.js';
export type { Acquirer, Holder, HolderActivity } from './core/holders.js';
export type { Clock, Timer } from './core/clock.js';
export type { AcquireOptions, CloseReport, LeakReport, ObservedSlot, PoolObserver } from './core/pool-options.js';
export type {
  CloseReason,
  ConnectFailure,
  LeakNotice,
  PoolHistograms,
  PoolStatistics,
  PublishedPoolState,
} from './core/statistics.js';

export { PoolAdvisor, type PoolAdvisorDependencies, type ServerLoad } from './advice/pool-advisor.js';
export type { AdvisedConfiguration, AdvisedConnection, AdvisedDatabase, AdvisedHttpClient } from './advice/advised.js';
export type { Advice, AdviceCode, AdviceSeverity, EvidenceValue } from './advice/advice.js';
export type { PoolLoad } from './advice/load.js';
export type { AdviceOptions } from './module/pool-advice.js';
export type { ConsoleAction, ConsoleOptions } from './console/console-options.js';
export type { RouteDecorators } from './routes/route-decorators.js';
export {
  recommendPoolSize,
  sizeForLoad,
  type LoadSize,
  type LoadTarget,
  type PoolSizeEstimate,
} from './advice/sizing.js';
