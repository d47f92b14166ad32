import { shownUrl } from './shown-url.js';

/** Where a request goes. */
export interface Target {
  readonly origin: string;
  readonly path: string;
  /** From `user:password@` in the URL. */
  readonly authorization?: string;
}

/** A dot segment: a path with one has to be parsed, because the URL standard changes it. */
const DOT_SEGMENT = /\/(?:\.|%2e)/i;
/** A path that the URL standard leaves as it is, unless it has a dot segment. */
const PLAIN_PATH = /^\/[\w\-.~!$&()*+,;=:@%/?]*$/;
const SLASH = 47;

const SCHEME = /^[a-z][a-z\d+.-]*:/i;
/** The URL standard takes a backslash for a slash: any two of them begin a host. */
const HOST_FOLLOWS = /^[/\\]{2}/;
/** Characters that the URL standard removes before it parses a URL. */
// oxlint-disable-next-line no-control-regex -- they are meant
const LEFT_OUT = /^[\0-\x20]+|[\0-\x20]+$|[\t\n\r]/g;

/** The origin of an absolute URL as it is written, to be looked up; `undefined` when it needs to be parsed. */
export function plainTarget(url: string): Target | undefined {
  if (!url.startsWith('http')) return undefined;
  const slash = url.indexOf('/', 8);
  if (slash < 0) return { origin: url, path: '/' };
  const path = url.slice(slash);
  if (!isPlainPath(path)) return undefined;
  return { origin: url.slice(0, slash), path };
}

/** Whether a path needs no parsing. */
export function isPlainPath(path: string): boolean {
  return PLAIN_PATH.test(path) && !DOT_SEGMENT.test(path);
}

/**
 * Where a URL leads.
 *
 * @throws TypeError when it isn't an `http:` or `https:` URL
 */
export function parseTarget(url: string | URL): Target {
  const parsed = url instanceof URL ? url : parseUrl(url);
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') {
    throw new TypeError(`an HTTP client can't request ${parsed.protocol} URLs`);
  }
  const target = { origin: parsed.origin, path: `${parsed.pathname}${parsed.search}` };
  if (parsed.username === '' && parsed.password === '') return target;
  const credentials = [percentDecoded(parsed.username), Buffer.from(':'), percentDecoded(parsed.password)];
  return { ...target, authorization: `Basic ${Buffer.concat(credentials).toString('base64')}` };
}

/** Parses a URL. Node's own error would show the whole of it, with its password and query. */
function parseUrl(url: string, base?: string): URL {
  try {
    return new URL(url, base);
  } catch {
    throw Object.assign(new TypeError(`Invalid URL: ${shownUrl(url)}`), { code: 'ERR_INVALID_URL' });
  }
}

/** The URL that a client's requests are relative to. */
export class BaseUrl {
  readonly target: Target;
  /** Its path without a slash at the end. */
  readonly #prefix: string;

  /** @throws TypeError when it isn't an `http:` or `https:` URL */
  constructor(url: string) {
    this.target = parseTarget(url);
    this.#prefix = this.target.path.replace(/\/$/, '');
  }

  /**
   * Where a URL leads that may be relative: without a scheme and a host it is appended, its path included.
   * `undefined`: its `..` lead out of the base URL's path.
   *
   * @throws TypeError when it can't be parsed, or isn't an `http:` or `https:` URL
   */
  resolve(url: string): Target | undefined {
    const { origin } = this.target;
    if (url.charCodeAt(0) === SLASH && url.charCodeAt(1) !== SLASH && isPlainPath(url)) {
      return { origin, path: `${this.#prefix}${url}` };
    }
    const text = url.replace(LEFT_OUT, '');
    if (SCHEME.test(text)) return parseTarget(text);
    if (HOST_FOLLOWS.test(text)) return parseTarget(parseUrl(text, origin));
    const slashed = text === '' || /^[/\\?#]/.test(text) ? text : `/${text}`;
    const target = parseTarget(`${origin}${this.#prefix}${slashed}`);
    const inside = target.path.startsWith(this.#prefix) && /^(?:[/?]|$)/.test(target.path.slice(this.#prefix.length));
    return inside ? target : undefined;
  }
}

/** The bytes of a percent-encoded text; a `%` that encodes nothing stays (the URL standard, 1.3). */
function percentDecoded(text: string): Buffer {
  const pieces = text.split(/(%[\da-f]{2})/i);
  return Buffer.concat(
    pieces.map((piece, at) => (at % 2 === 1 ? Buffer.from(piece.slice(1), 'hex') : Buffer.from(piece))),
  );
}
