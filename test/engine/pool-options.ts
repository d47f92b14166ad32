import type { PoolOptions } from '#pooling/core/pool-options.js';

/** Options of a pool for tests: small, and without any background work unless asked for. */
export function poolOptions(overrides: Partial<PoolOptions> = {}): PoolOptions {
  return {
    name: 'test',
    size: 2,
    maxOverflow: 1,
    minIdle: 0,
    acquireTimeoutMs: 1_000,
    connectTimeoutMs: 500,
    idleTimeoutMs: 0,
    maxLifetimeMs: 0,
    lifetimeJitter: 0,
    maxUses: 0,
    pingAfterIdleMs: Infinity,
    pingTimeoutMs: 300,
    keepAliveMs: 0,
    maxWaiting: 100,
    maxConnecting: 2,
    sharedLimit: 1,
    quickReserve: undefined,
    leakDetectionMs: 0,
    ...overrides,
  };
}
