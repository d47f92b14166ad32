import type { PoolOptions } from 'pg';
import type { HostTarget } from './host-options.js';
import type { ResolvedDatabaseOptions } from './options.js';

/**
 * A pool's options under the names of `pg.Pool`, for whatever reads `pool.options`: session stores, migration tools,
 * Kysely's own dialect, which dials a control connection with them. Secrets are among them, not enumerable.
 *
 * @param present - with several hosts, the host that connections go to now: a control connection has to go there as well.
 */
export function pgOptionsOf(options: ResolvedDatabaseOptions, present?: () => HostTarget): PoolOptions {
  const { password, ssl, options: commandLine, ...fields } = options.clientConfig;
  const pgOptions: PoolOptions = {
    ...fields,
    max: options.size + options.maxOverflow,
    min: options.minIdle,
    idleTimeoutMillis: options.idleTimeoutMs,
    connectionTimeoutMillis: options.connectTimeoutMs,
    maxUses: options.maxUses === 0 ? Infinity : options.maxUses,
    maxLifetimeSeconds: options.maxLifetimeMs / 1_000,
    allowExitOnIdle: true,
  };
  if (present !== undefined) {
    Object.defineProperty(pgOptions, 'host', { enumerable: true, get: () => present().host });
    Object.defineProperty(pgOptions, 'port', { enumerable: true, get: () => present().port });
  }
  Object.defineProperty(pgOptions, 'password', { enumerable: false, value: password });
  if (commandLine !== undefined) Object.defineProperty(pgOptions, 'options', { enumerable: false, value: commandLine });
  Object.defineProperty(pgOptions, 'ssl', { enumerable: typeof ssl === 'boolean', value: ssl });
  return Object.freeze(pgOptions);
}
