import { readFileSync } from 'node:fs';
import { parse } from 'pg-connection-string';
import { nearestName, showName, showValue } from '../../core/validation.js';
import { LOAD_BALANCE_HOSTS, TARGET_SESSION_ATTRS, type HostTarget } from './host-options.js';
import { PARAMETER_HINTS } from './option-hints.js';
import { negotiatesDirectTls } from '../pg-internals.js';
import { serverMilliseconds } from './server-settings.js';
import { splitUrl } from './several-hosts.js';
import { SSL_MODES, tlsOf, type TlsSettings } from './tls-settings.js';

const ALLOWED = 'a URL like postgres://user:password@host:5432/database';

const DIGITS = /^\d{1,9}$/;
const SWITCHES = ['0', '1'];

/** The parameters of a URL that are read, each with what it may be; `undefined`: anything. */
const READ: Readonly<Record<string, ((value: string) => boolean) | undefined>> = {
  user: undefined,
  password: undefined,
  host: undefined,
  port: (value) => DIGITS.test(value),
  dbname: undefined,
  db: undefined,
  encoding: isUtf8,
  client_encoding: isUtf8,
  application_name: undefined,
  fallback_application_name: undefined,
  options: undefined,
  connect_timeout: (value) => DIGITS.test(value),
  connectionTimeoutMillis: (value) => DIGITS.test(value),
  query_timeout: (value) => DIGITS.test(value),
  statement_timeout: (value) => serverMilliseconds(value) !== undefined,
  lock_timeout: (value) => serverMilliseconds(value) !== undefined,
  idle_in_transaction_session_timeout: (value) => serverMilliseconds(value) !== undefined,
  keepalives: (value) => SWITCHES.includes(value),
  keepalives_idle: (value) => DIGITS.test(value),
  channel_binding: (value) => ['disable', 'prefer', 'require'].includes(value),
  ssl: (value) => tlsOf(value) !== undefined,
  sslmode: (value) => (SSL_MODES as readonly string[]).includes(value),
  sslrootcert: undefined,
  sslcert: undefined,
  sslkey: undefined,
  sslpassword: undefined,
  sslcrl: undefined,
  ssl_min_protocol_version: (value) => /^TLSv1(?:\.[123])?$/.test(value),
  ssl_max_protocol_version: (value) => /^TLSv1(?:\.[123])?$/.test(value),
  hostaddr: undefined,
  target_session_attrs: (value) => (TARGET_SESSION_ATTRS as readonly string[]).includes(value),
  load_balance_hosts: (value) => (LOAD_BALANCE_HOSTS as readonly string[]).includes(value),
  sslnegotiation: (value) => value === 'postgres' || (value === 'direct' && negotiatesDirectTls()),
  uselibpqcompat: (value) => value === 'true' || value === 'false',
};

/** What these parameters may be, in words, where the name doesn't say it. */
const WORDS: Readonly<Record<string, string>> = {
  port: 'a number',
  encoding: 'UTF8',
  client_encoding: 'UTF8, the only one that pg speaks',
  connect_timeout: 'whole seconds',
  connectionTimeoutMillis: 'whole milliseconds',
  query_timeout: 'whole milliseconds',
  statement_timeout: 'milliseconds, or a time like 5s or 1min',
  lock_timeout: 'milliseconds, or a time like 5s or 1min',
  idle_in_transaction_session_timeout: 'milliseconds, or a time like 5s or 1min',
  keepalives: '0 or 1',
  keepalives_idle: 'whole seconds',
  channel_binding: 'disable, prefer or require',
  ssl: 'true, false or no-verify',
  sslmode: SSL_MODES.join(', '),
  ssl_min_protocol_version: 'TLSv1.2 or the like',
  ssl_max_protocol_version: 'TLSv1.3 or the like',
  target_session_attrs: TARGET_SESSION_ATTRS.join(', '),
  load_balance_hosts: LOAD_BALANCE_HOSTS.join(' or '),
  sslnegotiation: '"postgres", or "direct" with pg 8.22 or later',
  uselibpqcompat: 'true or false',
};

/** Parameters that aren't read, with the values that are accepted because they ask for what happens anyway. */
const HARMLESS: Readonly<Record<string, readonly string[]>> = {
  gssencmode: ['disable', 'prefer'],
  sslcompression: ['0'],
  sslsni: ['1'],
  sslcertmode: ['allow'],
  replication: ['false', 'off', 'no', '0'],
  min_protocol_version: ['3.0'],
  max_protocol_version: ['3.0', 'latest'],
  binary: ['false', '0'],
};

/** Parameters whose values are shown in messages: none of them can hold a secret. */
const SHOWN: ReadonlySet<string> = new Set(
  Object.keys(READ)
    .filter((name) => READ[name] !== undefined)
    .concat(Object.keys(HARMLESS)),
);

/** The parts of a URL as they are written; nothing is decoded. */
interface UrlParts {
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly query: string;
}

function partsOf(url: string): UrlParts | undefined {
  const [, scheme, authority = '', path = '', query = ''] =
    /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*)([^?#]*)(?:\?([^#]*))?$/i.exec(url) ?? [];
  return scheme === undefined ? undefined : { scheme, authority, path, query };
}

/**
 * An `@` behind the authority comes from a user or password with an unescaped `/` or `?`: what looks like a host or a
 * database is part of the password.
 */
function isTorn({ path, query }: UrlParts): boolean {
  const [first = ''] = query.split(/[=&]/);
  return path.includes('@') || (query.includes('@') && !isKnown(first));
}

/** A URL as a message may show it: without password, and without any part that might hold one by mistake. */
export function redactUrl(url: string): string {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(url)?.[0];
  if (scheme === undefined) return /^\/[\w./-]*(?: [\w-]*)?$/.test(url) ? url : '***';
  const parts = partsOf(url);
  if (parts === undefined || isTorn(parts)) {
    const torn = url.slice(scheme.length, url.lastIndexOf('@'));
    const user = url.includes('@') ? /^[\w.-]{1,63}(?=:)/.exec(torn)?.[0] : undefined;
    return user === undefined ? `${scheme}***` : `${scheme}${user}:***`;
  }
  const { authority, path, query } = parts;
  const at = authority.lastIndexOf('@');
  // Without user and password, only a text that is a whole host and port is certain to hold no secret.
  if (at < 0 && !/^(?:[\w.-]*(?::\d{1,5})?(?:,(?!$)|$))*$/.test(authority)) return `${scheme}***`;
  const user = at < 0 ? '' : `${authority.slice(0, at).split(':')[0]}:***@`;
  return scheme + user + authority.slice(at + 1) + path + (query === '' ? '' : `?${redactQuery(query)}`);
}

function redactQuery(query: string): string {
  const shown = query.split('&').map((pair) => {
    const split = pair.indexOf('=');
    const name = split < 0 ? pair : pair.slice(0, split);
    if (!isKnown(name)) return '***';
    return SHOWN.has(name) && showName(pair.slice(split + 1)) === pair.slice(split + 1) ? pair : `${name}=***`;
  });
  return shown.join('&');
}

function isKnown(name: string): boolean {
  return Object.hasOwn(READ, name) || Object.hasOwn(HARMLESS, name) || Object.hasOwn(PARAMETER_HINTS, name);
}

/** Everything that is wrong with a URL, without any part of it that may be secret. */
export function urlProblems(url: unknown): string[] {
  if (typeof url !== 'string') return [`a ${typeof url} is not allowed; ${ALLOWED}`];
  const known =
    /^(?:pg|postgres|postgresql|socket):\/\//i.test(url) || url.startsWith('socket:') || url.startsWith('/');
  if (!known) return [`"${redactUrl(url)}" is not allowed; ${ALLOWED}`];
  const refused = (reason: string): string[] => [`"${redactUrl(url)}" is not allowed (${reason}); ${ALLOWED}`];
  if (!url.startsWith('/') && url.includes('#')) return refused('a # in a user, password or name is written %23');
  const parts = partsOf(url);
  if (parts !== undefined) {
    if (isTorn(parts)) {
      return refused('an @ stands behind the host: in a user or password / is written %2F, ? %3F and @ %40');
    }
  }
  const split = splitUrl(url);
  if (split.problems.length > 0) return split.problems.map((problem) => `"${redactUrl(url)}": ${problem}`);
  return singleUrlProblems(split.url, url);
}

/** What is wrong with a URL of one host. */
function singleUrlProblems(url: string, whole: string): string[] {
  const refused = (reason: string): string[] => [`"${redactUrl(whole)}" is not allowed (${reason}); ${ALLOWED}`];
  const parameters = parametersOf(url);
  const problems = [...parameters].flatMap(([name, value]) => parameterProblem(name, value) ?? []);
  problems.push(...contradictions(url, parameters));
  if (problems.length > 0) return problems.map((problem) => `"${redactUrl(whole)}": ${problem}`);
  try {
    const { port, database } = parseUrl(url, parameters);
    if (port && !(Number(port) >= 1 && Number(port) <= 65_535)) return refused('the port is not from 1 to 65535');
    // The last check: an unescaped character may have made a database's name of part of a password.
    if (typeof database === 'string' && database.includes('@')) return refused('the name of the database holds an @');
    readTls(url);
    return [];
  } catch (error) {
    // A file that the URL names can't be read, or the URL itself can't be parsed.
    const { code } = error as { code?: unknown };
    return refused(code === 'ERR_INVALID_URL' ? 'it is not a valid URL' : (error as Error).message);
  }
}

function parametersOf(url: string): URLSearchParams {
  const query = url.indexOf('?');
  return query < 0 || url.startsWith('/') ? new URLSearchParams() : new URLSearchParams(url.slice(query + 1));
}

function parameterProblem(name: string, value: string): string | undefined {
  if (Object.hasOwn(READ, name)) {
    if (value === '' || (READ[name]?.(value) ?? true)) return undefined;
    return `${name}: ${SHOWN.has(name) ? showValue(value) : 'what is given'} is not allowed; ${WORDS[name]}`;
  }
  if (HARMLESS[name]?.includes(value) === true) return undefined;
  const hint = Object.hasOwn(PARAMETER_HINTS, name) ? PARAMETER_HINTS[name] : undefined;
  if (hint !== undefined) return `${name}: not supported in a URL; ${hint}`;
  const near = nearestName(name, Object.keys(READ));
  if (near !== undefined) return `${name}: no such parameter; did you mean ${near}?`;
  // Not shown: it might be the rest of a password.
  return 'it has a parameter that nobody reads; settings of the server go into session, or options=-c name=value';
}

function contradictions(url: string, parameters: URLSearchParams): string[] {
  const problems: string[] = [];
  const repeated = new Set([...parameters.keys()].filter((name, at, all) => all.indexOf(name) !== at));
  for (const name of repeated) problems.push(`${name}: given twice; once is allowed`);
  const [ssl, mode] = [parameters.get('ssl'), parameters.get('sslmode')];
  if (ssl !== null && ssl !== '' && mode !== null && mode !== '' && (tlsOf(ssl) === false) !== (mode === 'disable')) {
    problems.push(`ssl=${ssl} contradicts sslmode=${mode}; give one of them`);
  }
  if (parameters.get('sslnegotiation') === 'direct' && (mode === 'disable' || tlsOf(ssl) === false)) {
    problems.push('sslnegotiation=direct needs TLS, which is turned off');
  }
  const path = partsOf(url)?.path.slice(1) ?? '';
  const named = parameters.get('dbname');
  if (named !== null && path !== '' && named !== path)
    problems.push('dbname: the path names another database; name one');
  return problems;
}

type ParsedUrl = Record<string, unknown>;

/** Parses a URL as pg does, except that `sslrootcert=system` is Node's own list and no file. */
function parseUrl(url: string, parameters: URLSearchParams): ParsedUrl {
  const own = url.replace(/([?&])sslrootcert=system(?=&|$)/g, '$1');
  const parsed: ParsedUrl = { ...parse(own) };
  const named = parameters.get('dbname');
  if (named !== null && !parsed['database']) parsed['database'] = named;
  return parsed;
}

/** TLS by the URL, including those of libpq's parameters that pg-connection-string doesn't read. */
function readTls(url: string): TlsSettings | undefined {
  const parameters = parametersOf(url);
  const given = tlsOf(parseUrl(url, parameters)['ssl']);
  const more: Record<string, unknown> = {};
  const value = (name: string): string | undefined => parameters.get(name) || undefined;
  if (value('sslpassword') !== undefined) more['passphrase'] = value('sslpassword');
  if (value('sslcrl') !== undefined) more['crl'] = readFileSync(value('sslcrl') as string, 'utf8');
  if (value('ssl_min_protocol_version') !== undefined) more['minVersion'] = value('ssl_min_protocol_version');
  if (value('ssl_max_protocol_version') !== undefined) more['maxVersion'] = value('ssl_max_protocol_version');
  const system = value('sslrootcert') === 'system';
  if (given === false || (!system && Object.keys(more).length === 0)) return given;
  return typeof given === 'object' ? { ...given, ...more } : more;
}

/** The fields that a URL sets. Call {@link urlProblems} first. */
export interface UrlFields {
  /** Under pg's names, without TLS. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly tls: TlsSettings | undefined;
  readonly sslMode: string | undefined;
  /** Its hosts, where it names several, or addresses; `undefined`: `fields` has the only one, or none. */
  readonly targets: readonly HostTarget[] | undefined;
}

/** Fields of a parsed URL that are read elsewhere, or ignored. */
const NOT_FIELDS: ReadonlySet<string> = new Set([
  'ssl',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslpassword',
  'sslcrl',
  'ssl_min_protocol_version',
  'ssl_max_protocol_version',
  'uselibpqcompat',
  'dbname',
  'db',
  'encoding',
  'hostaddr',
  ...Object.keys(HARMLESS),
]);

/** @throws when the URL can't be parsed. */
export function fieldsOfUrl(whole: string): UrlFields {
  const { url, targets } = splitUrl(whole);
  const parameters = parametersOf(url);
  const fields = Object.fromEntries(
    Object.entries(parseUrl(url, parameters)).filter(
      ([name, value]) => !NOT_FIELDS.has(name) && value !== undefined && value !== null && value !== '',
    ),
  );
  const [first] = targets ?? [];
  return {
    fields: first === undefined ? fields : { ...fields, host: first.host, port: first.port },
    tls: readTls(url),
    sslMode: parameters.get('sslmode') || undefined,
    targets,
  };
}

function isUtf8(value: string): boolean {
  return /^utf-?8$|^unicode$/i.test(value);
}
