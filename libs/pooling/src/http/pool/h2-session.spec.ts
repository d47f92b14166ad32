import { createSecureServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { selfSignedCertificate } from '#test/support/self-signed-certificate.js';
import { HttpClient } from '../http-client.js';

describe('a session of HTTP/2 that the server leaves', () => {
  it('refuses what waits for it quietly: it goes over another one, and nothing escapes', async () => {
    const uncaught: unknown[] = [];
    const note = (error: unknown): void => void uncaught.push(error);
    process.on('uncaughtException', note);
    const { key, certificate } = selfSignedCertificate('localhost');
    const server = createSecureServer({ key, cert: certificate });
    const slow: ServerHttp2Stream[] = [];
    let sessions = 0;
    server.on('session', () => sessions++);
    server.on('stream', (stream, headers) => {
      stream.resume();
      // undici 8 resets the stream that is refused: the server hears of it as an error.
      stream.on('error', () => {});
      if (headers[':path'] === '/slow') slow.push(stream);
      else stream.respond({ ':status': 200 }, { endStream: true });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://localhost:${(server.address() as AddressInfo).port}`;
    const client = new HttpClient('left', { http2: true, tls: { ca: certificate }, retry: false });
    await client.get(url);
    const first = client.get(`${url}/slow`);
    await vi.waitFor(() => expect(slow).toHaveLength(1));
    // undici holds a streamed body back while another stream is under way.
    const held = client.put(url, {
      body: async function* () {
        yield Buffer.from('held');
      },
    });
    await new Promise((resolve) => setImmediate(resolve));
    const [stream] = slow as [ServerHttp2Stream];
    stream.session?.goaway(0, stream.id as number);
    stream.respond({ ':status': 200 }, { endStream: true });
    expect((await first).statusCode).toBe(200);
    expect((await held).statusCode).toBe(200);
    expect(sessions).toBe(2);
    expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0 });
    await client.close();
    server.close();
    process.off('uncaughtException', note);
    expect(uncaught).toEqual([]);
  });
});
