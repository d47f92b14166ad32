import type { DialFailure } from './connector.js';
import { Dial } from './dial.js';
import { Dialer } from './dialer.js';
import { describeCause, PoolConnectError } from './errors.js';
import type { PoolEntry } from './pool-entry.js';
import type { PoolParts } from './pool-parts.js';
import { Refill } from './refill.js';
import { connectFailure, type ConnectFailure } from './statistics.js';

/** The last dial, where it failed. */
export interface FailedDial {
  readonly error: unknown;
  readonly failure: ConnectFailure;
  readonly explained: DialFailure;
}

const UNEXPLAINED: DialFailure = Object.freeze({
  permanent: false,
  advice: 'The server can’t be reached or refuses connections.',
});

/** What the pool hears of its dials. */
export interface DiallingHost<T> {
  /** A connection is open, and belongs to nobody yet. */
  opened(entry: PoolEntry<T>): void;
  /** A connection has died by itself; told once or more, at any time. */
  lost(entry: PoolEntry<T>, error: Error | undefined): void;
  /** A dial has ended without a connection: its slot is free. */
  freed(): void;
}

/** Opens connections: the dials under way, and why the last one failed. */
export class Dialling<T> {
  readonly #parts: PoolParts<T>;
  readonly #host: DiallingHost<T>;
  readonly #dialer: Dialer;
  readonly #dials = new Set<Dial<T>>();
  readonly #refill: Refill<T>;
  #lastFailure: FailedDial | undefined = undefined;

  constructor(parts: PoolParts<T>, host: DiallingHost<T>) {
    const { clock, options, random, life, slots, waiters } = parts;
    this.#parts = parts;
    this.#host = host;
    this.#refill = new Refill(options.minIdle, life, slots, waiters);
    this.#dialer = new Dialer(clock, this.#refill, this.#dial, options.maxConnecting, random);
  }

  /** The last dial, where it failed; `undefined` once a dial has succeeded. */
  get lastFailure(): FailedDial | undefined {
    return this.#lastFailure;
  }

  /** To be called whenever demand may have grown or room was made. */
  wake(): void {
    this.#dialer.wake();
  }

  /** Someone had to share a connection: one more is opened in the background. */
  sharedForLack(): void {
    this.#refill.sharedForLack();
    this.#dialer.wake();
  }

  /** Dials at once, whatever the back-off says, unless a dial is under way. */
  probe(): void {
    this.#dialer.probe();
  }

  /** Starts no more dials. */
  stop(): void {
    this.#dialer.stop();
  }

  /** Gives up the dials under way. */
  abandon(reason: Error): void {
    for (const dial of [...this.#dials]) dial.abandon(reason);
  }

  /** The error for an acquire that would wait in vain: no dial is due, and waiting doesn't heal the last one's failure. */
  refusal(): PoolConnectError | undefined {
    return this.#hopeless && this.#dialer.pausing ? this.#connectError() : undefined;
  }

  readonly #dial = (): void => {
    const { clock, connector, deadlines, fitness, options, slots } = this.#parts;
    const startedAt = clock.now();
    const entry = slots.dial(fitness.generation);
    const dial = new Dial<T>(connector, deadlines, options.connectTimeoutMs, {
      opened: (connection) => {
        this.#dials.delete(dial);
        this.#opened(entry, connection, startedAt);
      },
      failed: (error) => {
        this.#dials.delete(dial);
        this.#failed(entry, error, startedAt);
      },
      abandoned: () => {
        this.#dials.delete(dial);
        this.#dialer.abandoned();
        this.#free(entry);
      },
    });
    this.#dials.add(dial);
    dial.start((error) => this.#host.lost(entry, error));
  };

  #opened(entry: PoolEntry<T>, connection: T, startedAt: number): void {
    const { clock, counters, observer, options, random, slots } = this.#parts;
    const now = clock.now();
    this.#lastFailure = undefined;
    counters.opened++;
    counters.connect.record(now - startedAt);
    slots.opened(entry, connection, now);
    const { maxLifetimeMs, lifetimeJitter } = options;
    if (maxLifetimeMs > 0) entry.expiresAt = now + maxLifetimeMs * (1 - random() * lifetimeJitter);
    this.#refill.opened();
    this.#dialer.succeeded();
    observer.opened?.(connection, now - startedAt, entry);
    this.#host.opened(entry);
    this.#dialer.wake();
  }

  #failed(entry: PoolEntry<T>, error: unknown, startedAt: number): void {
    const { clock, connector, counters, observer, waiters } = this.#parts;
    counters.connectErrors++;
    const explained = connector.explain?.(error) ?? UNEXPLAINED;
    this.#lastFailure = { error, failure: connectFailure(error, clock.wallNow()), explained };
    this.#dialer.failed(startedAt, explained.longestPauseMs);
    observer.openFailed?.(error, clock.now() - startedAt);
    if (this.#hopeless) waiters.rejectAll(() => this.#connectError());
    this.#free(entry);
  }

  #free(entry: PoolEntry<T>): void {
    this.#parts.slots.free(entry);
    this.#host.freed();
  }

  /** Whether no connection is open, and none can be for a reason that waiting doesn't heal. */
  get #hopeless(): boolean {
    if (this.#lastFailure?.explained.permanent !== true) return false;
    const { life, slots } = this.#parts;
    return slots.open === 0 && life.serving;
  }

  #connectError(): PoolConnectError {
    const { name } = this.#parts.options;
    const { error, explained } = this.#lastFailure as FailedDial;
    return new PoolConnectError(
      name,
      `${name}: no connection can be opened: ${describeCause(error)}. ${explained.advice}`,
      { cause: error },
    );
  }
}
