import { AsyncResource } from 'node:async_hooks';
import type { Clock } from '../../core/clock.js';
import type { Deadlines } from '../../core/deadlines.js';
import { Dial, Dialler } from './dial.js';
import type { HttpEvents } from './events.js';
import type { Limits } from './limits.js';
import { LookupCache, type ResolveAll } from './lookup.js';
import { OpenSockets } from './open-sockets.js';
import type { ResolvedHttpClientOptions } from '../options.js';
import type { Origin } from './origin.js';
import type { HttpSocket } from './socket.js';

/** What dials need of the pool. */
export interface DialsDependencies {
  readonly options: ResolvedHttpClientOptions;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly events: HttpEvents;
  readonly resolve: ResolveAll | undefined;
}

/** Told how dials went. */
export interface DialsHost {
  /** A socket is open; its dial still has its place in the {@link Limits}. */
  connected(origin: Origin, socket: HttpSocket, startedAt: number): void;
  /** No socket came; its place is free. `error` is `undefined` when it took too long. */
  failed(origin: Origin, error: Error | undefined): void;
}

/** The dials under way, and the sockets that came of them until they are closed. */
export class Dials {
  readonly #options: ResolvedHttpClientOptions;
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #events: HttpEvents;
  readonly #limits: Limits;
  readonly #host: DialsHost;
  readonly #lookup: LookupCache;
  readonly #dialler: Dialler;
  /** Sockets outlive the request that opened them: they run in no request's asynchronous context. */
  readonly #context = new AsyncResource('HttpPool');
  readonly #dials = new Set<Dial>();
  readonly #open = new OpenSockets();

  constructor(dependencies: DialsDependencies, limits: Limits, host: DialsHost) {
    const { options, clock, deadlines, events, resolve } = dependencies;
    this.#options = options;
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.#events = events;
    this.#limits = limits;
    this.#host = host;
    this.#lookup = new LookupCache(options.dnsCacheTtlMs, clock, resolve);
    this.#dialler = new Dialler(options, this.#lookup);
  }

  /** Whether a socket is alive for the system, those being closed included. */
  get hasSockets(): boolean {
    return this.#open.any;
  }

  /** Calls back, once, as soon as no socket is left. */
  whenGone(callback: () => void): void {
    this.#open.whenNone(callback);
  }

  /** Opens a socket; it never ends before this returns. `connectMs` is the time limit of the exchange that wants it; 0: none. */
  start(origin: Origin, connectMs: number): void {
    this.#limits.reserve(origin);
    this.#open.opened();
    const patienceMs = connectMs === 0 ? 0 : Math.max(connectMs, this.#options.timeouts.connectMs);
    const dial: Dial = new Dial(origin, this.#clock.now(), {
      connected: (socket) => this.#connected(dial, socket),
      failed: (error) => this.#failed(dial, error),
      late: () => this.#failed(dial, undefined),
      gone: () => this.#open.closed(),
    });
    this.#dials.add(dial);
    if (patienceMs > 0) this.#deadlines.set(dial, patienceMs);
    this.#context.runInAsyncScope(() => dial.start(this.#dialler));
  }

  /** Ends every dial with an error. */
  cancel(error: Error): void {
    for (const dial of this.#dials) this.#failed(dial, error);
  }

  #connected(dial: Dial, socket: HttpSocket): void {
    if (this.#end(dial)) this.#host.connected(dial.origin, socket, dial.startedAt);
  }

  #failed(dial: Dial, error: Error | undefined): void {
    if (!this.#end(dial)) return;
    const { origin } = dial;
    dial.cancel();
    this.#limits.cancel(origin);
    origin.counters.connectErrors++;
    this.#events.connectFailed(origin, this.#clock.now() - dial.startedAt, error);
    this.#lookup.suspect(origin.hostname);
    this.#host.failed(origin, error);
  }

  /** Ends a dial; returns whether it was still under way. */
  #end(dial: Dial): boolean {
    if (!this.#dials.delete(dial)) return false;
    this.#deadlines.clear(dial);
    return true;
  }
}
