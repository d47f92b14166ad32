import { inspect } from 'node:util';
import { optionProblems, refuseProblems, type Rule } from '../../core/validation.js';
import { fleetName, instanceId, instanceName } from '../fleet/published-name.js';
import { applicationPackageName, resolveConnection, shortenApplicationName } from './connection-options.js';
import { urlProblems } from './connection-url.js';
import { DATABASE_DEFAULTS, DATABASE_PRESETS, PRE_PING_DEFAULTS } from './database-defaults.js';
import type { BudgetOptions, DatabaseOptions, ResolvedDatabaseOptions, SessionSettings } from './database-options.js';
import { DATABASE_HINTS } from './option-hints.js';
import { canBeMerged, DATABASE_RULES } from './option-rules.js';
import { budgetProblems, chosenHosts } from './chosen-hosts.js';
import { resolveReplicas } from './replica-options.js';
import { startupProblems } from './startup-texts.js';

export type * from './database-options.js';

/**
 * Fills in every default and freezes the result. The environment is read here.
 *
 * @param hostsApart - whether each host has a pool of its own, as replicas have.
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`: one error that lists all problems, without the password.
 */
export function resolveDatabaseOptions(
  name: string,
  options: DatabaseOptions = {},
  hostsApart = false,
): ResolvedDatabaseOptions {
  const problems = optionProblems(DATABASE_RULES as Readonly<Record<string, Rule>>, options, DATABASE_HINTS);
  const environmentUrl =
    options.url === undefined && options.connection === undefined ? process.env['DATABASE_URL'] : undefined;
  const environmentProblems = environmentUrl ? urlProblems(environmentUrl) : [];
  problems.push(...environmentProblems.map((problem) => `DATABASE_URL (environment): ${problem}`));
  const preset = DATABASE_PRESETS[options.preset ?? DATABASE_DEFAULTS.preset] ?? DATABASE_PRESETS.small;
  const size = options.size ?? preset.size;
  const minIdle = options.minIdle ?? DATABASE_DEFAULTS.minIdle;
  if (Number.isInteger(minIdle) && Number.isInteger(size) && size > 0 && minIdle > size) {
    problems.push(`minIdle: ${minIdle} is not allowed; an integer from 0 to size (${size})`);
  }
  const maxOverflow = options.maxOverflow ?? preset.maxOverflow;
  const { quickReserve } = options;
  const most = size + maxOverflow;
  if (Number.isInteger(quickReserve) && Number.isInteger(most) && (quickReserve as number) >= Math.max(1, most)) {
    problems.push(
      `quickReserve: ${quickReserve} is not allowed; an integer from 0 to size + maxOverflow − 1 (${most - 1})`,
    );
  }
  const source =
    environmentProblems.length === 0 && canBeMerged(options.url, options.connection)
      ? resolveConnection(options.url, options.connection, problems)
      : undefined;
  const chosen = source === undefined ? undefined : chosenHosts(options, source, problems);
  if (chosen !== undefined && !hostsApart) problems.push(...budgetProblems(options, chosen));
  const replicas =
    problems.length === 0
      ? resolveReplicas(options, problems, (given) => resolveDatabaseOptions(name, given, true))
      : undefined;
  refuseProblems(name, problems);
  if (source === undefined || chosen === undefined)
    throw new Error('bug: the connection was refused without a problem');
  const applicationName = shortenApplicationName(
    options.applicationName ?? source.applicationName ?? applicationPackageName(),
  );
  const session = options.session ?? DATABASE_DEFAULTS.session;
  refuseProblems(name, startupProblems({ ...source, applicationName, session }));
  const defaults = DATABASE_DEFAULTS;
  const resolved: Omit<ResolvedDatabaseOptions, 'clientConfig' | 'bindsChannel' | 'findHosts'> = {
    name,
    preset: options.preset ?? defaults.preset,
    target: chosen.target,
    hosts: chosen.hosts,
    targetSessionAttrs: chosen.targetSessionAttrs,
    loadBalanceHosts: options.loadBalanceHosts ?? source.loadBalanceHosts ?? defaults.loadBalanceHosts,
    hostRecheckMs: options.hostRecheckMs ?? defaults.hostRecheckMs,
    addressFrom: options.hosts === undefined ? source.addressFrom : 'options',
    size,
    maxOverflow,
    minIdle,
    acquireTimeoutMs: options.acquireTimeoutMs ?? preset.acquireTimeoutMs,
    connectTimeoutMs: options.connectTimeoutMs ?? source.connectTimeoutMs ?? defaults.connectTimeoutMs,
    idleTimeoutMs: options.idleTimeoutMs ?? defaults.idleTimeoutMs,
    maxLifetimeMs: options.maxLifetimeMs ?? preset.maxLifetimeMs,
    lifetimeJitter: options.lifetimeJitter ?? defaults.lifetimeJitter,
    maxUses: options.maxUses ?? defaults.maxUses,
    prePing: prePingOf(options.prePing, preset.prePing),
    keepAliveMs: options.keepAliveMs ?? defaults.keepAliveMs,
    maxWaiting: options.maxWaiting ?? defaults.maxWaiting,
    maxConnecting: options.maxConnecting ?? defaults.maxConnecting,
    quickReserve,
    queryTimeoutMs: options.queryTimeoutMs ?? source.queryTimeoutMs ?? defaults.queryTimeoutMs,
    statementTimeoutMs:
      options.statementTimeoutMs ?? source.serverTimeouts.statement_timeout ?? defaults.statementTimeoutMs,
    streamIdleTimeoutMs: options.streamIdleTimeoutMs ?? defaults.streamIdleTimeoutMs,
    lockTimeoutMs: options.lockTimeoutMs ?? source.serverTimeouts.lock_timeout ?? defaults.lockTimeoutMs,
    idleInTransactionTimeoutMs:
      options.idleInTransactionTimeoutMs ??
      source.serverTimeouts.idle_in_transaction_session_timeout ??
      defaults.idleInTransactionTimeoutMs,
    session: sessionOf(options.session, source.startupSettings),
    onConnect: options.onConnect,
    onAcquire: options.onAcquire,
    reset: options.reset ?? defaults.reset,
    leakDetectionMs: options.leakDetectionMs ?? defaults.leakDetectionMs,
    slowAcquireMs: options.slowAcquireMs ?? defaults.slowAcquireMs,
    slowQueryMs: options.slowQueryMs ?? defaults.slowQueryMs,
    slowQueryPlan: options.slowQueryPlan ?? defaults.slowQueryPlan,
    queryComments: options.queryComments === undefined ? undefined : Object.freeze({ ...options.queryComments }),
    preparedStatements: preparedStatementsOf(options.preparedStatements),
    pipelining: pipeliningOf(options.pipelining ?? defaults.pipelining),
    plugins: options.plugins,
    log: options.log,
    applicationName,
    budget: budgetOf(options.budget),
    replicas,
    startup: options.startup ?? defaults.startup,
  };
  Object.defineProperty(resolved, 'clientConfig', {
    enumerable: false,
    value: Object.freeze({
      ...source.clientConfig,
      host: chosen.target.host,
      port: chosen.target.port,
      application_name: nameOf(resolved),
    }),
  });
  Object.defineProperty(resolved, 'findHosts', { enumerable: false, value: chosen.findHosts });
  Object.defineProperty(resolved, 'bindsChannel', { enumerable: false, value: source.bindsChannel });
  return Object.freeze(resolved as ResolvedDatabaseOptions);
}

/** Settings whose values may be shown; any other may hold a secret. */
const SHOWN_SETTINGS: ReadonlySet<string> = new Set([
  'timezone',
  'search_path',
  'datestyle',
  'intervalstyle',
  'application_name',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'transaction_timeout',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'work_mem',
  'jit',
  'plan_cache_mode',
  'synchronous_commit',
]);

/** The settings of each session; what `options` sets at its start wins over the default. */
function sessionOf(given: SessionSettings | undefined, startup: ReadonlyMap<string, string>): SessionSettings {
  const settings: Record<string, string | number | boolean> =
    given === undefined ? { ...(startup.has('timezone') ? undefined : DATABASE_DEFAULTS.session) } : { ...given };
  const shown = (): object =>
    Object.fromEntries(
      Object.entries(settings).map(([name, value]) => [
        name,
        SHOWN_SETTINGS.has(name.toLowerCase()) ? value : '[given]',
      ]),
    );
  Object.defineProperty(settings, inspect.custom, { enumerable: false, value: shown });
  Object.defineProperty(settings, 'toJSON', { enumerable: false, value: shown });
  return Object.freeze(settings);
}

function budgetOf(given: BudgetOptions | undefined): ResolvedDatabaseOptions['budget'] {
  if (given === undefined) return undefined;
  const { min, checkMs } = DATABASE_DEFAULTS.budget;
  return Object.freeze({ connections: given.connections, min: given.min ?? min, checkMs: given.checkMs ?? checkMs });
}

/** The `application_name` of each connection; with a budget, it has the id of this process. */
function nameOf({ applicationName, budget }: Pick<ResolvedDatabaseOptions, 'applicationName' | 'budget'>): string {
  return budget === undefined ? applicationName : instanceName(fleetName(applicationName), instanceId());
}

function pipeliningOf(given: false | { readonly depth?: number }): ResolvedDatabaseOptions['pipelining'] {
  return given ? Object.freeze({ depth: given.depth ?? DATABASE_DEFAULTS.pipeliningDepth }) : false;
}

function prePingOf(
  given: DatabaseOptions['prePing'],
  preset: ResolvedDatabaseOptions['prePing'],
): ResolvedDatabaseOptions['prePing'] {
  if (given === undefined) return preset;
  if (given === false) return false;
  const { idleMs, timeoutMs } = given === true ? PRE_PING_DEFAULTS : given;
  return Object.freeze({
    idleMs: idleMs ?? PRE_PING_DEFAULTS.idleMs,
    timeoutMs: timeoutMs ?? PRE_PING_DEFAULTS.timeoutMs,
  });
}

function preparedStatementsOf(
  given: DatabaseOptions['preparedStatements'],
): ResolvedDatabaseOptions['preparedStatements'] {
  if (given === false) return false;
  const { max } = DATABASE_DEFAULTS.preparedStatements;
  return Object.freeze({ max: typeof given === 'object' ? (given.max ?? max) : max });
}
