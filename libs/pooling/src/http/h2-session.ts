import type { ClientHttp2Session, Settings } from 'node:http2';
import type { HttpSocket } from './connection.js';
import { UNDICI_MAJOR } from './undici.js';

/** What the server says about a session. */
export interface SessionListener {
  /** How many streams it takes at once, now. */
  allows(streams: number): void;
  /** It takes no more streams, and has processed none above this one. */
  leaves(lastStreamId: number): void;
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
  session.on('remoteSettings', ({ maxConcurrentStreams }: Settings) => {
    listener.allows(maxConcurrentStreams ?? Infinity);
  });
  // undici 7 (7.30) destroys the socket when the server says that it leaves, and the streams under way with it. Node
  // itself lets them end, and closes the session then; so does undici 8.
  if (UNDICI_MAJOR < 8) session.removeAllListeners('goaway');
  session.on('goaway', (_code: number, lastStreamId: number) => listener.leaves(lastStreamId));
  return session;
}

function isSession(value: unknown): value is ClientHttp2Session {
  if (typeof value !== 'object' || value === null) return false;
  const { request, settings, goaway } = value as { request?: unknown; settings?: unknown; goaway?: unknown };
  return typeof request === 'function' && typeof settings === 'function' && typeof goaway === 'function';
}
