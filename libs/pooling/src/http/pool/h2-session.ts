import type { ClientHttp2Session, ClientHttp2Stream, Settings } from 'node:http2';
import { Duplex } from 'node:stream';
import type { HttpSocket } from './socket.js';
import { UNDICI_MAJOR } from '../undici.js';

/** Hears what the server says about a session. */
export interface SessionListener {
  /** How many streams it takes at once, now. */
  allows(streams: number): void;
  /** It takes no more streams, and has processed none above this one. undici hasn't heard of it yet. */
  leaves(lastStreamId: number): void;
  /** undici has heard of it as well. */
  left(): void;
}

/**
 * Hears what the server says about the session that undici's client has just made on a socket; `undefined` when it can't
 * be found. undici keeps it under a symbol of its own on the socket.
 */
export function watchSession(socket: HttpSocket, listener: SessionListener): ClientHttp2Session | undefined {
  const session = Object.getOwnPropertySymbols(socket)
    .map((symbol) => (socket as unknown as Record<symbol, unknown>)[symbol])
    .find(isSession);
  if (session === undefined) return undefined;
  refuseQuietly(session);
  session.on('remoteSettings', ({ maxConcurrentStreams }: Settings) => {
    listener.allows(maxConcurrentStreams ?? Infinity);
  });
  // undici 7 (7.30) destroys the socket when the server says that it leaves, and the streams under way with it. Node
  // itself lets them end, and closes the session then; so does undici 8.
  if (UNDICI_MAJOR < 8) session.removeAllListeners('goaway');
  // First: undici 8 (8.13) fails, in its own listener, the requests that it can't send again itself.
  session.prependListener('goaway', (_code: number, lastStreamId: number) => listener.leaves(lastStreamId));
  session.on('goaway', () => listener.left());
  return session;
}

/**
 * Makes a session that takes no more streams report that on the stream. Node throws instead, and undici opens streams in
 * callbacks of others, where nobody would catch the error.
 */
function refuseQuietly(session: ClientHttp2Session): void {
  const request = session.request.bind(session);
  session.request = (headers, options) => {
    try {
      return request(headers, options);
    } catch (error) {
      return new RefusedStream(error as Error) as unknown as ClientHttp2Stream;
    }
  };
}

/** A stream that was refused: it ends with the reason once listeners can be attached. */
class RefusedStream extends Duplex {
  constructor(reason: Error) {
    super();
    process.nextTick(() => this.destroy(reason));
  }

  override _read(): void {}

  override _write(_chunk: unknown, _encoding: BufferEncoding, done: () => void): void {
    done();
  }

  setTimeout(): this {
    return this;
  }

  close(): void {
    this.destroy();
  }
}

function isSession(value: unknown): value is ClientHttp2Session {
  if (typeof value !== 'object' || value === null) return false;
  const { request, settings, goaway } = value as { request?: unknown; settings?: unknown; goaway?: unknown };
  return typeof request === 'function' && typeof settings === 'function' && typeof goaway === 'function';
}
