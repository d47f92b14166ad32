import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { selfSignedCertificate } from '#test/support/self-signed-certificate.js';
import { HttpClient } from './http-client.js';
import type { HttpClientOptions } from './options.js';
import { UNDICI_MAJOR } from './undici.js';

const { key, certificate: cert } = selfSignedCertificate();

/** A request as the server sees it. */
interface Asked {
  readonly method: string;
  readonly path: string;
  readonly stream: ServerHttp2Stream;
  readonly session: ServerHttp2Session;
  answer(): void;
}

/** A real HTTP/2 server whose streams are in the test's hands. */
class StreamServer implements AsyncDisposable {
  readonly asked: Asked[] = [];
  readonly sessions = new Set<ServerHttp2Session>();
  /** The most streams open at once in one session. */
  peakStreams = 0;
  readonly #server: Http2SecureServer;

  private constructor(maxConcurrentStreams: number | undefined, handler: (asked: Asked, server: StreamServer) => void) {
    this.#server = createSecureServer({
      key,
      cert,
      ...(maxConcurrentStreams === undefined ? {} : { settings: { maxConcurrentStreams } }),
    });
    this.#server.on('sessionError', () => {});
    this.#server.on('session', (session) => {
      this.sessions.add(session);
      let open = 0;
      session.on('stream', (stream, headers) => {
        this.peakStreams = Math.max(this.peakStreams, ++open);
        stream.on('error', () => {});
        stream.once('close', () => open--);
        stream.resume();
        const path = String(headers[':path']);
        const answer = (): void => {
          if (stream.destroyed) return;
          stream.respond({ ':status': 200 });
          stream.end(path);
        };
        const asked = { method: String(headers[':method']), path, stream, session, answer };
        this.asked.push(asked);
        handler(asked, this);
      });
    });
  }

  static async listen(
    handler: (asked: Asked, server: StreamServer) => void,
    maxConcurrentStreams?: number,
  ): Promise<StreamServer> {
    const server = new StreamServer(maxConcurrentStreams, handler);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `https://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How often each path came. */
  get times(): Record<string, number> {
    const times: Record<string, number> = {};
    for (const { path } of this.asked) times[path] = (times[path] ?? 0) + 1;
    return times;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions) session.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function clientOf(server: StreamServer, options: HttpClientOptions = {}): HttpClient {
  return new HttpClient('h2', { baseUrl: server.url, http2: true, tls: { ca: cert }, ...options });
}

describe('HTTP/2', () => {
  it.each(['GET', 'POST'] as const)(
    'keeps to the streams that the server allows, from the first on: %s',
    async (method) => {
      await using server = await StreamServer.listen(({ answer }) => setTimeout(answer, 5), 4);
      await using client = clientOf(server, { limitPerHost: 1, retry: false });
      const paths = Array.from({ length: 40 }, (_, at) => `/${at}`);
      const answers = await Promise.all(paths.map(async (path) => (await client.request(path, { method })).text()));
      expect(answers).toEqual(paths);
      expect(server.peakStreams).toBe(4);
      expect(server.sessions.size).toBe(1);
      expect(client.statistics()).toMatchObject({ retries: 0, replays: 0, inUse: 0, waiting: 0 });
    },
  );

  it('opens more connections for what the streams of one don’t hold', async () => {
    await using server = await StreamServer.listen(({ answer }) => setTimeout(answer, 20), 4);
    await using client = clientOf(server, { retry: false, limitPerHost: 5 });
    await Promise.all(Array.from({ length: 40 }, (_, at) => client.get(`/${at}`).text()));
    expect(server.peakStreams).toBe(4);
    expect(server.sessions.size).toBeLessThanOrEqual(5);
    expect(server.asked).toHaveLength(40);
  });

  it('follows the server when it allows fewer or more streams later', async () => {
    await using server = await StreamServer.listen(({ answer }) => setTimeout(answer, 5), 8);
    await using client = clientOf(server, { limitPerHost: 1, retry: false });
    const burst = (): Promise<unknown> =>
      Promise.all(Array.from({ length: 24 }, (_, at) => client.get(`/${at}`).text()));
    await burst();
    expect(server.peakStreams).toBe(8);
    const [session] = server.sessions;
    for (const maxConcurrentStreams of [2, 6]) {
      await new Promise<void>((resolve) => session?.settings({ maxConcurrentStreams }, () => resolve()));
      server.peakStreams = 0;
      await burst();
      expect(server.peakStreams).toBe(maxConcurrentStreams);
    }
  });

  it.each(['GET', 'POST', 'PATCH'] as const)('sends a refused stream again, unseen: %s', async (method) => {
    const refused = new Set<string>();
    await using server = await StreamServer.listen(({ path, stream, answer }) => {
      if (refused.has(path)) return answer();
      refused.add(path);
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
    });
    await using client = clientOf(server, { retry: { budget: 0 } });
    const paths = Array.from({ length: 8 }, (_, at) => `/${at}`);
    const body = method === 'GET' ? null : 'body';
    const answers = await Promise.all(paths.map(async (path) => (await client.request(path, { method, body })).text()));
    expect(answers).toEqual(paths);
    expect(Object.values(server.times)).toEqual(paths.map(() => 2));
    // undici 8 sends it once more by itself.
    expect(client.statistics()).toMatchObject({ retries: 0, replays: UNDICI_MAJOR < 8 ? 8 : 0, inUse: 0, waiting: 0 });
  });

  it('gives up when a server refuses for ever', async () => {
    await using server = await StreamServer.listen(({ stream }) => stream.close(constants.NGHTTP2_REFUSED_STREAM));
    await using client = clientOf(server, { retry: false });
    await expect(client.post('/', { body: 'x' })).rejects.toMatchObject({ code: 'ERR_HTTP2_STREAM_ERROR' });
    // undici 8 sends each of ours once more by itself.
    expect(server.asked.length).toBeLessThanOrEqual(UNDICI_MAJOR < 8 ? 12 : 24);
    expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0 });
  });

  it('sends a refused stream body again only while nothing of it was read', async () => {
    await using server = await StreamServer.listen(({ stream }) => {
      stream.once('data', () => stream.close(constants.NGHTTP2_REFUSED_STREAM));
    });
    await using client = clientOf(server, { retry: false });
    async function* parts(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('part');
      await new Promise(() => {});
    }
    await expect(client.post('/', { body: parts() })).rejects.toMatchObject({ code: 'ERR_HTTP2_STREAM_ERROR' });
    expect(server.asked).toHaveLength(1);
  });

  it.each([
    ['gracefully', constants.NGHTTP2_NO_ERROR],
    ['in trouble', constants.NGHTTP2_ENHANCE_YOUR_CALM],
  ])('sends again what a server that leaves %s has not processed, POST too', async (_how, code) => {
    await using server = await StreamServer.listen(({ session, answer }, { asked, sessions }) => {
      if (session !== [...sessions][0]) return answer();
      // The first session takes its first stream, and leaves when all have come.
      if (asked.length === 6) session.goaway(code, asked[0]?.stream.id ?? 0);
    });
    await using client = clientOf(server, { retry: { budget: 0, attempts: 0 } });
    const first = client.post('/processed').text();
    first.catch(() => {});
    await vi.waitFor(() => expect(server.asked).toHaveLength(1));
    const paths = Array.from({ length: 5 }, (_, at) => `/${at}`);
    const others = paths.map((path) => client.post(path, { body: 'x' }).text());
    expect(await Promise.all(others)).toEqual(paths);
    if (code === constants.NGHTTP2_NO_ERROR) {
      server.asked[0]?.answer();
      expect(await first).toBe('/processed');
    } else {
      await expect(first).rejects.toBeInstanceOf(Error);
    }
    expect(server.times).toMatchObject({ '/processed': 1, '/0': 2, '/4': 2 });
    expect(client.statistics()).toMatchObject({ retries: 0, waiting: 0 });
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ inUse: 0 }));
  });

  it('lets streams under way end when a server leaves, and begins none on that connection', async () => {
    let left = false;
    await using server = await StreamServer.listen(({ session, stream, path, answer }, { asked, sessions }) => {
      if (session !== [...sessions][0]) return answer();
      stream.respond({ ':status': 200 });
      stream.write('begun ');
      if (asked.length === 3) {
        session.once('goaway', () => (left = true));
        session.goaway(constants.NGHTTP2_NO_ERROR, stream.id);
      }
      setTimeout(() => stream.end(path), 100);
    });
    await using client = clientOf(server, { retry: false });
    const before = await Promise.all([
      client.stream('/a'),
      client.stream('/b'),
      client.stream('/c', { method: 'POST' }),
    ]);
    // The client answers the server's GOAWAY with its own.
    await vi.waitFor(() => expect(left).toBe(true));
    const texts = before.map(async ({ body }) => Buffer.concat(await body.toArray()).toString());
    expect(await client.get('/d').text()).toBe('/d');
    expect(await Promise.all(texts)).toEqual(['begun /a', 'begun /b', 'begun /c']);
    expect(server.times).toEqual({ '/a': 1, '/b': 1, '/c': 1, '/d': 1 });
    expect(server.sessions.size).toBe(2);
  });

  it('serves nothing twice that isn’t idempotent when a session breaks', async () => {
    await using server = await StreamServer.listen(({ session, answer }, { asked, sessions }) => {
      if (session !== [...sessions][0]) return answer();
      if (asked.length === 4) session.destroy();
    });
    await using client = clientOf(server);
    const posts = ['/p1', '/p2'].map((path) => client.post(path, { body: 'x' }).text());
    const gets = ['/g1', '/g2'].map((path) => client.get(path).text());
    const outcomes = await Promise.allSettled([...posts, ...gets]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled']);
    expect(server.times).toEqual({ '/p1': 1, '/p2': 1, '/g1': 2, '/g2': 2 });
  });
});

describe('an answer that a session ends in the middle of', () => {
  it.each(['get', 'stream', 'fetch'] as const)('is never taken for complete: %s', async (way) => {
    await using server = await StreamServer.listen(({ stream, session }) => {
      stream.respond({ ':status': 200, 'content-length': '10' });
      stream.write('abc');
      setTimeout(() => session.destroy(), 10);
    });
    await using client = new HttpClient('cut', { http2: true, tls: { ca: cert }, retry: false });
    const read = {
      get: () => client.get(server.url).text(),
      stream: async () => Buffer.concat(await (await client.stream(server.url)).body.toArray()).toString(),
      fetch: async () => (await client.fetch(server.url)).text(),
    };
    const outcomes = await Promise.allSettled(Array.from({ length: 30 }, () => read[way]()));
    expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: 30 }, () => 'rejected'));
    expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0 });
  });
});
