import { Socket } from 'node:net';

/** Counts the sockets of pools that are made with `connection: { stream: sockets.make }`. */
export class TrackedSockets {
  readonly #open = new Set<Socket>();

  /** Sockets that aren't closed: also those whose end the network never tells. */
  get open(): number {
    return this.#open.size;
  }

  /** Lets no answer through until {@link resume}, however soon the server gives it. */
  pause(): void {
    for (const socket of this.#open) socket.pause();
  }

  resume(): void {
    for (const socket of this.#open) socket.resume();
  }

  readonly make = (): Socket => {
    const socket = new Socket();
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    return socket;
  };
}
