import { ownFields } from '../../core/own-fields.js';
import { isPlainObject, refusal, rule, secret, showType, type Rule } from '../../core/validation.js';

/** What one header may be: several values are sent as several lines, an `undefined` header isn't sent. */
export type HttpHeaderValue = string | readonly string[] | undefined;

/**
 * Headers of a request: an object, or anything that gives pairs of a name and a value, such as `Headers`, a `Map` or an
 * array. A name given twice in different case is the same header. What an object inherits isn't sent.
 */
export type HttpHeaders =
  | Readonly<Record<string, HttpHeaderValue>>
  | Iterable<readonly [string, HttpHeaderValue]>
  | Iterable<readonly string[]>;

/** Headers by lower-case name. */
export type HeaderMap = Map<string, string | readonly string[]>;

/** A token of RFC 9110, 5.6.2. A wrong name is refused once at the start, and not by undici with each request. */
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Headers that the connection is in charge of. */
const FORBIDDEN_HEADERS: ReadonlySet<string> = new Set([
  'transfer-encoding',
  'keep-alive',
  'upgrade',
  'expect',
  'connection',
  'content-length',
]);

const headerValue = secret(
  rule('a string without line breaks, or an array of them', (value) =>
    (Array.isArray(value) ? value : [value]).every((each) => typeof each === 'string' && HEADER_VALUE.test(each)),
  ),
);

const ALLOWED = 'an object of headers, or names and values in pairs';
const ALLOWED_NAME = "a header's name that isn't the connection's own";

/** What `headers` may be. Wrong names and values aren't shown: either may be a secret in the wrong place. */
export const headersRule: Rule = {
  allowed: ALLOWED,
  problems: (path, value) => {
    if (value === undefined) return [];
    if (!isPlainObject(value) && !Array.isArray(value)) return [refusal(path, `a ${typeof value}`, ALLOWED)];
    let pairs: readonly (readonly [string, unknown])[];
    try {
      pairs = [...headerPairs(value as HttpHeaders)];
    } catch {
      return [refusal(path, 'something without pairs', ALLOWED)];
    }
    const values = pairs.flatMap(([name, each]) =>
      HEADER_NAME.test(name) ? headerValue.problems(`${path}.${name}`, each) : [],
    );
    if (values.length > 0) return values;
    return pairs.flatMap(([name]) => {
      if (HEADER_NAME.test(name)) return isForbidden(name) ? [refusal(path, JSON.stringify(name), ALLOWED_NAME)] : [];
      return [refusal(path, `a name of ${name.length} characters that is not shown`, ALLOWED_NAME)];
    });
  },
};

function isForbidden(name: string): boolean {
  return FORBIDDEN_HEADERS.has(name.toLowerCase());
}

/**
 * Adds headers to those there; a name given again replaces what was there, `undefined` takes it away. A name that comes
 * several times in pairs has several values.
 *
 * @throws TypeError when they aren't headers
 */
export function mergeHeaders(into: HeaderMap, headers: HttpHeaders | undefined | null): void {
  if (headers === undefined || headers === null) return;
  if (typeof headers !== 'object') throw new TypeError(`headers: a ${typeof headers} is not allowed; ${ALLOWED}`);
  if (!isIterable(headers)) {
    const own = ownFields(headers);
    for (const name of Object.keys(own)) merge(into, name.toLowerCase(), own[name]);
    return;
  }
  const seen = new Set<string>();
  for (const [given, value] of headerPairs(headers)) {
    const name = given.toLowerCase();
    const before = seen.has(name) ? into.get(name) : undefined;
    seen.add(name);
    merge(into, name, before === undefined || value === undefined ? value : [before, value].flat());
  }
}

function merge(into: HeaderMap, name: string, value: HttpHeaderValue): void {
  if (value === undefined) into.delete(name);
  else if (typeof value === 'string' || Array.isArray(value)) into.set(name, value as string | readonly string[]);
  else throw new TypeError(`headers: ${name} is ${showType(value)}; a string, or an array of strings`);
}

/** @throws TypeError at what isn't a pair */
function* headerPairs(headers: HttpHeaders): Generator<readonly [string, HttpHeaderValue]> {
  if (!isIterable(headers)) return yield* Object.entries(ownFields(headers));
  for (const pair of headers as Iterable<unknown>) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string') {
      throw new TypeError(`headers: what is not a pair of a name and a value is not allowed; ${ALLOWED}`);
    }
    yield pair as [string, HttpHeaderValue];
  }
}

function isIterable(headers: HttpHeaders): headers is Exclude<HttpHeaders, Readonly<Record<string, HttpHeaderValue>>> {
  return typeof (headers as { [Symbol.iterator]?: unknown })[Symbol.iterator] === 'function';
}

/** Headers in their flat form: names and values in turn. */
export function flattenHeaders(headers: ReadonlyMap<string, string | readonly string[]>): string[] {
  const flat: string[] = [];
  for (const [name, value] of headers) {
    if (typeof value === 'string') flat.push(name, value);
    else for (const each of value) flat.push(name, each);
  }
  return flat;
}

/** Whether flat headers have one of this name. */
export function hasHeader(flat: readonly string[], name: string): boolean {
  for (let at = 0; at < flat.length; at += 2) if (flat[at] === name) return true;
  return false;
}

/** Headers as undici's dispatch takes them, as names and values in turn. */
export function flatHeaders(headers: unknown): string[] {
  if (typeof headers !== 'object' || headers === null) return [];
  if (Array.isArray(headers) && !Array.isArray(headers[0])) return headers.map(String);
  const isIterable = typeof (headers as { [Symbol.iterator]?: unknown })[Symbol.iterator] === 'function';
  const pairs = isIterable ? (headers as Iterable<readonly [unknown, unknown]>) : Object.entries(headers);
  return [...pairs].flatMap(([name, value]) => [value].flat().flatMap((each) => [String(name), String(each)]));
}

/** Headers as undici's dispatch takes them, without some. */
export function withoutHeaders(headers: unknown, names: ReadonlySet<string>): unknown {
  if (names.size === 0 || typeof headers !== 'object' || headers === null) return headers;
  const stays = (name: unknown): boolean => !names.has(String(name).toLowerCase());
  if (Array.isArray(headers) && !Array.isArray(headers[0])) {
    return headers.filter((_, at) => stays(headers[at - (at % 2)]));
  }
  if (typeof (headers as { [Symbol.iterator]?: unknown })[Symbol.iterator] === 'function') {
    return [...(headers as Iterable<readonly [unknown, unknown]>)].filter(([name]) => stays(name));
  }
  return Object.fromEntries(Object.entries(headers).filter(([name]) => stays(name)));
}

/** Headers for an interceptor, which may not know undici's flat form: the cache of undici 7.30.0 doesn't. */
export function headersByName(flat: readonly string[]): Record<string, string | string[]> {
  const byName = new Map<string, string | string[]>();
  for (let at = 0; at < flat.length; at += 2) {
    const name = flat[at] as string;
    const value = flat[at + 1] as string;
    const before = byName.get(name);
    byName.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(byName);
}
