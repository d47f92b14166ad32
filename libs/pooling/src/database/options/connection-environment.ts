import { readFileSync } from 'node:fs';
import { showValue } from '../../core/validation.js';
import { negotiatesDirectTls } from '../pg-internals.js';
import { pg } from '../pg.js';
import { LOAD_BALANCE_HOSTS, TARGET_SESSION_ATTRS } from './host-options.js';
import { isPort } from './several-hosts.js';
import { SSL_MODES, tlsOf, type TlsSettings } from './tls-settings.js';

/** Variables of libpq that pg doesn't read. They are refused, because what they ask for would silently not happen. */
const REFUSED: Readonly<Record<string, { readonly harmless?: readonly string[]; readonly hint: string }>> = {
  PGREQUIREAUTH: { hint: 'the server decides how it authenticates' },
  PGGSSENCMODE: { harmless: ['disable', 'prefer'], hint: 'pg speaks no GSSAPI: use TLS' },
  PGSSLCRLDIR: { hint: 'use PGSSLCRL, one file' },
};

/** Those that choose a server: they are refused only where the environment names the host. */
const REFUSED_WITH_HOST: typeof REFUSED = {
  PGSERVICE: { hint: 'set PGHOST, PGPORT, PGUSER and PGDATABASE' },
  PGREQUIREPEER: { hint: 'pg can not check the owner of a socket' },
};

/** Variables that choose among hosts. */
const CHOICES: Readonly<Record<string, readonly string[]>> = {
  PGTARGETSESSIONATTRS: TARGET_SESSION_ATTRS,
  PGLOADBALANCEHOSTS: LOAD_BALANCE_HOSTS,
};

/**
 * What is wrong with the `PG*` variables. Values that may be secret aren't shown.
 *
 * @param choosesHost - whether the environment names the host.
 */
export function environmentProblems(environment: NodeJS.ProcessEnv, choosesHost: boolean): string[] {
  const problems: string[] = [];
  const refuse = (name: string, what: string): void => void problems.push(`${name} (environment): ${what}`);
  const { PGPORT, PGSSLMODE, PGSSLNEGOTIATION, PGCONNECT_TIMEOUT, PGCHANNELBINDING } = environment;
  for (const [name, { harmless = [], hint }] of Object.entries({
    ...REFUSED,
    ...(choosesHost ? REFUSED_WITH_HOST : {}),
  })) {
    const value = environment[name];
    if (value && !harmless.includes(value)) refuse(name, `not supported; ${hint}`);
  }
  if (PGPORT && !PGPORT.includes(',') && !isPort(PGPORT)) {
    refuse('PGPORT', `${showValue(PGPORT)} is not allowed; a port from 1 to 65535`);
  }
  if (PGPORT?.includes(',') === true && !choosesHost) {
    refuse('PGPORT', 'a list is not allowed where PGHOST does not name the hosts; give the port with the host');
  }
  for (const [name, words] of Object.entries(CHOICES)) {
    const value = environment[name];
    if (value && !words.includes(value)) refuse(name, `${showValue(value)} is not allowed; ${words.join(', ')}`);
  }
  if (PGSSLMODE && !(SSL_MODES as readonly string[]).includes(PGSSLMODE)) {
    refuse('PGSSLMODE', `${showValue(PGSSLMODE)} is not allowed; ${SSL_MODES.join(', ')}`);
  }
  if (PGSSLNEGOTIATION && negotiatesDirectTls() && !['postgres', 'direct'].includes(PGSSLNEGOTIATION)) {
    refuse('PGSSLNEGOTIATION', `${showValue(PGSSLNEGOTIATION)} is not allowed; postgres or direct`);
  }
  if (PGCONNECT_TIMEOUT && !/^\d{1,9}$/.test(PGCONNECT_TIMEOUT)) {
    refuse('PGCONNECT_TIMEOUT', `${showValue(PGCONNECT_TIMEOUT)} is not allowed; whole seconds`);
  }
  if (PGCHANNELBINDING && !['disable', 'prefer', 'require'].includes(PGCHANNELBINDING)) {
    refuse('PGCHANNELBINDING', `${showValue(PGCHANNELBINDING)} is not allowed; disable, prefer or require`);
  }
  return problems;
}

/** Variables of libpq that name files, and the TLS setting of each. They count where `PGSSLMODE` asks for TLS. */
const FILES: Readonly<Record<string, string>> = {
  PGSSLROOTCERT: 'ca',
  PGSSLCERT: 'cert',
  PGSSLKEY: 'key',
  PGSSLCRL: 'crl',
};

function readTlsFile(path: string | undefined, field: string): Record<string, string> {
  return path && !(field === 'ca' && path === 'system') ? { [field]: readFileSync(path, 'utf8') } : {};
}

function asksForTls(mode: string | undefined): boolean {
  return mode !== undefined && mode !== 'disable' && (SSL_MODES as readonly string[]).includes(mode);
}

/**
 * TLS by the environment, else by `pg.defaults`. Read once: all connections of a pool use the same.
 *
 * @param problems - a file that can't be read is added here.
 */
export function tlsOfEnvironment(environment: NodeJS.ProcessEnv, problems: string[]): TlsSettings {
  const mode = environment['PGSSLMODE'];
  if (mode === 'disable') return false;
  if (!asksForTls(mode)) return tlsOf(pg.defaults.ssl) ?? false;
  const settings: Record<string, unknown> = mode === 'no-verify' ? { rejectUnauthorized: false } : {};
  for (const [name, field] of Object.entries(FILES)) {
    try {
      Object.assign(settings, readTlsFile(environment[name], field));
    } catch (error) {
      problems.push(`${name} (environment): ${(error as Error).message}`);
    }
  }
  const { PGSSLMINPROTOCOLVERSION, PGSSLMAXPROTOCOLVERSION } = environment;
  if (PGSSLMINPROTOCOLVERSION) settings['minVersion'] = PGSSLMINPROTOCOLVERSION;
  if (PGSSLMAXPROTOCOLVERSION) settings['maxVersion'] = PGSSLMAXPROTOCOLVERSION;
  return Object.keys(settings).length === 0 ? true : settings;
}
