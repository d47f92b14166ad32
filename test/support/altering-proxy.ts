import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { MessageCutter, type ServerMessage } from './server-messages.js';

/** What a client gets instead of a server's message. */
export interface Alteration {
  /** What is sent at once. */
  readonly send: readonly Buffer[];
  /** What is sent behind the next message. */
  readonly later?: Buffer;
  /** What follows is held back for so long, in milliseconds; `Infinity`: for ever. */
  readonly pauseMs?: number;
  /** Whether the connection ends here. */
  readonly cut?: boolean;
}

/** Stands before a PostgreSQL server and passes its messages on, some of them altered. */
export class AlteringProxy implements AsyncDisposable {
  /** Asked for each message; `undefined`: it goes through as it is. */
  alter: (message: ServerMessage) => Alteration | undefined = () => undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #clients = new Set<Socket>();

  private constructor(serverPort: number) {
    this.#server = createServer((client) => this.#pass(client, connect(serverPort, '127.0.0.1')));
  }

  static async before(serverPort: number): Promise<AlteringProxy> {
    const proxy = new AlteringProxy(serverPort);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Says something that the server hasn't said, to every client. */
  say(bytes: Buffer): void {
    for (const client of this.#clients) client.write(bytes);
  }

  #pass(client: Socket, upstream: Socket): void {
    const messages = new MessageCutter();
    let silent = false;
    let later: Buffer | undefined;
    let queue: Promise<void> = Promise.resolve();
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => socket.destroy());
      socket.once('close', () => this.#sockets.delete(socket));
    }
    this.#clients.add(client);
    client.on('data', (bytes) => upstream.write(bytes));
    client.once('close', () => {
      this.#clients.delete(client);
      upstream.destroy();
    });
    upstream.once('close', () => {
      if (!silent) void queue.then(() => client.end());
    });
    const send = (message: ServerMessage): Promise<void> | undefined => {
      if (silent || client.destroyed) return undefined;
      const alteration = this.alter(message);
      const held = later;
      later = alteration?.later;
      for (const bytes of alteration?.send ?? [message.bytes]) client.write(bytes);
      if (held !== undefined) client.write(held);
      if (alteration?.cut === true) client.destroy();
      if (alteration?.pauseMs === undefined) return undefined;
      silent = alteration.pauseMs === Infinity;
      return silent ? undefined : pause(alteration.pauseMs);
    };
    upstream.on('data', (bytes) => {
      const whole = messages.cut(bytes);
      queue = queue.then(async () => {
        client.cork();
        for (const message of whole) {
          const pausing = send(message);
          if (pausing === undefined) continue;
          client.uncork();
          await pausing;
          client.cork();
        }
        client.uncork();
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
