import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClientConfig } from 'pg';
import { LONGEST_DELAY_MS, nearestName, showName } from '../../core/validation.js';
import { environmentProblems, tlsOfEnvironment } from './connection-environment.js';
import { fieldsOfUrl } from './connection-url.js';
import { failedAt } from './dial-step.js';
import type { HostTarget, LoadBalanceHosts, TargetSessionAttrs } from './host-options.js';
import { CONNECTION_HINTS } from './option-hints.js';
import { negotiatesDirectTls, type TlsNegotiation } from '../pg-internals.js';
import { pg } from '../pg.js';
import { serverMilliseconds, settingsOf } from './server-settings.js';
import { targetsOfEnvironment } from './several-hosts.js';
import { hideTls, mergeTls, tlsOf, type TlsSettings } from './tls-settings.js';

/** The idle time before TCP's first keep-alive probe, in milliseconds. */
const KEEP_ALIVE_INITIAL_DELAY_MS = 10_000;
/** PostgreSQL cuts identifiers, `application_name` among them, after this many bytes. */
const LONGEST_APPLICATION_NAME = 63;

/** Server settings of `pg.ClientConfig` that `pg` would put into the start-up packet, where PgBouncer refuses them. */
const SERVER_TIMEOUTS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'] as const;

type ServerTimeout = (typeof SERVER_TIMEOUTS)[number];

/** The address of a database, without secrets. */
export interface ConnectionTarget {
  /** A name, an address, or the folder of a Unix socket. */
  readonly host: string;
  /** From 1 to 65535. */
  readonly port: number;
  /** The name of the database. */
  readonly database: string;
  /** The role. */
  readonly user: string;
  /** Whether TLS is asked for. */
  readonly ssl: boolean;
}

/** Where the address comes from: the options, `DATABASE_URL`, or the `PG*` variables and `pg`'s defaults. */
export type AddressSource = 'options' | 'DATABASE_URL' | 'PG*';

/** The merged settings of `url`, `connection` and the environment. */
export interface ConnectionSource {
  readonly addressFrom: AddressSource;
  /** The configuration of `pg.Client`; its password is hidden in a function. */
  readonly clientConfig: ClientConfig;
  readonly target: ConnectionTarget;
  /** Server settings that `options` sets at the start of a session: no default of this library replaces them. */
  readonly startupSettings: ReadonlyMap<string, string>;
  /** Whether a server is refused that doesn't bind the password's exchange to its certificate. */
  readonly bindsChannel: boolean;
  /** Server time-outs that the URL or `connection` names, in milliseconds; they are set after connecting. */
  readonly serverTimeouts: Readonly<Partial<Record<ServerTimeout, number>>>;
  readonly queryTimeoutMs: number | undefined;
  readonly connectTimeoutMs: number | undefined;
  readonly applicationName: string | undefined;
  /** Every host that is named, in order; the first one is the `target`. */
  readonly hosts: readonly HostTarget[];
  /** Whether the options or `DATABASE_URL` name a host, and not the environment or nobody. */
  readonly namesHost: boolean;
  readonly targetSessionAttrs: TargetSessionAttrs | undefined;
  readonly loadBalanceHosts: LoadBalanceHosts | undefined;
}

/** Fields of `pg.ClientConfig`, and of the objects that pg-connection-string gives, that are read. */
export const CONNECTION_FIELDS = [
  'user',
  'password',
  'host',
  'port',
  'database',
  'options',
  'client_encoding',
  'application_name',
  'fallback_application_name',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'query_timeout',
  'connectionTimeoutMillis',
  'connect_timeout',
  'keepAlive',
  'keepAliveInitialDelayMillis',
  'enableChannelBinding',
  'scramMaxIterations',
  'sslnegotiation',
  'ssl',
  'stream',
  'types',
  'Promise',
  'connectionString',
] as const;

/** Fields without an effect, and fields that pg-connection-string leaves beside the `ssl` that it has made of them. */
const SPENT_FIELDS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'uselibpqcompat'] as const;

/** What is wrong with the names in `connection`: a name that nothing reads is refused. */
export function connectionNameProblems(path: string, given: Readonly<Record<string, unknown>>): string[] {
  const problems: string[] = [];
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || (CONNECTION_FIELDS as readonly string[]).includes(name)) continue;
    if ((SPENT_FIELDS as readonly string[]).includes(name) && given['ssl'] !== undefined) continue;
    if (name === 'binary' || name === 'pipeline') {
      if (value === false) continue;
      const hint = name === 'binary' ? 'rows are read as text' : 'use pipelining, beside connection';
      problems.push(`${path}.${name}: not supported; ${hint}`);
      continue;
    }
    const hint = Object.hasOwn(CONNECTION_HINTS, name) ? CONNECTION_HINTS[name] : undefined;
    const near = hint === undefined ? nearestName(name, CONNECTION_FIELDS) : undefined;
    const remedy = hint ?? (near === undefined ? `known: ${CONNECTION_FIELDS.join(', ')}` : `did you mean ${near}?`);
    problems.push(`${path}.${showName(name)}: no such option; ${remedy}`);
  }
  return problems;
}

/**
 * Merges `url` over `connection`, field by field; with neither, `DATABASE_URL`. What is left open comes from the `PG*`
 * variables that `pg` reads, and then from `pg.defaults`. The environment is read now, not at each connect.
 *
 * @param problems - contradictions and wrong variables are added here.
 * @throws when a URL can't be parsed: call `urlProblems` first.
 */
export function resolveConnection(
  url: string | undefined,
  connection: ClientConfig | undefined,
  problems: string[] = [],
  environment: NodeJS.ProcessEnv = process.env,
): ConnectionSource {
  const given: Record<string, unknown> = {};
  // Fields that aren't enumerable count, and getters: pg hides the password of an object that it has used.
  for (const name of CONNECTION_FIELDS) {
    const value = (connection as Record<string, unknown> | undefined)?.[name];
    if (value !== undefined && value !== null) given[name] = value;
  }
  let tls = tlsOf(given['ssl']);
  let targets: readonly HostTarget[] | undefined;
  const ofOptions = url !== undefined || connection !== undefined;
  const effectiveUrl = url ?? (ofOptions ? undefined : environment['DATABASE_URL'] || undefined);
  for (const each of [given['connectionString'], effectiveUrl]) {
    if (typeof each !== 'string') continue;
    const parsed = fieldsOfUrl(each);
    Object.assign(given, parsed.fields);
    if (parsed.fields['host'] !== undefined) targets = parsed.targets;
    tls = mergeTls(tls, parsed.tls, parsed.sslMode, problems);
  }
  const addressFrom = ofOptions ? 'options' : effectiveUrl === undefined ? 'PG*' : 'DATABASE_URL';
  const namesHost = given['host'] !== undefined;
  problems.push(...environmentProblems(environment, !namesHost));
  const hosts = targets ?? (namesHost ? undefined : hostsOfEnvironment(given['port'], environment, problems));
  if (hosts?.[0] !== undefined) Object.assign(given, { host: hosts[0].host, port: hosts[0].port });
  const described = describeSource(given, tls ?? tlsOfEnvironment(environment, problems), environment, problems);
  const { host, port } = described.target;
  return { addressFrom, namesHost, hosts: hosts ?? [Object.freeze({ host, port })], ...described };
}

/** The hosts of `PGHOST` and `PGHOSTADDR`, where there are several, or an address that isn't to be looked up. */
function hostsOfEnvironment(
  port: unknown,
  environment: NodeJS.ProcessEnv,
  problems: string[],
): readonly HostTarget[] | undefined {
  const { PGHOST, PGHOSTADDR, PGPORT } = environment;
  if (!PGHOSTADDR && PGHOST?.includes(',') !== true && PGPORT?.includes(',') !== true) return undefined;
  const ports = port === undefined ? PGPORT : String(port as number);
  const targets = targetsOfEnvironment({ PGHOST, PGHOSTADDR, PGPORT: ports }, defaultPort(), problems);
  return targets.length === 0 ? undefined : targets;
}

function defaultPort(): number {
  return Number((pg.defaults as { port?: unknown }).port ?? 5432);
}

function describeSource(
  given: Readonly<Record<string, unknown>>,
  tls: TlsSettings,
  environment: NodeJS.ProcessEnv,
  problems: string[],
): Omit<ConnectionSource, 'addressFrom' | 'hosts' | 'namesHost'> {
  const defaults = pg.defaults as unknown as Readonly<Record<string, unknown>>;
  const of = (name: string, variable: string): string | undefined =>
    text(given[name]) ?? (environment[variable] || undefined) ?? text(defaults[name]);
  const user = of('user', 'PGUSER') ?? (environment['USER'] || 'postgres');
  const host = of('host', 'PGHOST') ?? 'localhost';
  const port = Number(given['port'] ?? (environment['PGPORT'] || defaultPort()));
  const database = of('database', 'PGDATABASE') ?? user;
  const ssl = hideTls(tls);
  const options = of('options', 'PGOPTIONS');
  const settings = settingsOf(options);
  const sslnegotiation =
    given['sslnegotiation'] ?? (negotiatesDirectTls() ? environment['PGSSLNEGOTIATION'] || undefined : undefined);
  if (given['sslnegotiation'] === 'direct' && ssl === false) {
    problems.push("connection.sslnegotiation: 'direct' needs TLS; give connection.ssl or sslmode in the URL");
  }
  const secret = given['password'] ?? (environment['PGPASSWORD'] || undefined) ?? defaults['password'];
  const keepAlive = given['keepAlive'] ?? (given['keepalives'] === undefined ? true : given['keepalives'] !== '0');
  const idle = given['keepalives_idle'];
  const binding = given['channel_binding'] ?? (environment['PGCHANNELBINDING'] || undefined);
  const clientConfig: ClientConfig = {
    ...Object.fromEntries(PASSED_ON.filter((name) => name in given).map((name) => [name, given[name]])),
    keepAlive: keepAlive as boolean,
    keepAliveInitialDelayMillis: (given['keepAliveInitialDelayMillis'] ??
      (idle === undefined ? KEEP_ALIVE_INITIAL_DELAY_MS : Number(idle) * 1_000)) as number,
    user,
    host,
    port,
    database,
    ssl,
    ...(options === undefined ? undefined : { options }),
    ...(binding === undefined ? undefined : { enableChannelBinding: binding !== 'disable' }),
    ...(sslnegotiation === undefined ? undefined : { sslnegotiation: sslnegotiation as TlsNegotiation }),
    // A function hides it from whatever prints this object.
    ...(secret === undefined || secret === null ? undefined : { password: passwordFunction(secret) }),
  };
  return {
    clientConfig: Object.freeze(clientConfig),
    target: Object.freeze({ host, port, database, user, ssl: ssl !== false }),
    startupSettings: settings,
    bindsChannel: binding === 'require',
    serverTimeouts: timeouts(given, settings, defaults),
    queryTimeoutMs: milliseconds(given['query_timeout']) ?? milliseconds(defaults['query_timeout'] || undefined),
    connectTimeoutMs:
      dialTimeout(given['connectionTimeoutMillis'], 1) ??
      dialTimeout(given['connect_timeout'], 1_000) ??
      dialTimeout(environment['PGCONNECT_TIMEOUT'] || undefined, 1_000),
    applicationName:
      of('application_name', 'PGAPPNAME') ??
      text(given['fallback_application_name']) ??
      text(defaults['fallback_application_name']),
    targetSessionAttrs: choice(given['target_session_attrs'], environment['PGTARGETSESSIONATTRS']),
    loadBalanceHosts: choice(given['load_balance_hosts'], environment['PGLOADBALANCEHOSTS']),
  };
}

/** One of libpq's words. A wrong word in the environment is refused by `environmentProblems`. */
function choice<Word extends string>(given: unknown, environment: string | undefined): Word | undefined {
  return ((given as string | undefined) || environment || undefined) as Word | undefined;
}

/** Fields that are handed to pg unchanged. */
const PASSED_ON = [
  'client_encoding',
  'enableChannelBinding',
  'scramMaxIterations',
  'stream',
  'types',
  'Promise',
] as const;

type PasswordFunction = (...connection: unknown[]) => string | Promise<string>;

/** Wraps a password in a function. When the user's own function fails, its error isn't taken for the server's. */
function passwordFunction(given: unknown): PasswordFunction {
  if (typeof given !== 'function') return () => given as string;
  return async (...connection) => {
    try {
      const password = await (given as PasswordFunction)(...connection);
      if (typeof password === 'string') return password;
    } catch (error) {
      throw failedAt('password', error);
    }
    throw failedAt('password', new TypeError('the password function gave no string'));
  };
}

/**
 * Server time-outs that the URL, `connection` or `options` set. One in `options` that can't be parsed here is left to the
 * server: 0 stands for that.
 */
function timeouts(
  given: Readonly<Record<string, unknown>>,
  settings: ReadonlyMap<string, string>,
  defaults: Readonly<Record<string, unknown>>,
): Partial<Record<ServerTimeout, number>> {
  const known: Partial<Record<ServerTimeout, number>> = {};
  for (const name of SERVER_TIMEOUTS) {
    const setting = settings.get(name);
    const value =
      (given[name] === false ? 0 : serverMilliseconds(given[name])) ??
      (setting === undefined ? serverMilliseconds(defaults[name] || undefined) : (serverMilliseconds(setting) ?? 0));
    if (value !== undefined) known[name] = value;
  }
  return known;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function milliseconds(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  return value === false ? 0 : Number(value);
}

/** The time limit of a dial. 0 means no limit in pg and libpq: here it is the longest time that a timer can take. */
function dialTimeout(value: unknown, unitMs: number): number | undefined {
  if (value === undefined) return undefined;
  return Math.min(Number(value) * unitMs || LONGEST_DELAY_MS, LONGEST_DELAY_MS);
}

let ownName: string | undefined;

/** The package name of the application, shown in `pg_stat_activity`. */
export function applicationPackageName(): string {
  ownName ??= process.env['npm_package_name'] || nameInPackageJson(process.cwd()) || 'nestjs-pooling';
  return ownName;
}

function nameInPackageJson(folder: string): string | undefined {
  try {
    return text((JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: unknown }).name);
  } catch {
    return undefined;
  }
}

/** An application name as short as PostgreSQL keeps it. */
export function shortenApplicationName(name: string): string {
  return Buffer.from(name)
    .subarray(0, LONGEST_APPLICATION_NAME)
    .toString()
    .replace(/\uFFFD+$/, '');
}
