import type { Clock, Timer } from '../../core/clock.js';
import type { HostTarget } from '../options/host-options.js';
import type { Found } from './host-attempt.js';
import { endsDial, HostsError } from './host-failures.js';

/** How long the other hosts may take once a second choice has answered, in milliseconds. */
const GRACE_MS = 1_000;

/** How one host is dialled, and a connection given up. */
export interface RoundHost<Connection> {
  readonly clock: Clock;
  attempt(host: HostTarget, limitMs: number, signal: AbortSignal): Promise<Found<Connection>>;
  close(connection: Connection): void;
}

/** Asks all hosts in parallel; the first that fits wins, and the others are given up. */
export class HostRound<Connection> {
  readonly #host: RoundHost<Connection>;
  readonly #hosts: readonly HostTarget[];
  readonly #failures = new Map<HostTarget, Error>();
  readonly #stop = new AbortController();
  #best: Connection | undefined = undefined;
  #grace: Timer | undefined = undefined;
  #left: number;
  #over = false;

  constructor(host: RoundHost<Connection>, hosts: readonly HostTarget[]) {
    this.#host = host;
    this.#hosts = hosts;
    this.#left = hosts.length;
  }

  /**
   * Asks them within `limitMs`.
   *
   * @throws a `HostsError`, what ends every dial, or the signal's reason.
   */
  async run(limitMs: number, signal: AbortSignal): Promise<Connection> {
    const abort = (): void => this.#stop.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        const end = (): void => {
          this.#end(resolve, () => reject((signal.aborted ? signal.reason : this.#error()) as Error));
        };
        for (const host of this.#hosts) {
          this.#host.attempt(host, limitMs, this.#stop.signal).then(
            (found) => {
              if (this.#take(found, limitMs, end)) end();
            },
            (error: Error) => {
              this.#failures.set(host, error);
              if (--this.#left === 0) end();
            },
          );
        }
      });
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Returns whether it decides the round. */
  #take({ connection, fit }: Found<Connection>, limitMs: number, end: () => void): boolean {
    this.#left--;
    if (this.#over || (fit === 'second' && this.#best !== undefined)) {
      this.#host.close(connection);
      return this.#left === 0;
    }
    if (fit === 'first' && this.#best !== undefined) this.#host.close(this.#best);
    this.#best = connection;
    if (fit === 'first' || this.#left === 0) return true;
    this.#grace = this.#host.clock.setTimeout(end, Math.min(GRACE_MS, limitMs / this.#hosts.length));
    return false;
  }

  #end(resolve: (connection: Connection) => void, reject: () => void): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#grace !== undefined) this.#host.clock.clearTimeout(this.#grace);
    this.#stop.abort(new Error('another host was chosen'));
    if (this.#best === undefined) reject();
    else resolve(this.#best);
  }

  #error(): Error {
    const failures = this.#hosts.map((host) => ({ host, error: this.#failures.get(host) as Error }));
    return failures.find(({ error }) => endsDial(error))?.error ?? new HostsError(failures);
  }
}
