import { constants, createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { SeededRandom } from '#test/support/random.js';
import { selfSignedCertificate } from '#test/support/self-signed-certificate.js';

/** A server of HTTP/2 that answers as it likes. */
export interface HostileStreams {
  readonly server: Http2SecureServer;
  readonly url: string;
  readonly certificate: string;
}

/** Listens; `fair` hears of every answer: its body, if it is as it should be. */
export async function hostileStreams(
  random: SeededRandom,
  fair: (nonce: string, body: Buffer | undefined) => void,
): Promise<HostileStreams> {
  const { key, certificate } = selfSignedCertificate('localhost');
  const server = createSecureServer({ key, cert: certificate });
  server.on('sessionError', () => {});
  server.on('session', (session) => session.on('error', () => {}));
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    stream.resume();
    const nonce = String(headers[':path']).split('/')[1] as string;
    fair(nonce, undefined);
    // Later: Node 20 doesn't stand it when a session is ended in its own callback.
    setImmediate(() => {
      if (!stream.destroyed) answer(stream, nonce, String(headers[':method']), random, fair);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `https://localhost:${(server.address() as AddressInfo).port}`, certificate };
}

function answer(
  stream: ServerHttp2Stream,
  nonce: string,
  method: string,
  random: SeededRandom,
  fair: (nonce: string, body: Buffer) => void,
): void {
  const body = Buffer.from(JSON.stringify({ nonce, filling: nonce.repeat(random.between(0, 200)) }));
  const right = { ':status': 200, 'x-nonce': nonce };
  random.pick<() => void>([
    [
      20,
      () => {
        fair(nonce, method === 'HEAD' ? Buffer.alloc(0) : body);
        stream.respond({ ...right, 'content-length': body.length }, { endStream: method === 'HEAD' });
        if (method !== 'HEAD') stream.end(body);
      },
    ],
    [3, () => stream.close(random.between(0, 13))],
    [
      3,
      () => {
        stream.respond(right);
        stream.write(body, () => stream.close(random.between(0, 13)));
      },
    ],
    // Ends before, or after, what it announces.
    [2, () => stream.respond({ ...right, 'content-length': 5_000 }, { endStream: true })],
    [
      2,
      () => {
        stream.respond({ ...right, 'content-length': 3 });
        stream.end(body);
      },
    ],
    [1, () => stream.session?.goaway(constants.NGHTTP2_NO_ERROR)],
    [1, () => stream.session?.destroy()],
    [1, () => stream.session?.destroy(undefined, random.between(0, 13))],
    [1, () => {}],
    [
      1,
      () => {
        stream.respond(right);
        stream.write('stalls');
      },
    ],
    [
      2,
      () => {
        stream.additionalHeaders({ ':status': 103, link: '</x>' });
        stream.respond({ ...right, 'content-encoding': 'constructor, gzip' });
        stream.end(body);
      },
    ],
    [2, () => stream.respond({ ...right, ':status': random.between(200, 599) }, { endStream: true })],
  ])();
}
