import type { Clock, Timer } from '../../core/clock.js';
import type { HostTarget } from '../options/host-options.js';
import type { Found } from './host-attempt.js';
import { endsDial, HostsError, MisfitError, PAUSE_FOR_PROMOTION_MS } from './host-failures.js';

/** How long the other hosts may take once a second choice has answered, in milliseconds. */
const GRACE_MS = 1_000;

/** How one host is dialled, and a connection given up. */
export interface RoundHost<Connection> {
  readonly clock: Clock;
  attempt(host: HostTarget, limitMs: number, signal: AbortSignal): Promise<Found<Connection>>;
  close(connection: Connection): void;
}

/**
 * Asks all hosts in parallel; the first that fits wins, and the others are given up. While one is silent, those that have
 * failed are asked again: one of them may be promoted meanwhile.
 */
export class HostRound<Connection> {
  readonly #host: RoundHost<Connection>;
  readonly #hosts: readonly HostTarget[];
  readonly #failures = new Map<HostTarget, Error>();
  /** Hosts that haven't answered yet. */
  readonly #silent: Set<HostTarget>;
  readonly #underway = new Set<HostTarget>();
  readonly #stop = new AbortController();
  #best: Connection | undefined = undefined;
  #grace: Timer | undefined = undefined;
  #again: Timer | undefined = undefined;
  #deadline = 0;
  #over = false;
  #settle: () => void = () => undefined;

  constructor(host: RoundHost<Connection>, hosts: readonly HostTarget[]) {
    this.#host = host;
    this.#hosts = hosts;
    this.#silent = new Set(hosts);
  }

  /**
   * Asks them within `limitMs`.
   *
   * @throws a `HostsError`, what ends every dial, or the signal's reason.
   */
  async run(limitMs: number, signal: AbortSignal): Promise<Connection> {
    this.#deadline = this.#host.clock.now() + limitMs;
    const abort = (): void => this.#stop.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        this.#settle = () => {
          if (this.#best === undefined) reject((signal.aborted ? signal.reason : this.#error()) as Error);
          else resolve(this.#best);
        };
        for (const host of this.#hosts) this.#ask(host);
      });
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  #ask(host: HostTarget): void {
    this.#underway.add(host);
    const limitMs = this.#deadline - this.#host.clock.now();
    this.#host.attempt(host, limitMs, this.#stop.signal).then(
      (found) => {
        this.#answered(host);
        if (this.#take(found, limitMs)) this.#end();
      },
      (error: Error) => {
        if (this.#over) return;
        this.#answered(host);
        this.#failures.set(host, error);
        if (this.#silent.size === 0) this.#end();
        else this.#planAgain();
      },
    );
  }

  #answered(host: HostTarget): void {
    this.#silent.delete(host);
    this.#underway.delete(host);
  }

  /** Where a host has answered that doesn't fit, a promotion may be near. */
  #planAgain(): void {
    if (this.#again !== undefined) return;
    if (![...this.#failures.values()].some((error) => error instanceof MisfitError)) return;
    this.#again = this.#host.clock.setTimeout(() => {
      this.#again = undefined;
      for (const host of this.#failures.keys()) if (!this.#underway.has(host)) this.#ask(host);
    }, PAUSE_FOR_PROMOTION_MS);
  }

  /** Returns whether it decides the round. */
  #take({ connection, fit }: Found<Connection>, limitMs: number): boolean {
    if (this.#over || (fit === 'second' && this.#best !== undefined)) {
      this.#host.close(connection);
      return this.#silent.size === 0;
    }
    if (fit === 'first' && this.#best !== undefined) this.#host.close(this.#best);
    this.#best = connection;
    if (fit === 'first' || this.#silent.size === 0) return true;
    this.#grace = this.#host.clock.setTimeout(() => this.#end(), Math.min(GRACE_MS, limitMs / this.#hosts.length));
    return false;
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    for (const timer of [this.#grace, this.#again]) if (timer !== undefined) this.#host.clock.clearTimeout(timer);
    this.#stop.abort(new Error('another host was chosen'));
    this.#settle();
  }

  #error(): Error {
    const failures = this.#hosts.map((host) => ({ host, error: this.#failures.get(host) as Error }));
    return failures.find(({ error }) => endsDial(error))?.error ?? new HostsError(failures);
  }
}
