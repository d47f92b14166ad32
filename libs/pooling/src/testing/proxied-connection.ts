import type { Socket } from 'node:net';
import { OneWay } from './one-way.js';

/** The direction in which bytes travel. */
export type Direction = 'toServer' | 'toClient';

/** One value for each direction. */
export type Directions<Value> = Record<Direction, Value>;

/** What is done to the bytes of a connection, for each direction. */
export interface Shape {
  readonly delayMs: Readonly<Directions<number>>;
  readonly bytesPerSecond: Readonly<Directions<number>>;
  readonly swallowed: Readonly<Directions<boolean>>;
}

/** What a connection needs of its proxy. */
export interface ProxiedConnectionOptions {
  /** Opens the connection to the server. */
  dial(): Socket;
  /** Called with the number of bytes that have arrived. */
  count(direction: Direction, length: number): void;
}

/** One client's connection to the proxy, with the proxy's connection to the server. */
export class ProxiedConnection {
  /** The port of the client, which identifies the connection. */
  readonly clientPort: number;
  /** Settles when both sides are closed. */
  readonly closed: Promise<void>;
  readonly #client: Socket;
  readonly #options: ProxiedConnectionOptions;
  readonly #ways: Directions<OneWay>;
  readonly #swallowed: Directions<boolean> = { toServer: false, toClient: false };
  #server: Socket | undefined;
  #settle!: () => void;
  #clientClosed = false;
  #isCut = false;
  #serverClosed = false;

  constructor(client: Socket, options: ProxiedConnectionOptions) {
    this.#client = client;
    this.#options = options;
    this.clientPort = client.remotePort ?? 0;
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    client.setNoDelay(true);
    this.#ways = {
      toServer: new OneWay((length) => options.count('toServer', length)),
      toClient: new OneWay((length) => options.count('toClient', length)),
    };
    this.#ways.toServer.readFrom(client);
    this.#ways.toClient.writeTo(client);
    client.on('close', (hadError) => {
      this.#clientClosed = true;
      this.#ways.toClient.drain();
      this.#sideClosed('toServer', this.#server, hadError);
    });
  }

  get clientOpen(): boolean {
    return !this.#clientClosed;
  }

  /** Whether there is still something to cut. */
  get isWhole(): boolean {
    return !this.#isCut && !this.#clientClosed;
  }

  /** Connects to the server, if that hasn't been done. */
  dial(): void {
    if (this.#server !== undefined || this.#clientClosed) return;
    const server = this.#options.dial();
    this.#server = server;
    server.on('error', () => undefined);
    server.on('close', (hadError) => {
      this.#serverClosed = true;
      this.#ways.toServer.drain();
      this.#sideClosed('toClient', this.#client, hadError);
    });
    this.#ways.toServer.writeTo(server);
    this.#ways.toClient.readFrom(server);
  }

  /** What is lost stays lost: a connection that swallows once does so for ever. */
  shape(shape: Shape): void {
    for (const direction of ['toServer', 'toClient'] as const) {
      this.#swallowed[direction] ||= shape.swallowed[direction];
      this.#ways[direction].shape({
        delayMs: shape.delayMs[direction],
        bytesPerSecond: shape.bytesPerSecond[direction],
        swallows: this.#swallowed[direction],
      });
    }
  }

  /** Calls `found` when `pattern` passes; see {@link OneWay.watch}. */
  watch(direction: Direction, pattern: Buffer, deliver: boolean, found: () => boolean): void {
    this.#ways[direction].watch(pattern, deliver, found);
  }

  /** Ends both sides. The bytes that were already on their way to the side `spared` still arrive there. */
  cut(kind: 'fin' | 'rst', spared?: Direction): void {
    this.#isCut = true;
    for (const way of Object.values(this.#ways)) way.stop();
    for (const [direction, socket] of [
      ['toClient', this.#client],
      ['toServer', this.#server],
    ] as const) {
      if (socket === undefined || socket.destroyed) continue;
      if (kind === 'rst' && direction !== spared) {
        reset(socket);
      } else {
        socket.resume();
        socket.once('end', () => socket.destroy());
        socket.end();
      }
    }
    this.#settleIfOver();
  }

  destroy(): void {
    for (const way of Object.values(this.#ways)) way.stop();
    this.#client.destroy();
    this.#server?.destroy();
    this.#settleIfOver();
  }

  /** Tells the other side as it would hear of it without a proxy, unless that direction swallows everything. */
  #sideClosed(way: Direction, other: Socket | undefined, hadError: boolean): void {
    this.#ways[way].finish(() => {
      if (this.#swallowed[way] || other === undefined || other.destroyed) return;
      if (hadError) reset(other);
      else other.end();
    });
    this.#settleIfOver();
  }

  #settleIfOver(): void {
    if (this.#clientClosed && (this.#server === undefined || this.#serverClosed)) this.#settle();
  }
}

/**
 * Resets a connection, after its own end if that is being sent: Node leaks a socket that it is told to reset in between,
 * says nothing of its close, and can't end the process any more.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.once('finish', () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}
