import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClientConfig } from 'pg';
import { parse } from 'pg-connection-string';
import { isPlainObject, rule } from '../core/validation.js';
import { failedAt } from './dial-step.js';
import { negotiatesDirectTls, type TlsNegotiation } from './pg-internals.js';

/** Before the first keep-alive probe of an idle socket, in milliseconds. */
const KEEP_ALIVE_INITIAL_DELAY_MS = 10_000;
/** PostgreSQL cuts identifiers, `application_name` among them, after this many bytes. */
const LONGEST_APPLICATION_NAME = 63;

/** Server settings of `pg.ClientConfig` that `pg` would put into the start-up packet, where PgBouncer refuses them. */
const SERVER_TIMEOUTS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'] as const;

type ServerTimeout = (typeof SERVER_TIMEOUTS)[number];

/** Where connections go to, without secrets. */
export interface ConnectionTarget {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly ssl: boolean;
}

/** Who says where the database is: the options, the variable `DATABASE_URL`, or the `PG*` variables and `pg`'s defaults. */
export type AddressSource = 'options' | 'DATABASE_URL' | 'PG*';

/** What `url`, `connection` and the environment come to. */
export interface ConnectionSource {
  readonly addressFrom: AddressSource;
  /** What `pg.Client` is made with; the password is hidden in a function. */
  readonly clientConfig: ClientConfig;
  readonly target: ConnectionTarget;
  /** Server time-outs that the URL or `connection` names, in milliseconds; they are set after connecting. */
  readonly serverTimeouts: Readonly<Partial<Record<ServerTimeout, number>>>;
  readonly queryTimeoutMs: number | undefined;
  readonly connectTimeoutMs: number | undefined;
  readonly applicationName: string | undefined;
}

/** An URL as a message may show it: without password, and without any part that might hold one by mistake. */
export function redactUrl(url: string): string {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(url)?.[0];
  if (scheme === undefined) return url.startsWith('/') ? url : '***';
  const rest = url.slice(scheme.length);
  const at = rest.lastIndexOf('@');
  // Without user and password, only what looks like host and port in full is certain to hold no secret.
  if (at < 0 && !/^[\w.-]*(:\d{1,5})?([/?]|$)/.test(rest)) return `${scheme}***`;
  const user = at < 0 ? '' : `${rest.slice(0, at).split(':')[0]}:***@`;
  return scheme + user + rest.slice(at + 1).replace(/([?&](?:password|sslkey)=)[^&]*/gi, '$1***');
}

/** How TLS may begin: `direct`, without asking the server first, needs a pg that knows of it. */
export const tlsNegotiationRule = rule(
  '"postgres", or "direct" with pg 8.22 or later',
  (value) => value === 'postgres' || (value === 'direct' && negotiatesDirectTls()),
);

/** What is wrong with an URL, or nothing. */
export function urlProblem(url: unknown): string | undefined {
  const allowed = 'a URL like postgres://user:password@host:5432/database';
  if (typeof url !== 'string') return `a ${typeof url} is not allowed; ${allowed}`;
  const known = /^(postgres|postgresql|socket):\/\//i.test(url) || url.startsWith('socket:') || url.startsWith('/');
  if (!known) return `"${redactUrl(url)}" is not allowed; ${allowed}`;
  try {
    const { port, sslnegotiation } = parse(url);
    if (port && !/^\d{1,5}$/.test(port)) throw new Error('the port is not a number');
    const [problem] = tlsNegotiationRule.problems('sslnegotiation', sslnegotiation || undefined);
    if (problem !== undefined) throw new Error(problem);
    return undefined;
  } catch (error) {
    // A file that the URL names can't be read, or the URL itself makes no sense.
    const reason = (error as { code?: unknown }).code === 'ERR_INVALID_URL' ? '' : ` (${(error as Error).message})`;
    return `"${redactUrl(url)}" is not allowed${reason}; ${allowed}`;
  }
}

/** The fields that an URL gives; what it leaves open is left out. */
function fieldsOfUrl(url: string): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(parse(url)).filter(([, value]) => value !== undefined && value !== null && value !== ''),
  );
}

/**
 * Merges `url` over `connection`, field by field; with neither, `DATABASE_URL`; what is still open comes from the
 * `PG*` variables that `pg` reads. The environment is read now, not at each connect.
 *
 * @throws when the URL can't be parsed: look with {@link urlProblem} first.
 */
export function resolveConnection(
  url: string | undefined,
  connection: ClientConfig | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): ConnectionSource {
  const given: Record<string, unknown> = { ...connection };
  if (typeof given['connectionString'] === 'string') Object.assign(given, fieldsOfUrl(given['connectionString']));
  delete given['connectionString'];
  const ofOptions = url !== undefined || connection !== undefined;
  const effectiveUrl = url ?? (ofOptions ? undefined : environment['DATABASE_URL'] || undefined);
  if (effectiveUrl !== undefined) Object.assign(given, fieldsOfUrl(effectiveUrl));
  const addressFrom = ofOptions ? 'options' : effectiveUrl === undefined ? 'PG*' : 'DATABASE_URL';
  return { addressFrom, ...describeSource(given, environment) };
}

function describeSource(
  given: Record<string, unknown>,
  environment: NodeJS.ProcessEnv,
): Omit<ConnectionSource, 'addressFrom'> {
  const {
    statement_timeout,
    lock_timeout,
    idle_in_transaction_session_timeout,
    query_timeout,
    connectionTimeoutMillis,
    connect_timeout,
    application_name,
    password,
    ...rest
  } = given;
  const user = text(rest['user']) ?? (environment['PGUSER'] || environment['USER'] || 'postgres');
  const host = text(rest['host']) ?? (environment['PGHOST'] || 'localhost');
  const port = Number(rest['port'] ?? (environment['PGPORT'] || 5432));
  const database = text(rest['database']) ?? (environment['PGDATABASE'] || user);
  const ssl = sslOf(rest['ssl'], environment['PGSSLMODE']);
  const sslnegotiation =
    rest['sslnegotiation'] ?? (negotiatesDirectTls() ? environment['PGSSLNEGOTIATION'] || undefined : undefined);
  const secret = password ?? (environment['PGPASSWORD'] || undefined);
  const clientConfig: ClientConfig = {
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_INITIAL_DELAY_MS,
    ...rest,
    user,
    host,
    port,
    database,
    ssl,
    ...(sslnegotiation === undefined ? undefined : { sslnegotiation: sslnegotiation as TlsNegotiation }),
    // A function hides it from whatever prints this object.
    ...(secret === undefined || secret === null ? undefined : { password: passwordFunction(secret) }),
  };
  return {
    clientConfig: Object.freeze(clientConfig),
    target: Object.freeze({ host, port, database, user, ssl: ssl !== false }),
    serverTimeouts: timeouts({ statement_timeout, lock_timeout, idle_in_transaction_session_timeout }),
    queryTimeoutMs: milliseconds(query_timeout),
    connectTimeoutMs: milliseconds(connectionTimeoutMillis) ?? seconds(connect_timeout),
    applicationName: text(application_name) ?? (environment['PGAPPNAME'] || undefined),
  };
}

type PasswordFunction = (...connection: unknown[]) => string | Promise<string>;

/** A password as a function that gives it; when the user's own fails, the server isn't at fault. */
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

function timeouts(given: Record<ServerTimeout, unknown>): Partial<Record<ServerTimeout, number>> {
  const known: Partial<Record<ServerTimeout, number>> = {};
  for (const name of SERVER_TIMEOUTS) {
    const value = milliseconds(given[name]);
    if (value !== undefined) known[name] = value;
  }
  return known;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function milliseconds(value: unknown): number | undefined {
  if (value === undefined || value === null || value === false || value === '') return undefined;
  const number = Number(value);
  return Number.isFinite(number) && number >= 0 ? number : undefined;
}

function seconds(value: unknown): number | undefined {
  const given = milliseconds(value);
  return given === undefined || given === 0 ? undefined : given * 1_000;
}

/** The environment's answer is read once, so that a variable changed later doesn't split the pool in two. */
function sslOf(given: unknown, mode: string | undefined): NonNullable<ClientConfig['ssl']> {
  if (given === 'no-verify' || (given === undefined && mode === 'no-verify')) return { rejectUnauthorized: false };
  if (given === 'true') return true;
  if (isPlainObject(given)) {
    const ssl = { ...given };
    // As in pg: a private key doesn't belong into logs.
    if ('key' in ssl) Object.defineProperty(ssl, 'key', { enumerable: false });
    return ssl;
  }
  if (given !== undefined) return Boolean(given);
  return mode !== undefined && ['prefer', 'require', 'verify-ca', 'verify-full'].includes(mode);
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
