import { inspect } from 'node:util';
import type { KyselyConfig } from 'kysely';
import type { Client, ClientConfig } from 'pg';
import { optionProblems, refuseProblems, type Rule } from '../../core/validation.js';
import {
  applicationPackageName,
  resolveConnection,
  shortenApplicationName,
  type AddressSource,
  type ConnectionTarget,
} from './connection-options.js';
import { urlProblems } from './connection-url.js';
import { DATABASE_HINTS } from './option-hints.js';
import { canBeMerged, DATABASE_RULES } from './option-rules.js';
import { startupProblems } from './startup-texts.js';

/** Fills the options that aren't given: for a small service, a medium one, and one under high load. */
export type DatabasePreset = 'small' | 'medium' | 'high';

/** `'lazy'`: connect on first use. `'warm'`: fill `minIdle` in the background. `'required'`: the start fails without a connection. */
export type DatabaseStartup = 'lazy' | 'warm' | 'required';

/** A check of a connection before it is leased. */
export interface PrePingOptions {
  /** A connection idle for longer is checked before a lease, in milliseconds. 500 by default. */
  readonly idleMs?: number;
  /** How long the check may take, in milliseconds. 5000 by default. */
  readonly timeoutMs?: number;
}

/** Values of server settings, as `SET` takes them. */
export type SessionSettings = Readonly<Record<string, string | number | boolean>>;

/**
 * Makes a returned connection fit for its next borrower. Runs after an open transaction was rolled back; when it
 * throws, or takes longer than a ping may, the connection is closed with the reason `reset`.
 */
export type ResetHook = (client: Client) => void | Promise<void>;

/**
 * How a database pool is reached, sized and timed. Times are milliseconds; every option has a default.
 *
 * ```ts
 * PoolingModule.forRoot({
 *   database: {
 *     url: process.env.DATABASE_URL,
 *     preset: 'medium',
 *     size: 30,
 *     acquireTimeoutMs: 2_000,
 *     onConnect: async (client) => {
 *       await client.query("set search_path to 'shop'");
 *     },
 *   },
 * });
 * ```
 */
export interface DatabaseOptions {
  /** `postgres://user:password@host:port/database?…`. Left out, with `connection` too: `DATABASE_URL`, then the `PG*` variables. */
  readonly url?: string;
  /**
   * Connection fields of `pg`: `host`, `ssl`, `password` (may be an async function), …. The URL wins field by field.
   * `sslnegotiation: 'direct'` needs pg 8.22, and is refused with an older one. So is what nobody reads, and what
   * contradicts the URL.
   */
  readonly connection?: ClientConfig;
  /** `'small'` by default. */
  readonly preset?: DatabasePreset;
  /** Connections kept when idle: 10 / 20 / 50. SQLAlchemy's `pool_size`. */
  readonly size?: number;
  /** Extra connections under load, closed when given back and nobody waits: 5 / 10 / 20. SQLAlchemy's `max_overflow`. */
  readonly maxOverflow?: number;
  /** Opened at start and refilled in the background, at most `size`: 0. asyncpg's `min_size`, HikariCP's `minimumIdle`. */
  readonly minIdle?: number;
  /** One deadline over queue, dial and check: 30000 / 15000 / 5000. SQLAlchemy's `pool_timeout`. */
  readonly acquireTimeoutMs?: number;
  /** One dial: DNS, TCP, TLS, authentication, session settings, `onConnect`: 10000. asyncpg's `timeout`. */
  readonly connectTimeoutMs?: number;
  /** An idle connection beyond `minIdle` is closed after this: 300000; 0: never. asyncpg's `max_inactive_connection_lifetime`. */
  readonly idleTimeoutMs?: number;
  /** A connection is recycled after this age: 3600000 / 1800000 / 900000; 0: never. SQLAlchemy's `pool_recycle`. */
  readonly maxLifetimeMs?: number;
  /** The share of its lifetime by which a connection's own is shortened at random, 0 to 1: 0.25. */
  readonly lifetimeJitter?: number;
  /** A connection is recycled after this many leases: 0, never. asyncpg's `max_queries`. */
  readonly maxUses?: number;
  /** Connections idle for longer are checked before a lease: `{ idleMs: 500, timeoutMs: 5000 }`, high: `false`. HikariCP's `aliveBypassWindow`. */
  readonly prePing?: boolean | PrePingOptions;
  /** Idle connections are pinged in the background this often: 120000; 0: never. */
  readonly keepAliveMs?: number;
  /** A longer queue is refused at once with `ERR_POOL_QUEUE_FULL`: 10000. */
  readonly maxWaiting?: number;
  /** Dials under way at once: 4. */
  readonly maxConnecting?: number;
  /**
   * Client side: a query that takes longer rejects with `ERR_POOL_QUERY_TIMEOUT` and its connection is destroyed:
   * 60000; 0: none. asyncpg's `command_timeout`. Cursors, streams and `COPY` are not limited by it.
   */
  readonly queryTimeoutMs?: number;
  /** Server side `statement_timeout`: 60000; 0: the server's own. It doesn't count for cursors, streams and `COPY`. */
  readonly statementTimeoutMs?: number;
  /**
   * How long the server may be silent while a cursor, a stream or a `COPY` waits for it: 60000; 0: for ever. Then they fail
   * with `ERR_POOL_QUERY_TIMEOUT` and their connection is destroyed. A consumer may take as long as it likes.
   */
  readonly streamIdleTimeoutMs?: number;
  /** Server side `lock_timeout`: 0, the server's own. */
  readonly lockTimeoutMs?: number;
  /** Server side `idle_in_transaction_session_timeout`: 0, the server's own. */
  readonly idleInTransactionTimeoutMs?: number;
  /**
   * Settings made after connecting, in one round trip and never in the start-up packet, so that PgBouncer accepts
   * them: `{ timezone: 'UTC' }`. What is given replaces that, and wins over the time-outs above.
   */
  readonly session?: SessionSettings;
  /**
   * Runs once for each new connection, after its settings are made and within `connectTimeoutMs`; with
   * `reset: 'discard'` again at each return, so that it has to be of a kind that can run twice. A failure is a
   * failed dial, seen by those who wait as the cause of their time-out. asyncpg's `init`.
   */
  readonly onConnect?: (client: Client) => void | Promise<void>;
  /** Runs at each lease, within `connectTimeoutMs`; a failure destroys the connection, and the borrower sees it. asyncpg's `setup`. */
  readonly onAcquire?: (client: Client) => void | Promise<void>;
  /**
   * On return: `'rollback'` (default) ends an open transaction, and needs no round trip otherwise; `'discard'` also
   * runs `DISCARD ALL`, makes the `session` settings again and runs `onConnect` again, but not what a listener of the
   * pool's `connect` event did; `'none'` runs nothing, and a connection with an open
   * transaction is closed; or a function.
   */
  readonly reset?: 'rollback' | 'discard' | 'none' | ResetHook;
  /**
   * A lease held longer is reported with the stack that acquired it: 0, off and free of cost. Single queries give
   * their connection back by themselves, and aren't watched.
   */
  readonly leakDetectionMs?: number;
  /** An acquire that waits longer is logged, with how full the pool is: 0, off. */
  readonly slowAcquireMs?: number;
  /** A statement that takes longer is logged, without its parameters' values: 0, off. Cursors, streams and `COPY` aren't timed. */
  readonly slowQueryMs?: number;
  /** Named statements, cached per connection: `{ max: 256 }`; `false`: off (PgBouncer below 1.21). */
  readonly preparedStatements?: boolean | { readonly max?: number };
  /** Single queries share busy connections: `false`, or how many. */
  readonly pipelining?: false | { readonly depth?: number };
  /** Handed to Kysely. */
  readonly plugins?: KyselyConfig['plugins'];
  /** Handed to Kysely. */
  readonly log?: KyselyConfig['log'];
  /** Shown in `pg_stat_activity`: the package name of the application, else `nestjs-pooling`. */
  readonly applicationName?: string;
  /** What happens at the start of the application: `'warm'`. */
  readonly startup?: DatabaseStartup;
}

/** {@link DatabaseOptions} with every default filled in, frozen, and without a visible secret. */
export interface ResolvedDatabaseOptions {
  readonly name: string;
  readonly preset: DatabasePreset;
  readonly target: ConnectionTarget;
  /** Who says so: the options, `DATABASE_URL`, or the `PG*` variables and the driver's defaults. */
  readonly addressFrom: AddressSource;
  readonly size: number;
  readonly maxOverflow: number;
  readonly minIdle: number;
  readonly acquireTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxLifetimeMs: number;
  readonly lifetimeJitter: number;
  readonly maxUses: number;
  readonly prePing: false | Required<PrePingOptions>;
  readonly keepAliveMs: number;
  readonly maxWaiting: number;
  readonly maxConnecting: number;
  readonly queryTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly lockTimeoutMs: number;
  readonly idleInTransactionTimeoutMs: number;
  readonly session: SessionSettings;
  readonly onConnect: DatabaseOptions['onConnect'];
  readonly onAcquire: DatabaseOptions['onAcquire'];
  readonly reset: NonNullable<DatabaseOptions['reset']>;
  readonly leakDetectionMs: number;
  readonly slowAcquireMs: number;
  readonly slowQueryMs: number;
  readonly preparedStatements: false | { readonly max: number };
  readonly pipelining: false | { readonly depth: number };
  readonly plugins: KyselyConfig['plugins'];
  readonly log: KyselyConfig['log'];
  readonly applicationName: string;
  readonly startup: DatabaseStartup;
  /** What `pg.Client` is made with. Not enumerable, and its password is hidden in a function. */
  readonly clientConfig: ClientConfig;
  /** Whether a server that doesn't bind the password's exchange to its certificate is refused. Not enumerable. */
  readonly bindsChannel: boolean;
}

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
  preparedStatements: Object.freeze({ max: 256 }),
  pipelining: false as false | { readonly depth?: number },
  pipeliningDepth: 16,
  startup: 'warm',
} as const);

/**
 * Fills in every default and freezes the result. The environment is read here.
 *
 * @throws PoolOptionsError `ERR_POOL_OPTIONS_INVALID`: one error that lists all problems, without the password.
 */
export function resolveDatabaseOptions(name: string, options: DatabaseOptions = {}): ResolvedDatabaseOptions {
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
  const source =
    environmentProblems.length === 0 && canBeMerged(options.url, options.connection)
      ? resolveConnection(options.url, options.connection, problems)
      : undefined;
  refuseProblems(name, problems);
  if (source === undefined) throw new Error('bug: the connection was refused without a problem');
  const applicationName = shortenApplicationName(
    options.applicationName ?? source.applicationName ?? applicationPackageName(),
  );
  const session = options.session ?? DATABASE_DEFAULTS.session;
  refuseProblems(name, startupProblems({ ...source, applicationName, session }));
  const defaults = DATABASE_DEFAULTS;
  const resolved: Omit<ResolvedDatabaseOptions, 'clientConfig' | 'bindsChannel'> = {
    name,
    preset: options.preset ?? defaults.preset,
    target: source.target,
    addressFrom: source.addressFrom,
    size,
    maxOverflow: options.maxOverflow ?? preset.maxOverflow,
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
    preparedStatements: preparedStatementsOf(options.preparedStatements),
    pipelining: pipeliningOf(options.pipelining ?? defaults.pipelining),
    plugins: options.plugins,
    log: options.log,
    applicationName,
    startup: options.startup ?? defaults.startup,
  };
  Object.defineProperty(resolved, 'clientConfig', {
    enumerable: false,
    value: Object.freeze({ ...source.clientConfig, application_name: applicationName }),
  });
  Object.defineProperty(resolved, 'bindsChannel', { enumerable: false, value: source.bindsChannel });
  return Object.freeze(resolved as ResolvedDatabaseOptions);
}

/** Settings whose values everybody may see; any other may be a tenant's key. */
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

function pipeliningOf(given: false | { readonly depth?: number }): ResolvedDatabaseOptions['pipelining'] {
  return given ? Object.freeze({ depth: given.depth ?? DATABASE_DEFAULTS.pipeliningDepth }) : false;
}

function prePingOf(
  given: DatabaseOptions['prePing'],
  preset: ResolvedDatabaseOptions['prePing'],
): ResolvedDatabaseOptions['prePing'] {
  if (given === undefined) return preset;
  if (given === false) return false;
  return Object.freeze({ ...PRE_PING_DEFAULTS, ...(given === true ? undefined : given) });
}

function preparedStatementsOf(
  given: DatabaseOptions['preparedStatements'],
): ResolvedDatabaseOptions['preparedStatements'] {
  if (given === false) return false;
  const { max } = DATABASE_DEFAULTS.preparedStatements;
  return Object.freeze({ max: typeof given === 'object' ? (given.max ?? max) : max });
}
