import type { Socket } from 'node:net';

/** Errors of a connection that failed or broke, as opposed to a wrong request or a wrong answer. */
const TRANSIENT: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ENETDOWN',
  'ENETUNREACH',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'UND_ERR_SOCKET',
  // undici's code when the server ends an HTTP/2 session during an exchange.
  'UND_ERR_INFO',
  'ERR_HTTP2_GOAWAY_SESSION',
  'ERR_HTTP2_STREAM_ERROR',
]);

/** Errors whose message doesn't name the connection. */
const NAMELESS =
  /^(?:HPE_|HTTPParserError$|ERR_HTTP2_|ERR_SSL_|UND_ERR_SOCKET$|UND_ERR_INFO$|UND_ERR_RES_|UND_ERR_HEADERS_|ECONNRESET$|EPIPE$|ETIMEDOUT$)/;

const named = new WeakSet<Error>();
const brokenOff = new WeakSet<Error>();

/** Whether an error's code says that the connection failed or broke. */
export function hasTransientCode(error: unknown): boolean {
  return error instanceof Error && TRANSIENT.has(String((error as { code?: unknown }).code));
}

/** Adds the client and the origin to an error's message: `other side closed` alone helps nobody. */
export function nameConnectionError(error: Error, client: string, origin: string): void {
  if (named.has(error)) return;
  named.add(error);
  // Node's error when none of a host's addresses could be reached has no message.
  if (error.message === '' && error instanceof AggregateError) {
    error.message = [...new Set((error.errors as unknown[]).map(messageOf))].join('; ');
  }
  const code = (error as { code?: string }).code ?? error.name;
  if (error.message === '' || NAMELESS.test(code)) {
    error.message = `${error.message || code} (${client}, ${origin})`;
  }
}

/** Marks an error: its connection ended during an answer. */
export function markBrokenOff(error: Error): void {
  brokenOff.add(error);
}

/** Whether the other side or the network has ended a connection. */
export function endedByPeer(socket: Socket): boolean {
  return socket.readableEnded || hasTransientCode(socket.errored);
}

/** Whether {@link markBrokenOff} has marked an error. */
export function isBrokenOff(error: unknown): boolean {
  return error instanceof Error && brokenOff.has(error);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
