import { Socket } from 'node:net';

/** Counts the sockets of pools that are made with `connection: { stream: sockets.make }`. */
export class TrackedSockets {
  readonly #open = new Set<Socket>();

  /** Sockets that aren't closed: also those whose end the network never tells. */
  get open(): number {
    return this.#open.size;
  }

  readonly make = (): Socket => {
    const socket = new Socket();
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    return socket;
  };
}
