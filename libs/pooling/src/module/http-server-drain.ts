import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import type { Clock } from '../core/clock.js';
import { pause } from '../core/within.js';

/** The part of Node's HTTP and HTTPS servers that draining needs. An HTTP/2 server has no idle connections to close. */
export interface DrainableServer {
  readonly listening: boolean;
  closeIdleConnections(): void;
  prependListener(event: 'connection' | 'secureConnection', listener: (socket: Socket) => void): unknown;
  prependListener(event: 'request', listener: RequestListener): unknown;
  removeListener(event: string, listener: ((socket: Socket) => void) | RequestListener): unknown;
}

/** Node keeps the answer that a socket is waiting for here; its own `closeIdleConnections` looks there too. */
type HttpSocket = Socket & { readonly _httpMessage?: ServerResponse | null };

/** How often idle sockets are closed while the server closes, in milliseconds. */
const REAP_EVERY_MS = 50;
/** Kept sockets are settled when none of them brought a request for this long, in milliseconds. */
const SETTLED_AFTER_MS = 50;
/** The longest wait for that, in milliseconds. */
const SETTLE_AT_MOST_MS = 1_000;
const SETTLE_LOOK_MS = 10;

/**
 * Ends the connections of an HTTP server without breaking a request.
 *
 * Node's `server.close()` stops listening and closes idle sockets in one step, and a client that is just sending its
 * next request on one of them gets a reset; a socket that was busy at that moment is kept, and holds the server until
 * its keep-alive time is over. Here the server stops listening first; from then on every answer, those under way
 * included, says `Connection: close`, so that busy clients leave by themselves; the server is closed when no more
 * requests come, and sockets that fall idle after that are closed too.
 */
export class HttpServerDrain {
  readonly #server: DrainableServer;
  readonly #clock: Clock;
  readonly #sockets = new Set<HttpSocket>();
  #lastRequestAt = 0;
  #state: 'watching' | 'settling' | 'reaping' | 'over' = 'watching';

  /** Watches the server's sockets from now on. */
  constructor(server: DrainableServer, clock: Clock) {
    this.#server = server;
    this.#clock = clock;
    server.prependListener('connection', this.#onConnection);
    server.prependListener('secureConnection', this.#onConnection);
  }

  /** Whether a server can be drained: it speaks HTTP/1. */
  static canDrain(server: unknown): server is DrainableServer {
    return server instanceof NetServer && 'closeIdleConnections' in server;
  }

  readonly #onConnection = (socket: HttpSocket): void => {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  };

  readonly #onRequest = (_request: IncomingMessage, response: ServerResponse): void => {
    response.shouldKeepAlive = false;
    this.#lastRequestAt = this.#clock.now();
  };

  /** Whether the server takes connections. */
  get listening(): boolean {
    return this.#server.listening;
  }

  /**
   * Stops listening and lets busy clients leave: resolves 50 ms after the last request, after a second at most, or at
   * once when nobody is connected. The server is ready for its `close()` then.
   */
  async settle(): Promise<void> {
    if (this.#state !== 'watching') return;
    this.#state = 'settling';
    // By now Node has accepted all connections that were pending: closing the listener resets none of them.
    await new Promise((resolve) => setImmediate(resolve));
    this.#lastRequestAt = this.#clock.now();
    this.#server.prependListener('request', this.#onRequest);
    for (const { _httpMessage: answer } of this.#sockets) if (answer) answer.shouldKeepAlive = false;
    NetServer.prototype.close.call(this.#server as unknown as NetServer);
    const giveUpAt = this.#clock.now() + SETTLE_AT_MOST_MS;
    while (this.#sockets.size > 0 && this.#clock.now() < Math.min(this.#lastRequestAt + SETTLED_AFTER_MS, giveUpAt)) {
      await pause(this.#clock, SETTLE_LOOK_MS);
    }
  }

  /** Closes sockets as they fall idle, until `stop()`. */
  reapIdle(): void {
    if (this.#state === 'reaping' || this.#state === 'over') return;
    this.#state = 'reaping';
    const reap = (): void => {
      if (this.#state !== 'reaping') return;
      this.#server.closeIdleConnections();
      this.#clock.setBackgroundTimeout(reap, REAP_EVERY_MS);
    };
    this.#clock.setBackgroundTimeout(reap, REAP_EVERY_MS);
  }

  /** Stops closing idle sockets. */
  stop(): void {
    this.#state = 'over';
    this.#server.removeListener('connection', this.#onConnection);
    this.#server.removeListener('secureConnection', this.#onConnection);
    this.#server.removeListener('request', this.#onRequest);
  }
}
