import { inspect } from 'node:util';
import { isPlainObject, nearestName } from '../../core/validation.js';

/** TLS: off, with Node's defaults, or with these settings. */
export type TlsSettings = boolean | Record<string, unknown>;

/** Names of `tls.connect`'s options: https://nodejs.org/api/tls.html. Others are handed on, too, unless they look like one. */
const TLS_NAMES = [
  'ca',
  'cert',
  'key',
  'passphrase',
  'pfx',
  'crl',
  'ciphers',
  'ecdhCurve',
  'dhparam',
  'minVersion',
  'maxVersion',
  'secureProtocol',
  'secureOptions',
  'secureContext',
  'sigalgs',
  'honorCipherOrder',
  'servername',
  'rejectUnauthorized',
  'checkServerIdentity',
  'session',
  'minDHSize',
  'ALPNProtocols',
  'requestOCSP',
  'pskCallback',
  'allowPartialTrustChain',
] as const;

/** libpq's names, which aren't names of `ssl`. */
const LIBPQ_NAMES: Readonly<Record<string, string>> = {
  sslmode: 'sslmode in the URL',
  sslrootcert: 'ca',
  sslca: 'ca',
  sslcert: 'cert',
  sslkey: 'key',
  sslpassword: 'passphrase',
};

/** The modes of libpq's `sslmode` that pg has, and pg's own `no-verify`. */
export const SSL_MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'] as const;

/** `ssl` in one form; `undefined` where it isn't given or isn't valid. */
export function tlsOf(given: unknown): TlsSettings | undefined {
  if (typeof given === 'boolean') return given;
  if (given === 'true' || given === '1') return true;
  if (given === 'false' || given === '0') return false;
  if (given === 'no-verify') return { rejectUnauthorized: false };
  return isPlainObject(given) ? copyOf(given) : undefined;
}

/** What is wrong with `ssl`. */
export function tlsProblems(path: string, given: unknown): string[] {
  if (given === undefined || given === null) return [];
  if (tlsOf(given) === undefined) {
    return [
      `${path}: ${typeof given === 'object' ? 'an array' : `a ${typeof given}`} is not allowed; true, false or an object`,
    ];
  }
  if (!isPlainObject(given)) return [];
  return Object.keys(given).flatMap((name) => {
    if ((TLS_NAMES as readonly string[]).includes(name)) return [];
    const meant = Object.hasOwn(LIBPQ_NAMES, name) ? LIBPQ_NAMES[name] : nearestName(name, TLS_NAMES);
    return meant === undefined ? [] : [`${path}.${name}: no such option; did you mean ${meant}?`];
  });
}

/** Copies every field, also those that aren't enumerable: pg makes `key` so on an object that it has used. */
function copyOf(given: object): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  const inherited = TLS_NAMES.filter((name) => name in given);
  for (const name of new Set([...Object.getOwnPropertyNames(given), ...inherited])) {
    const value = (given as Record<string, unknown>)[name];
    if (value !== undefined) copy[name] = value;
  }
  return copy;
}

/**
 * The URL's settings over those of `connection.ssl`, field by field.
 *
 * @param problems - contradictions are added here.
 */
export function mergeTls(
  given: TlsSettings | undefined,
  ofUrl: TlsSettings | undefined,
  mode: string | undefined,
  problems: string[],
): TlsSettings | undefined {
  const merged = mergeFields(given, ofUrl, problems);
  const verifies = mode === 'verify-ca' || mode === 'verify-full';
  if (verifies && typeof merged === 'object' && merged['rejectUnauthorized'] === false) {
    problems.push(`connection.ssl.rejectUnauthorized: false contradicts sslmode=${mode} of the URL; give one of them`);
  }
  if (mode === 'no-verify' && typeof given === 'object' && given['rejectUnauthorized'] === true) {
    problems.push('connection.ssl.rejectUnauthorized: true contradicts sslmode=no-verify of the URL; give one of them');
  }
  return merged;
}

function mergeFields(
  given: TlsSettings | undefined,
  ofUrl: TlsSettings | undefined,
  problems: string[],
): TlsSettings | undefined {
  if (given === undefined || ofUrl === undefined) return given ?? ofUrl;
  if ((given === false) !== (ofUrl === false)) {
    const [on, off] = given === false ? ['the URL', 'connection.ssl'] : ['connection.ssl', 'the URL'];
    problems.push(`connection.ssl: ${on} asks for TLS and ${off} turns it off; give one of them`);
  }
  if (typeof given === 'object' && typeof ofUrl === 'object') return { ...given, ...ofUrl };
  return typeof ofUrl === 'object' || ofUrl === false ? ofUrl : given;
}

/** Hides the values of TLS settings from logs, errors and pages: a key and its passphrase are among them. */
export function hideTls(settings: TlsSettings): TlsSettings {
  if (typeof settings === 'boolean') return settings;
  // As in pg, which takes the key all the same.
  if ('key' in settings) Object.defineProperty(settings, 'key', { enumerable: false });
  const shown = `[TLS: ${Object.getOwnPropertyNames(settings).join(', ')}]`;
  Object.defineProperty(settings, inspect.custom, { enumerable: false, value: () => shown });
  Object.defineProperty(settings, 'toJSON', { enumerable: false, value: () => shown });
  return settings;
}
