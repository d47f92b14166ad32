import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { brotliCompressSync, deflateRawSync, gzipSync } from 'node:zlib';
import { chunked, rawAnswer, RawServer, type RawRequest } from './raw-server.js';
import { selfSignedCertificate } from './self-signed-certificate.js';

export const STATUSES = [200, 201, 204, 206, 304, 404, 500] as const;
export const METHODS = ['GET', 'HEAD', 'POST', 'DELETE'] as const;
export const CODINGS = ['none', 'gzip', 'deflate', 'br', 'unheard-of'] as const;
/** How HTTP/1 says where an answer ends. */
export const FRAMINGS = ['length', 'chunked', 'close', 'length-close', 'http10', 'empty'] as const;
/** HTTP/2 says so itself; a length may still be announced. */
export const H2_FRAMINGS = ['length', 'none', 'empty'] as const;
export const WAYS = ['request', 'get', 'stream', 'fetch', 'dispatcher'] as const;

export interface Answer {
  readonly status: (typeof STATUSES)[number];
  readonly method: (typeof METHODS)[number];
  readonly framing: (typeof FRAMINGS)[number] | (typeof H2_FRAMINGS)[number];
  readonly coding: (typeof CODINGS)[number];
}

/** Every answer of a version. */
export function answersOf(framings: readonly Answer['framing'][]): Answer[] {
  return STATUSES.flatMap((status) =>
    METHODS.flatMap((method) =>
      framings.flatMap((framing) => CODINGS.map((coding): Answer => ({ status, method, framing, coding }))),
    ),
  );
}

/** The path that asks for an answer. */
export function pathOf({ status, framing, coding }: Answer): string {
  return `/${status}/${framing}/${coding}`;
}

const TEXT = Buffer.from('the body of an answer, '.repeat(60));

const encode: Readonly<Record<Answer['coding'], (body: Buffer) => Buffer>> = {
  none: (body) => body,
  gzip: gzipSync,
  // As many servers send it: without the wrapper that RFC 9110 asks for.
  deflate: deflateRawSync,
  br: brotliCompressSync,
  'unheard-of': (body) => body,
};
const encoded = new Map(CODINGS.map((coding) => [coding, encode[coding](TEXT)]));

/** What RFC 9110 says that the caller gets, with its codings undone or left. */
export function bodyOfAnswer({ status, method, framing, coding }: Answer, decoded: boolean): Buffer {
  if (method === 'HEAD' || status === 204 || status === 304 || framing === 'empty') return Buffer.alloc(0);
  return decoded ? TEXT : (encoded.get(coding) as Buffer);
}

function answerOf(method: string, path: string): Answer {
  const [, status, framing, coding] = path.split('/');
  return { status: Number(status), method, framing, coding } as unknown as Answer;
}

/** Speaks HTTP/1 as the paths ask for. */
export function matrixServer(): Promise<RawServer> {
  return RawServer.listen((request: RawRequest, socket: Socket) => {
    const answer = answerOf(request.method, request.path);
    const { status, framing, coding } = answer;
    const body = bodyOfAnswer(answer, false);
    const announced = framing === 'empty' ? 0 : (encoded.get(coding) as Buffer).length;
    const head = [`HTTP/${framing === 'http10' ? '1.0' : '1.1'} ${status} Some`];
    if (coding !== 'none') head.push(`Content-Encoding: ${coding}`);
    if (framing === 'chunked') head.push('Transfer-Encoding: chunked');
    else if (framing !== 'close') head.push(`Content-Length: ${announced}`);
    if (framing === 'close' || framing === 'length-close') head.push('Connection: close');
    socket.write(rawAnswer(head, framing === 'chunked' && body.length > 0 ? chunked(body, 300) : body));
    if (framing === 'close' || framing === 'length-close' || framing === 'http10') socket.end();
  });
}

/** Speaks HTTP/2 as the paths ask for. */
export async function matrixServer2(): Promise<{ server: Http2SecureServer; url: string; certificate: string }> {
  const { key, certificate } = selfSignedCertificate('localhost');
  const server = createSecureServer({ key, cert: certificate });
  server.on('sessionError', () => {});
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {});
    stream.resume();
    const answer = answerOf(String(headers[':method']), String(headers[':path']));
    const { status, framing, coding } = answer;
    const body = bodyOfAnswer(answer, false);
    const announced = framing === 'empty' ? 0 : (encoded.get(coding) as Buffer).length;
    const answered = {
      ':status': status,
      ...(coding === 'none' ? undefined : { 'content-encoding': coding }),
      // nghttp2, which is below Node's client, refuses a 204 with a length: RFC 9110 (8.6) forbids servers to send it.
      ...(framing === 'none' || status === 204 ? undefined : { 'content-length': announced }),
    };
    stream.respond(answered, { endStream: body.length === 0 });
    if (body.length > 0) stream.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `https://localhost:${(server.address() as AddressInfo).port}`, certificate };
}
