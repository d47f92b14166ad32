import type {
  DatabasePreset,
  PrePingOptions,
  ReplicaConsistency,
  ResolvedDatabaseOptions,
} from './database-options.js';

/** What a preset fills in. */
type PresetValues = Pick<
  ResolvedDatabaseOptions,
  'size' | 'maxOverflow' | 'acquireTimeoutMs' | 'maxLifetimeMs' | 'prePing'
>;

/** The check before a lease, where it is on. */
export const PRE_PING_DEFAULTS: Required<PrePingOptions> = Object.freeze({ idleMs: 500, timeoutMs: 5_000 });

/** The values of each preset. */
export const DATABASE_PRESETS: Readonly<Record<DatabasePreset, PresetValues>> = Object.freeze({
  small: {
    size: 10,
    maxOverflow: 5,
    acquireTimeoutMs: 30_000,
    maxLifetimeMs: 3_600_000,
    prePing: PRE_PING_DEFAULTS,
  },
  medium: {
    size: 20,
    maxOverflow: 10,
    acquireTimeoutMs: 15_000,
    maxLifetimeMs: 1_800_000,
    prePing: PRE_PING_DEFAULTS,
  },
  high: { size: 50, maxOverflow: 20, acquireTimeoutMs: 5_000, maxLifetimeMs: 900_000, prePing: false },
});

/** The defaults that no preset changes. */
export const DATABASE_DEFAULTS = Object.freeze({
  preset: 'small',
  loadBalanceHosts: 'disable',
  hostRecheckMs: 10_000,
  minIdle: 0,
  connectTimeoutMs: 10_000,
  idleTimeoutMs: 300_000,
  lifetimeJitter: 0.25,
  maxUses: 0,
  keepAliveMs: 120_000,
  maxWaiting: 10_000,
  maxConnecting: 4,
  queryTimeoutMs: 60_000,
  statementTimeoutMs: 60_000,
  streamIdleTimeoutMs: 60_000,
  lockTimeoutMs: 0,
  idleInTransactionTimeoutMs: 0,
  session: Object.freeze({ timezone: 'UTC' }),
  reset: 'rollback',
  leakDetectionMs: 0,
  slowAcquireMs: 0,
  slowQueryMs: 0,
  slowQueryPlan: false as boolean,
  preparedStatements: Object.freeze({ max: 256 }),
  pipelining: false as false | { readonly depth?: number },
  pipeliningDepth: 16,
  budget: Object.freeze({ min: 2, checkMs: 5_000 }),
  replicas: Object.freeze({ maxLagMs: 10_000, waitMs: 50, consistency: 'read-your-writes' as ReplicaConsistency }),
  startup: 'warm',
} as const);
