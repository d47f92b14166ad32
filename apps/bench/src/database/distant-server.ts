import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** How finely delays are kept, in milliseconds: Node's timers know whole ones only. */
const GRAIN_MS = 0.05;

/** Bytes that are on their way. */
interface Parcel {
  readonly due: number;
  readonly bytes: Buffer;
  readonly to: Socket;
}

/** A way to a server of this machine on which a round trip takes longer: what lies between two machines. */
export class DistantServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #oneWayMs: number;
  readonly #sockets = new Set<Socket>();
  readonly #underway: Parcel[] = [];
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  #delivering = false;

  private constructor(serverPort: number, roundTripMs: number) {
    this.#oneWayMs = roundTripMs / 2;
    this.#server = createServer((client) => this.#pass(client, connect(serverPort, '127.0.0.1')));
  }

  static async before(serverPort: number, roundTripMs: number): Promise<DistantServer> {
    const distant = new DistantServer(serverPort, roundTripMs);
    distant.#server.listen(0, '127.0.0.1');
    await once(distant.#server, 'listening');
    return distant;
  }

  /** A URL of the server, by way of here. */
  urlOf(serverUrl: string): string {
    const url = new URL(serverUrl);
    url.port = String((this.#server.address() as AddressInfo).port);
    return url.href;
  }

  #pass(client: Socket, server: Socket): void {
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on('data', (bytes: Buffer) => this.#send(bytes, to));
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }

  #send(bytes: Buffer, to: Socket): void {
    // All are as long on their way: the first to leave is the first to arrive.
    this.#underway.push({ due: performance.now() + this.#oneWayMs, bytes, to });
    if (this.#delivering) return;
    this.#delivering = true;
    setImmediate(this.#deliver);
  }

  readonly #deliver = (): void => {
    const now = performance.now();
    let arrived = 0;
    for (const { due, bytes, to } of this.#underway) {
      if (due > now) break;
      arrived++;
      if (!to.destroyed) to.write(bytes);
    }
    this.#underway.splice(0, arrived);
    const [next] = this.#underway;
    if (next === undefined) {
      this.#delivering = false;
      return;
    }
    if (next.due - now > GRAIN_MS) Atomics.wait(this.#sleeper, 0, 0, GRAIN_MS);
    setImmediate(this.#deliver);
  };

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
