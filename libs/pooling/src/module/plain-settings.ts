import { showValue } from '../core/validation.js';

/** A value that JSON can say. */
export type PlainValue = string | number | boolean | null | readonly PlainValue[] | PlainSettings;

/** Settings as plain JSON. */
export interface PlainSettings {
  readonly [name: string]: PlainValue;
}

/** Names whose values are never shown: they may hold a password, a token or a key. */
const SECRET: ReadonlySet<string> = new Set([
  'password',
  'passphrase',
  'headers',
  'tls',
  'ssl',
  'key',
  'cert',
  'pfx',
  'clientConfig',
  'connection',
  'connectionString',
  'url',
  'options',
]);
const DEEPEST = 4;

/** Resolved options as plain JSON: functions by their name, instances by their class, secrets not at all. */
export function plainSettings(settings: object, depth = 0): PlainSettings {
  const plain: Record<string, PlainValue> = {};
  for (const [name, value] of Object.entries(settings)) {
    if (SECRET.has(name) || value === undefined) continue;
    plain[name] =
      name === 'baseUrl' && typeof value === 'string' ? withoutCredentials(value) : plainValue(value, depth);
  }
  return plain;
}

function plainValue(value: unknown, depth: number): PlainValue {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'function':
      return `[function ${value.name || 'anonymous'}]`;
    case 'object':
      break;
    default:
      return String(value);
  }
  if (value === null) return null;
  if (depth >= DEEPEST) return '[…]';
  if (Array.isArray(value)) return value.map((each) => plainValue(each, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return `[${value.constructor.name}]`;
  // An object with `toJSON` decides itself what it shows.
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === 'function') return plainValue((toJSON as () => unknown).call(value), depth + 1);
  return plainSettings(value, depth + 1);
}

function withoutCredentials(url: string): string {
  if (!URL.canParse(url)) return '[…]';
  const parsed = new URL(url);
  parsed.username = '';
  parsed.password = '';
  parsed.search = '';
  parsed.hash = '';
  // The URL of a webhook or a bot is its password.
  return showValue(parsed.pathname) === JSON.stringify(parsed.pathname) ? parsed.href : `${parsed.origin}/[…]`;
}
