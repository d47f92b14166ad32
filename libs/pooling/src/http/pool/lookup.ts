import { lookup as systemLookup, type LookupAddress, type LookupAllOptions } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { Clock } from '../../core/clock.js';

/** Resolves a name to all its addresses: `dns.lookup` with `all: true`. */
export type ResolveAll = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** Names that are remembered; beyond that the least recently used is forgotten (aiohttp keeps as many). */
const MAX_NAMES = 1_000;
/** How long a stale answer serves before the resolver is asked again, in milliseconds. */
const RETRY_AFTER_FAILURE_MS = 5_000;
/** How long a lookup may take before a stale answer serves instead, in milliseconds. */
const PATIENCE_MS = 1_000;

type Answered = (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void;

interface Entry {
  addresses: readonly LookupAddress[];
  freshUntil: number;
  /** Who waits for the lookup under way; `undefined`: none is. */
  listeners: Answered[] | undefined;
  /** The address with which the next answer begins, so that connections spread over all of them. */
  turn: number;
}

/**
 * DNS answers shared between dials: one lookup for concurrent first requests, rotation over the addresses, and
 * a stale answer when a lookup fails or takes too long. The design is aiohttp's `_DNSCacheTable`.
 */
export class LookupCache {
  readonly #entries = new Map<string, Entry>();
  readonly #ttlMs: number;
  readonly #clock: Clock;
  readonly #resolve: ResolveAll;

  constructor(ttlMs: number, clock: Clock, resolve: ResolveAll = systemLookup) {
    this.#ttlMs = ttlMs;
    this.#clock = clock;
    this.#resolve = resolve;
  }

  /** For `net.connect`'s `lookup`. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    const family = options.family ?? 0;
    const key = `${family} ${options.hints ?? 0} ${hostname}`;
    this.#answer(key, hostname, options as LookupAllOptions, (error, addresses) => {
      if (error !== null) return callback(error, '');
      if (options.all) return callback(null, [...addresses]);
      const first = addresses[0] as LookupAddress;
      callback(null, first.address, first.family);
    });
  };

  /** A connection to this name failed: the next dial asks the resolver again, and keeps the old answer in reserve. */
  suspect(hostname: string): void {
    for (const [key, entry] of this.#entries) {
      if (key.endsWith(` ${hostname}`)) entry.freshUntil = -Infinity;
    }
  }

  #answer(key: string, hostname: string, options: LookupAllOptions, answered: Answered): void {
    let entry = this.#entries.get(key);
    if (entry !== undefined && entry.addresses.length > 0 && this.#clock.now() < entry.freshUntil) {
      this.#entries.delete(key);
      this.#entries.set(key, entry);
      const addresses = rotated(entry);
      // Never in the same tick: net.connect's callers attach their listeners after it returns.
      process.nextTick(answered, null, addresses);
      return;
    }
    if (entry === undefined) {
      entry = { addresses: [], freshUntil: -Infinity, listeners: undefined, turn: 0 };
      this.#entries.set(key, entry);
      this.#forgetOldest();
    }
    const patient = entry.addresses.length > 0 ? this.#impatient(entry, answered) : answered;
    if (entry.listeners !== undefined) {
      entry.listeners.push(patient);
      return;
    }
    entry.listeners = [patient];
    this.#ask(key, entry, hostname, options);
  }

  #ask(key: string, entry: Entry, hostname: string, options: LookupAllOptions): void {
    this.#resolve(hostname, { ...options, all: true }, (error, addresses) => {
      const listeners = entry.listeners ?? [];
      entry.listeners = undefined;
      const now = this.#clock.now();
      if (error === null && addresses.length > 0) {
        entry.addresses = addresses;
        entry.freshUntil = now + this.#ttlMs;
      } else if (entry.addresses.length > 0) {
        entry.freshUntil = now + RETRY_AFTER_FAILURE_MS;
      }
      const failed = entry.addresses.length === 0;
      if (this.#ttlMs === 0 || failed) this.#entries.delete(key);
      const missing = error ?? noAddress(hostname);
      for (const listener of listeners) {
        if (failed) listener(missing, []);
        else listener(null, rotated(entry));
      }
    });
  }

  /** The stale answer, when the fresh one takes too long. */
  #impatient(entry: Entry, answered: Answered): Answered {
    let done = false;
    const once: Answered = (error, addresses) => {
      if (done) return;
      done = true;
      this.#clock.clearTimeout(timer);
      answered(error, addresses);
    };
    const timer = this.#clock.setBackgroundTimeout(() => once(null, rotated(entry)), PATIENCE_MS);
    return once;
  }

  #forgetOldest(): void {
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= MAX_NAMES) return;
      if (entry.listeners === undefined) this.#entries.delete(key);
    }
  }
}

function rotated(entry: Entry): readonly LookupAddress[] {
  const { addresses } = entry;
  const from = entry.turn++ % addresses.length;
  return from === 0 ? addresses : [...addresses.slice(from), ...addresses.slice(0, from)];
}

function noAddress(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), {
    code: 'ENOTFOUND',
    syscall: 'getaddrinfo',
    hostname,
  });
}
