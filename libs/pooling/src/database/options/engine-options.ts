import type { PoolOptions } from '../../core/pool-options.js';
import { choosesHost } from './chosen-hosts.js';
import { PRE_PING_DEFAULTS } from './database-defaults.js';
import type { ResolvedDatabaseOptions } from './options.js';

/** The engine's options, from those of a database pool. */
export function engineOptionsOf(options: ResolvedDatabaseOptions): PoolOptions {
  const { prePing } = options;
  return {
    name: options.name,
    size: options.size,
    maxOverflow: options.maxOverflow,
    minIdle: options.minIdle,
    acquireTimeoutMs: options.acquireTimeoutMs,
    connectTimeoutMs: options.connectTimeoutMs,
    idleTimeoutMs: options.idleTimeoutMs,
    maxLifetimeMs: options.maxLifetimeMs,
    lifetimeJitter: options.lifetimeJitter,
    maxUses: options.maxUses,
    pingAfterIdleMs: prePing === false ? Infinity : prePing.idleMs,
    pingTimeoutMs: prePing === false ? PRE_PING_DEFAULTS.timeoutMs : prePing.timeoutMs,
    keepAliveMs: keepAliveOf(options),
    maxWaiting: options.maxWaiting,
    maxConnecting: options.maxConnecting,
    sharedLimit: options.pipelining === false ? 1 : options.pipelining.depth,
    quickReserve: options.quickReserve,
    leakDetectionMs: options.leakDetectionMs,
  };
}

/** With several hosts, idle connections are pinged at each recheck: a server reports a new role only with an answer. */
function keepAliveOf(options: ResolvedDatabaseOptions): number {
  const { keepAliveMs, hostRecheckMs } = options;
  if (!choosesHost(options)) return keepAliveMs;
  return keepAliveMs === 0 ? hostRecheckMs : Math.min(keepAliveMs, hostRecheckMs);
}
