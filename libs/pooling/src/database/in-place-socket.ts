import { Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net';

/** As much as Node itself reads at once. */
const READ_BYTES = 65_536;

/** All sockets share it: what a read has brought is used up before the next one. */
let received: Buffer | undefined;

/** Reads what a {@link InPlaceSocket} has received, where it is. */
export interface InPlaceReader {
  /** Whether what comes now is for this reader, and for nobody who would keep it. */
  readonly readsInPlace: boolean;
  /** Reads bytes that the next read of any socket overwrites. */
  readInPlace(bytes: Buffer): void;
}

/** Called by Node as a method of the socket. */
function onRead(this: InPlaceSocket, length: number, buffer: Uint8Array): boolean {
  return this.receive((buffer as Buffer).subarray(0, length));
}

/**
 * A socket whose bytes are read where the system has put them. Node makes a buffer for each read, copies into it and leaves it to
 * the collector: measured, a tenth of the CPU time of a short round trip. Bytes that its reader doesn't want go the way of
 * every socket: as `data`, in a buffer of their own.
 *
 * Without TLS only: with it, Node reads by itself what the socket brings.
 */
export class InPlaceSocket extends Socket {
  /** Who reads in place. */
  reader: InPlaceReader | undefined = undefined;

  constructor() {
    received ??= Buffer.allocUnsafeSlow(READ_BYTES);
    // Node takes it here as in `connect`; its types don't say so.
    super({ onread: { buffer: received, callback: onRead } } as { onread: OnReadOpts } as SocketConstructorOpts);
  }

  /** @internal Something has come. Returns whether to go on reading. */
  receive(bytes: Buffer): boolean {
    const { reader } = this;
    if (reader === undefined || !reader.readsInPlace || !this.#flows) return this.push(Buffer.from(bytes));
    reader.readInPlace(bytes);
    return true;
  }

  /** Whether nothing waits to be read, and nobody else listens. */
  get #flows(): boolean {
    return this.readableFlowing === true && this.readableLength === 0 && this.listenerCount('data') === 1;
  }
}
