import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** A real HTTP server on the loopback that counts what it sees. */
export class CountingServer implements AsyncDisposable {
  readonly #server: Server;
  readonly sockets = new Set<Socket>();
  /** Sockets accepted so far. */
  accepted = 0;
  /** The most sockets open at once. */
  peakSockets = 0;
  /** Requests under way. */
  running = 0;
  /** The most requests under way at once. */
  peakRunning = 0;
  requests = 0;
  handler: RequestListener;

  private constructor(handler: RequestListener) {
    this.handler = handler;
    this.#server = createServer((request, response) => this.#serve(request, response));
    // Longer than any test takes: no socket is lost because the machine was busy.
    this.#server.keepAliveTimeout = 120_000;
    this.#server.on('connection', (socket) => {
      this.accepted++;
      this.sockets.add(socket);
      this.peakSockets = Math.max(this.peakSockets, this.sockets.size);
      socket.on('error', () => {});
      socket.once('close', () => this.sockets.delete(socket));
    });
  }

  static async listen(handler: RequestListener, port = 0, host = '127.0.0.1'): Promise<CountingServer> {
    const server = new CountingServer(handler);
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', reject);
      server.#server.listen(port, host, resolve);
    });
    return server;
  }

  get server(): Server {
    return this.#server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://${(this.#server.address() as AddressInfo).address}:${this.port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    this.requests++;
    this.running++;
    this.peakRunning = Math.max(this.peakRunning, this.running);
    response.once('close', () => this.running--);
    this.handler(request, response);
  }
}

/** Answers with JSON. */
export function answerJson(response: ServerResponse, value: unknown, statusCode = 200): void {
  response.writeHead(statusCode, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

/** The body of a request, complete. */
export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A port of the loopback that refuses connections. */
export async function refusedPort(): Promise<number> {
  const server = await CountingServer.listen(() => {});
  const { port } = server;
  await server.close();
  return port;
}

/** Answers with what it was asked. */
export function echo(): Promise<CountingServer> {
  return CountingServer.listen((request, response) => {
    void bodyOf(request).then((body) =>
      answerJson(response, {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: body.toString(),
      }),
    );
  });
}
