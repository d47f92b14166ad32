import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Answers come this much later, in milliseconds: whatever is sent without waiting for them is sent before. */
const ANSWER_DELAY_MS = 8;

/**
 * Stands before a PostgreSQL server and counts flights: how often a client has sent something after it had been answered.
 * What it sends without waiting for an answer is one flight, in however many pieces it comes.
 */
export class FlightCounter implements AsyncDisposable {
  /** Flights since {@link reset}, of all connections. */
  flights = 0;
  /** What was sent since then. */
  sent = '';
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(serverPort: number) {
    this.#server = createServer((client) => this.#pass(client, connect(serverPort, '127.0.0.1')));
  }

  static async before(serverPort: number): Promise<FlightCounter> {
    const counter = new FlightCounter(serverPort);
    counter.#server.listen(0, '127.0.0.1');
    await once(counter.#server, 'listening');
    return counter;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Counts from here on. */
  reset(): void {
    this.flights = 0;
    this.sent = '';
  }

  #pass(client: Socket, server: Socket): void {
    let waiting = false;
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      this.#sockets.add(socket);
    }
    client.on('data', (bytes: Buffer) => {
      if (!waiting) this.flights++;
      waiting = true;
      this.sent += bytes.toString('latin1');
      server.write(bytes);
    });
    server.on('data', (bytes: Buffer) => {
      setTimeout(() => {
        waiting = false;
        client.write(bytes);
      }, ANSWER_DELAY_MS);
    });
    client.on('close', () => server.destroy());
    server.on('close', () => setTimeout(() => client.destroy(), 2 * ANSWER_DELAY_MS));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
