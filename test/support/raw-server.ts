import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A request as it came over the wire. */
export interface RawRequest {
  readonly method: string;
  readonly path: string;
  /** Names in lower case; of several lines the last. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** Answers a request with whatever bytes it likes, or with none. */
export type RawHandler = (request: RawRequest, socket: Socket) => void;

const HEAD_END = Buffer.from('\r\n\r\n');

/** A server that speaks HTTP/1 byte by byte: what it sends, no HTTP library would let it send. */
export class RawServer implements AsyncDisposable {
  readonly #server: Server;
  readonly sockets = new Set<Socket>();
  /** Sockets accepted so far. */
  accepted = 0;
  requests = 0;
  handler: RawHandler;

  private constructor(handler: RawHandler) {
    this.handler = handler;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async listen(handler: RawHandler, host = '127.0.0.1'): Promise<RawServer> {
    const server = new RawServer(handler);
    await new Promise<void>((resolve) => server.#server.listen(0, host, resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #serve(socket: Socket): void {
    this.accepted++;
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.sockets.delete(socket));
    let pending: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      for (let parsed = parse(pending); parsed !== undefined; parsed = parse(pending)) {
        pending = pending.subarray(parsed.length);
        this.requests++;
        this.handler(parsed.request, socket);
      }
    });
  }
}

/** An answer's head and body as bytes. */
export function rawAnswer(head: readonly string[], body: Buffer | string = ''): Buffer {
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body as string)]);
}

/** A body in chunks of a transfer coding. */
export function chunked(body: Buffer, size = 1_000): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size);
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}

/** The first complete request of these bytes. */
function parse(bytes: Buffer): { readonly request: RawRequest; readonly length: number } | undefined {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const [method = '', path = ''] = first.split(' ');
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const start = end + HEAD_END.length;
  const body = bodyOf(bytes, start, headers);
  if (body === undefined) return undefined;
  return { request: { method, path, headers, body: body.bytes }, length: body.end };
}

function bodyOf(
  bytes: Buffer,
  start: number,
  headers: ReadonlyMap<string, string>,
): { readonly bytes: Buffer; readonly end: number } | undefined {
  if (headers.get('transfer-encoding') === 'chunked') return chunksOf(bytes, start);
  const end = start + Number(headers.get('content-length') ?? 0);
  return bytes.length < end ? undefined : { bytes: bytes.subarray(start, end), end };
}

function chunksOf(bytes: Buffer, start: number): { readonly bytes: Buffer; readonly end: number } | undefined {
  const chunks: Buffer[] = [];
  for (let at = start; ;) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16);
    const from = line + 2;
    if (bytes.length < from + size + 2) return undefined;
    if (size === 0) return { bytes: Buffer.concat(chunks), end: from + 2 };
    chunks.push(bytes.subarray(from, from + size));
    at = from + size + 2;
  }
}
