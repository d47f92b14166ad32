import type { ClientConfig } from 'pg';
import { PoolOptionsError } from '../../core/errors.js';
import { durationMs, object, oneOf, type Rule } from '../../core/validation.js';
import { CONNECTION_FIELDS } from './connection-options.js';
import { DATABASE_DEFAULTS } from './database-defaults.js';
import type {
  DatabaseOptions,
  ReplicaOptions,
  ResolvedDatabaseOptions,
  ResolvedReplicaOptions,
} from './database-options.js';
import { nameOfHost, type HostTarget } from './host-options.js';
import { DATABASE_HINTS } from './option-hints.js';

/** Options of a pool that replicas have no own ones of. */
const NOT_OF_REPLICAS: ReadonlySet<string> = new Set(['startup', 'plugins', 'log']);

/** What the option `replicas` may be, by what the options of a pool may be. */
export function replicasRule(poolRules: Readonly<Record<string, Rule>>): Rule {
  const inherited = Object.entries(poolRules).filter(([name]) => !NOT_OF_REPLICAS.has(name));
  const rules: Readonly<Record<string, Rule>> = {
    ...Object.fromEntries(inherited),
    maxLagMs: durationMs({ min: 1 }),
    waitMs: durationMs({ zero: 'none' }),
    consistency: oneOf('read-your-writes', 'eventual'),
  };
  return object(rules, DATABASE_HINTS);
}

/**
 * Fills in the options of replicas.
 *
 * @param problems - what is wrong is added here.
 * @param resolve - fills in the options of a pool; throws a `PoolOptionsError`.
 */
export function resolveReplicas(
  options: DatabaseOptions,
  problems: string[],
  resolve: (options: DatabaseOptions) => ResolvedDatabaseOptions,
): ResolvedReplicaOptions | undefined {
  const given = options.replicas;
  if (given === undefined) return undefined;
  const { maxLagMs, waitMs, consistency, ...own } = given;
  if (own.url === undefined && own.hosts === undefined && own.connection?.host === undefined) {
    problems.push('replicas: names no host; give url or hosts');
    return undefined;
  }
  const defaults = DATABASE_DEFAULTS.replicas;
  try {
    return Object.freeze({
      maxLagMs: maxLagMs ?? defaults.maxLagMs,
      waitMs: waitMs ?? defaults.waitMs,
      consistency: consistency ?? defaults.consistency,
      pool: resolve(withOwn(options, own)),
    });
  } catch (error) {
    if (!(error instanceof PoolOptionsError)) throw error;
    problems.push(...(error.details['problems'] as string[]).map((problem) => `replicas.${problem}`));
    return undefined;
  }
}

/** The options of the replicas' pools: their own over the database's, but for the address. */
function withOwn(options: DatabaseOptions, own: Partial<ReplicaOptions>): DatabaseOptions {
  const { url, connection, hosts: _hosts, targetSessionAttrs: _attrs, replicas: _replicas, ...inherited } = options;
  const { host: _host, port: _port, connectionString, ...fields } = fieldsOf(connection);
  const unnamed = url === undefined && connection === undefined;
  const address = url ?? connectionString ?? (unnamed ? process.env['DATABASE_URL'] || undefined : undefined);
  const given = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
  const named = own.url !== undefined && /[?&]target_session_attrs=/.test(own.url);
  return {
    ...inherited,
    ...given,
    connection: {
      ...fields,
      ...(address === undefined ? undefined : { connectionString: withoutHosts(address) }),
      ...fieldsOf(own.connection),
    },
    ...(own.targetSessionAttrs !== undefined || named ? undefined : { targetSessionAttrs: 'standby' }),
    // They start with the database.
    startup: 'lazy',
  };
}

/** Also what isn't enumerable: pg hides the password of an object that it has used. */
function fieldsOf(connection: ClientConfig | undefined): ClientConfig {
  const given = (connection ?? {}) as Readonly<Record<string, unknown>>;
  const present = CONNECTION_FIELDS.filter((name) => given[name] !== undefined && given[name] !== null);
  return Object.fromEntries(present.map((name) => [name, given[name]]));
}

/** Parameters of a URL that choose a host. */
const OF_HOSTS: ReadonlySet<string> = new Set([
  'host',
  'port',
  'hostaddr',
  'target_session_attrs',
  'load_balance_hosts',
]);

/** A URL that names no host; one that isn't of the usual form stays as it is. */
function withoutHosts(url: string): string {
  const [, scheme, credentials = '', path = '', query = ''] =
    /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*@)?[^/?#]*([^?#]*)(?:\?([^#]*))?$/i.exec(url) ?? [];
  if (scheme === undefined) return url;
  const rest = query.split('&').filter((pair) => pair !== '' && !OF_HOSTS.has(pair.split('=')[0] as string));
  return `${scheme}${credentials}${path === '' ? '/' : path}${rest.length === 0 ? '' : `?${rest.join('&')}`}`;
}

/** The options of the pool of one host. */
export function optionsOfHost(pool: ResolvedDatabaseOptions, host: HostTarget): ResolvedDatabaseOptions {
  const { clientConfig, bindsChannel, target } = pool;
  const single: Record<string, unknown> = {
    ...pool,
    name: `${pool.name} (${nameOfHost(host)})`,
    hosts: Object.freeze([host]),
    target: Object.freeze({ ...target, host: host.host, port: host.port }),
  };
  const hidden = {
    clientConfig: Object.freeze({ ...clientConfig, host: host.host, port: host.port }),
    bindsChannel,
    findHosts: undefined,
  };
  for (const [name, value] of Object.entries(hidden)) {
    Object.defineProperty(single, name, { enumerable: false, value });
  }
  return Object.freeze(single) as unknown as ResolvedDatabaseOptions;
}
