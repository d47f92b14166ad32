import type { buildConnector } from 'undici';
import { Deadline } from '../core/deadlines.js';
import type { HttpSocket } from './connection.js';
import type { Origin } from './origin.js';

/** Who hears how a dial went: one of the first three, once, and `gone` once in any case. */
export interface DialListener {
  connected(socket: HttpSocket): void;
  failed(error: Error): void;
  /** It took longer than it may. */
  late(): void;
  /** Its socket is closed, or never came to be. */
  gone(): void;
}

/** One attempt to open a socket: DNS, TCP, TLS. */
export class Dial extends Deadline {
  readonly #listener: DialListener;
  #socket: HttpSocket | undefined;

  constructor(
    readonly origin: Origin,
    /** When it began, on the clock's scale. */
    readonly startedAt: number,
    listener: DialListener,
  ) {
    super();
    this.#listener = listener;
  }

  /** Begins; nothing is heard before this returns. */
  start(connect: buildConnector.connector): void {
    const { protocol, hostname, port, servername } = this.origin;
    const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
    try {
      // undici's connector returns the socket, though its types don't say so: it is what makes a dial cancellable.
      this.#socket = connect({ protocol, hostname: bare, port, servername }, (error, socket) => {
        if (error !== null) this.#listener.failed(error);
        else this.#listener.connected(socket as HttpSocket);
      }) as unknown as HttpSocket;
      this.#socket.once('close', () => this.#listener.gone());
    } catch (error) {
      queueMicrotask(() => {
        this.#listener.failed(error as Error);
        this.#listener.gone();
      });
    }
  }

  /** Gives the attempt up and closes its socket. */
  cancel(): void {
    this.#socket?.destroy();
  }

  override expire(): void {
    this.#listener.late();
  }
}
