import type { Clock, Timer } from '../../core/clock.js';
import type { HostTarget } from '../options/host-options.js';
import type { Addresses } from './addresses.js';
import { endsDial, MisfitError } from './host-failures.js';
import type { Fit } from './server-facts.js';

/** How long an address may be silent before the next one is dialled in parallel: https://www.rfc-editor.org/rfc/rfc8305#section-8 */
const ATTEMPT_DELAY_MS = 250;

/** Hears how far a dial has got. */
export interface DialProgress {
  /** The network has made the connection. */
  reached(): void;
  /** The login was answered: by the server, or by a pooler before it. */
  loggedIn(): void;
}

/** How connections to a host are made, judged and given up. */
export interface AttemptHost<Connection> {
  readonly clock: Clock;
  /** Every address of a host. */
  addresses(host: HostTarget): Promise<Addresses>;
  /**
   * Opens a connection to one address, logs in, and sets the session up. The signal's abort destroys it.
   */
  dial(host: HostTarget, address: string | undefined, signal: AbortSignal, progress: DialProgress): Promise<Connection>;
  /** Notes the facts of a host, and says how well it fits. */
  fit(host: HostTarget, connection: Connection): Fit;
  /** Why a connection doesn't fit, in words that follow the host's name. */
  misfit(host: HostTarget, connection: Connection): string;
  close(connection: Connection): void;
}

/** A connection that fits, as the first or the second choice. */
export interface Found<Connection> {
  readonly connection: Connection;
  readonly fit: 'first' | 'second';
}

/** @param loggedIn - whether the login was answered: then it is a pooler without a server, or a server that stands still. */
function timeoutError(limitMs: number, loggedIn: boolean): Error {
  const what = loggedIn ? 'let us in, and its server gave no answer' : 'gave no answer';
  return Object.assign(new Error(`${what} within ${Math.round(limitMs)} ms`), { code: 'ETIMEDOUT' });
}

/**
 * Dials one host: every address of its name, the next one as soon as one fails, or in parallel when it is silent. The first
 * connection that fits wins, and the others are given up.
 */
export class HostAttempt<Connection> {
  readonly #host: AttemptHost<Connection>;
  readonly #target: HostTarget;
  readonly #underway = new Set<AbortController>();
  readonly #errors: Error[] = [];
  #addresses: Addresses = [];
  #next = 0;
  #reached = 0;
  #loggedIn = 0;
  #delay: Timer | undefined = undefined;
  #deadline = 0;
  #second: Connection | undefined = undefined;
  #over = false;
  #settle!: { resolve(found: Found<Connection>): void; reject(error: Error): void };
  #ended: () => void = () => undefined;

  constructor(host: AttemptHost<Connection>, target: HostTarget) {
    this.#host = host;
    this.#target = target;
  }

  /**
   * Dials within `limitMs`.
   *
   * @throws what the last address failed with, a `MisfitError`, an `AggregateError` of all of them, or the signal's reason.
   */
  run(limitMs: number, signal: AbortSignal): Promise<Found<Connection>> {
    const { clock } = this.#host;
    this.#deadline = clock.now() + limitMs;
    return new Promise((resolve, reject) => {
      const abort = (): void => this.#end(() => reject(signal.reason));
      // The last address has the same limit, and its own error.
      const timer = clock.setTimeout(() => this.#end(() => reject(timeoutError(limitMs, this.#loggedIn > 0))), limitMs);
      const over = (): void => {
        clock.clearTimeout(timer);
        signal.removeEventListener('abort', abort);
      };
      this.#settle = {
        resolve: (found) => this.#end(() => resolve(found)),
        reject: (error) => this.#end(() => reject(error)),
      };
      this.#ended = over;
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      this.#host.addresses(this.#target).then(
        (addresses) => {
          this.#addresses = addresses;
          this.#tryNext();
        },
        (error: Error) => this.#settle.reject(error),
      );
    });
  }

  #end(settle: () => void): void {
    if (this.#over) return;
    this.#over = true;
    this.#ended();
    this.#stopDelay();
    for (const controller of this.#underway) controller.abort(new Error('another address was quicker'));
    if (this.#second !== undefined) this.#host.close(this.#second);
    settle();
  }

  #tryNext(): void {
    this.#stopDelay();
    if (this.#over) return;
    const { clock } = this.#host;
    const left = this.#addresses.length - this.#next;
    if (left === 0) {
      if (this.#underway.size === 0) this.#finish();
      return;
    }
    const address = this.#addresses[this.#next++];
    const controller = new AbortController();
    const limitMs = (this.#deadline - clock.now()) / left;
    let reached = false;
    let loggedIn = false;
    const timer = clock.setTimeout(() => controller.abort(timeoutError(limitMs, loggedIn)), limitMs);
    const ended = (): void => {
      clock.clearTimeout(timer);
      this.#underway.delete(controller);
      if (reached) this.#reached--;
      if (loggedIn) this.#loggedIn--;
    };
    const progress: DialProgress = {
      reached: () => {
        reached = true;
        this.#reached++;
      },
      loggedIn: () => {
        loggedIn = true;
        this.#loggedIn++;
      },
    };
    this.#underway.add(controller);
    if (left > 1) this.#delay = clock.setTimeout(() => this.#silent(), ATTEMPT_DELAY_MS);
    this.#host.dial(this.#target, address, controller.signal, progress).then(
      (connection) => {
        ended();
        this.#dialled(connection);
      },
      (error: Error) => {
        ended();
        if (endsDial(error)) return this.#settle.reject(error);
        this.#errors.push(error);
        this.#tryNext();
      },
    );
  }

  /** Dials the next address in parallel, unless one was reached: a server that is slow to log in isn't dialled twice. */
  #silent(): void {
    this.#delay = undefined;
    if (this.#reached === 0) this.#tryNext();
  }

  #dialled(connection: Connection): void {
    if (this.#over) return this.#host.close(connection);
    const fit = this.#host.fit(this.#target, connection);
    if (fit === 'first') return this.#settle.resolve({ connection, fit });
    if (fit === 'second' && this.#second === undefined) this.#second = connection;
    else {
      this.#errors.push(new MisfitError(this.#host.misfit(this.#target, connection)));
      this.#host.close(connection);
    }
    this.#tryNext();
  }

  #finish(): void {
    const second = this.#second;
    this.#second = undefined;
    if (second !== undefined) return this.#settle.resolve({ connection: second, fit: 'second' });
    const misfit = this.#errors.find((error) => error instanceof MisfitError);
    const [only] = this.#errors;
    this.#settle.reject(
      misfit ??
        (this.#errors.length === 1 && only !== undefined
          ? only
          : new AggregateError(this.#errors, 'no address of the name could be connected to')),
    );
  }

  #stopDelay(): void {
    if (this.#delay !== undefined) this.#host.clock.clearTimeout(this.#delay);
    this.#delay = undefined;
  }
}
