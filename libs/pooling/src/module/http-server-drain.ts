import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../core/clock.js';

/** The part of Node's HTTP and HTTPS servers that draining needs. */
export interface DrainableServer {
  readonly listening: boolean;
  prependListener(event: 'connection' | 'secureConnection', listener: (socket: Socket) => void): unknown;
  prependListener(event: 'request', listener: RequestListener): unknown;
  removeListener(event: string, listener: ((socket: Socket) => void) | RequestListener): unknown;
  closeIdleConnections?(): void;
}

/** How often idle sockets are closed while the server closes, in milliseconds. */
const REAP_EVERY_MS = 50;
/** Kept sockets are settled when none of them brought a request for this long, in milliseconds. */
const SETTLED_AFTER_MS = 50;
/** The longest wait for that, in milliseconds. */
const SETTLE_AT_MOST_MS = 1_000;
const SETTLE_LOOK_MS = 10;

/**
 * Ends the kept-alive sockets of an HTTP server without breaking a request: from the beginning of the drain every
 * answer says `Connection: close`, so that busy clients leave by themselves, and while the server closes, sockets
 * that fell idle are closed. Node closes idle sockets once, when the server closes; one that was busy then would hold
 * the server until its keep-alive time is over.
 */
export class HttpServerDrain {
  readonly #server: DrainableServer;
  readonly #clock: Clock;
  readonly #newSockets = new WeakSet<object>();
  #lastOnKeptSocket = 0;
  #reaping = false;
  #begun = false;

  constructor(server: DrainableServer, clock: Clock) {
    this.#server = server;
    this.#clock = clock;
  }

  readonly #onConnection = (socket: Socket): void => {
    this.#newSockets.add(socket);
  };

  readonly #onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    response.shouldKeepAlive = false;
    if (!this.#newSockets.has(request.socket)) this.#lastOnKeptSocket = this.#clock.now();
  };

  /** From now on every answer ends its connection. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#lastOnKeptSocket = this.#clock.now();
    this.#server.prependListener('connection', this.#onConnection);
    this.#server.prependListener('secureConnection', this.#onConnection);
    this.#server.prependListener('request', this.#onRequest);
  }

  /** Resolves when busy clients have left their kept sockets: 50 ms after the last request on one, within a second. */
  async settled(): Promise<void> {
    const giveUpAt = this.#clock.now() + SETTLE_AT_MOST_MS;
    while (this.#clock.now() < Math.min(this.#lastOnKeptSocket + SETTLED_AFTER_MS, giveUpAt)) {
      await new Promise<void>((resolve) => this.#clock.setTimeout(resolve, SETTLE_LOOK_MS));
    }
  }

  /** Closes sockets as they fall idle, until `stop()`. */
  reapIdle(): void {
    if (this.#reaping || this.#server.closeIdleConnections === undefined) return;
    this.#reaping = true;
    const reap = (): void => {
      if (!this.#reaping) return;
      this.#server.closeIdleConnections?.();
      this.#clock.setBackgroundTimeout(reap, REAP_EVERY_MS);
    };
    this.#clock.setBackgroundTimeout(reap, REAP_EVERY_MS);
  }

  /** Leaves the server alone again. */
  stop(): void {
    this.#reaping = false;
    this.#server.removeListener('connection', this.#onConnection);
    this.#server.removeListener('secureConnection', this.#onConnection);
    this.#server.removeListener('request', this.#onRequest);
  }
}
