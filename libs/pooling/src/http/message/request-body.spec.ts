import { createReadStream } from 'node:fs';
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { CountingServer, bodyOf, refusedPort } from '#test/support/http-server.js';
import { selfSignedCertificate } from '#test/support/self-signed-certificate.js';
import { HttpClient } from '../http-client.js';
import type { HttpBody } from './request.js';

/** A stream that never ends by itself, and counts how often it was destroyed. */
class Endless extends Readable {
  destructions = 0;

  override _read(): void {
    setImmediate(() => this.push('more'));
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.destructions++;
    done(error);
  }
}

/** A client whose only place is taken, so that the next request waits. */
async function occupied(): Promise<{ client: HttpClient; server: CountingServer; url: string }> {
  const server = await CountingServer.listen(() => {});
  const client = new HttpClient('occupied', { limit: 1, timeouts: { totalMs: 0, readMs: 0 } });
  client.get(server.url).catch(() => {});
  await vi.waitFor(() => expect(server.requests).toBe(1));
  return { client, server, url: server.url };
}

describe('the body of a request', () => {
  const uncaught: unknown[] = [];
  const note = (error: unknown): void => void uncaught.push(error);
  beforeEach(() => {
    uncaught.length = 0;
    process.on('uncaughtException', note);
  });
  afterEach(async () => {
    await new Promise((resolve) => setImmediate(resolve));
    process.off('uncaughtException', note);
    expect(uncaught).toEqual([]);
  });

  it('that fails while the request waits in the queue rejects the request, which leaves the queue', async () => {
    const { client, server, url } = await occupied();
    await expect(client.post(url, { body: createReadStream('/nope') })).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(client.stream(url, { method: 'PUT', body: createReadStream('/nope') })).rejects.toMatchObject({
      code: 'ENOENT',
    });
    const dispatched = new Promise<Error>((resolve) => {
      client.dispatcher.dispatch(
        { origin: url, path: '/', method: 'POST', body: createReadStream('/nope') },
        { onRequestStart: () => {}, onResponseError: (_controller, error) => resolve(error) },
      );
    });
    expect(await dispatched).toMatchObject({ code: 'ENOENT' });
    expect(client.statistics()).toMatchObject({ waiting: 0, inUse: 1 });
    await client.close({ deadlineMs: 0 });
    await server.close();
  });

  it('that fails while the socket is being opened rejects the request, and the dial serves the next', async () => {
    await using server = await CountingServer.listen((_request, response) => response.end('ok'));
    await using client = new HttpClient(
      'dialling',
      { limit: 1 },
      {
        resolve: (_hostname, _options, callback) =>
          void setImmediate(async () => {
            await failing.catch(() => undefined);
            callback(null, [{ address: '127.0.0.1', family: 4 }]);
          }),
      },
    );
    const failing = client.post(`http://localhost:${server.port}/`, { body: createReadStream('/nope') });
    const next = client.get(`http://localhost:${server.port}/`).text();
    await expect(failing).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await next).toBe('ok');
    expect(server.accepted).toBe(1);
  });

  it('that has failed before it is handed over rejects the request', async () => {
    const { client, server, url } = await occupied();
    const body = new Readable({ read() {} });
    body.on('error', () => {});
    body.destroy(new Error('failed before'));
    await new Promise((resolve) => setImmediate(resolve));
    await expect(client.post(url, { body })).rejects.toThrow('failed before');
    await client.close({ deadlineMs: 0 });
    await server.close();
  });

  it.each<[string, (body: Endless) => Promise<unknown>]>([
    ['refused options', (body) => using({}, (client, url) => client.post(url, { body, retry: { attempts: -1 } }))],
    ['a URL that is none', (body) => using({}, (client) => client.post('nonsense', { body }))],
    [
      'a refused dial',
      async (body) => using({}, async (client) => client.put(`http://127.0.0.1:${await refusedPort()}/`, { body })),
    ],
    [
      'an aborted signal',
      (body) => using({}, (client, url) => client.post(url, { body, signal: AbortSignal.abort() })),
    ],
    [
      'a full queue',
      (body) =>
        using({ limit: 1, maxWaiting: 0 }, (client, url) => {
          client.get(url).catch(() => {});
          return client.post(url, { body });
        }),
    ],
    ['a time-out', (body) => using({}, (client, url) => client.post(url, { body, timeouts: { totalMs: 30 } }))],
    [
      'a closed client',
      (body) =>
        using({}, async (client, url) => {
          await client.close();
          return client.post(url, { body });
        }),
    ],
    ['an answer before its end', (body) => using({}, (client, url) => client.post(`${url}/early`, { body }))],
    ['a socket that breaks', (body) => using({}, (client, url) => client.post(`${url}/break`, { body }))],
    [
      'a redirect that drops it',
      (body) => using({ redirect: true }, (client, url) => client.post(`${url}/see-other`, { body })),
    ],
  ])('is destroyed once after %s', async (_outcome, request) => {
    const body = new Endless();
    await request(body).catch(() => {});
    await vi.waitFor(() => expect(body.destructions).toBe(1));
    body.emit('error', new Error('late'));
  });

  async function using(
    options: ConstructorParameters<typeof HttpClient>[1],
    use: (client: HttpClient, url: string) => Promise<unknown>,
  ): Promise<void> {
    await using server = await CountingServer.listen((request, response) => {
      if (request.url === '/early') response.end('enough');
      if (request.url === '/break') request.once('data', () => request.socket.destroy());
      if (request.url === '/see-other') response.writeHead(303, { location: '/early' }).end();
    });
    const client = new HttpClient('outcomes', { ...options, retry: false });
    try {
      await use(client, server.url);
    } finally {
      await client.close({ deadlineMs: 0 });
    }
  }

  it('made by a function is destroyed and made again with every attempt', async () => {
    await using server = await CountingServer.listen((request, response) => {
      request.once('data', () => (server.requests < 3 ? request.socket.destroy() : response.end('ok')));
    });
    await using client = new HttpClient('made', { retry: { attempts: 2 } }, { random: () => 0 });
    const made: Endless[] = [];
    const body = (): Endless => {
      made.push(new Endless());
      return made.at(-1) as Endless;
    };
    expect(await client.put(server.url, { body }).text()).toBe('ok');
    expect(made).toHaveLength(3);
    await vi.waitFor(() => expect(made.map(({ destructions }) => destructions)).toEqual([1, 1, 1]));
  });

  it('of every kind arrives whole', async () => {
    await using server = await CountingServer.listen((request, response) => {
      void bodyOf(request).then((body) => response.end(body));
    });
    await using client = new HttpClient('kinds');
    const text = 'some text of a body';
    const kinds: Record<string, () => HttpBody> = {
      'an async generator': async function* () {
        yield text.slice(0, 5);
        yield Buffer.from(text.slice(5));
      },
      'a web stream': () => new Blob([text]).stream() as unknown as AsyncIterable<Uint8Array>,
      'an array of bytes': () => [Buffer.from(text)],
      'a blob': () => new Blob([text]),
      'a stream': () => Readable.from([text]),
      text: () => text,
    };
    for (const [name, make] of Object.entries(kinds)) {
      expect([name, await client.post(server.url, { body: make }).text()]).toEqual([name, text]);
      expect([name, await client.post(server.url, { body: make() }).text()]).toEqual([name, text]);
    }
    const form = new FormData();
    form.set('field', text);
    expect(await client.post(server.url, { body: form }).text()).toContain(text);
  });

  it('that is an iterable or a web stream is told when it is given up', async () => {
    const { client, server, url } = await occupied();
    const aborting = new AbortController();
    let returned = 0;
    const iterable: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.resolve({ done: false, value: Buffer.from('x') }),
        return: () => {
          returned++;
          return Promise.resolve({ done: true, value: undefined });
        },
      }),
    };
    let cancelled = 0;
    const web = new ReadableStream<Uint8Array>({ cancel: () => void cancelled++ });
    const requests = [iterable, web as unknown as AsyncIterable<Uint8Array>].map((body) =>
      client.post(url, { body, signal: aborting.signal }),
    );
    const settled = Promise.allSettled(requests);
    aborting.abort(new Error('enough'));
    for (const outcome of await settled)
      expect(outcome).toMatchObject({ status: 'rejected', reason: { message: 'enough' } });
    await vi.waitFor(() => expect([returned, cancelled]).toEqual([1, 1]));
    await client.close({ deadlineMs: 0 });
    await server.close();
  });
});

describe('an upload over HTTP/2', () => {
  it.each<[string, () => HttpBody]>([
    [
      'stream',
      () => {
        let reads = 0;
        return new Readable({
          read() {
            if (reads++ === 0) this.push('first');
            else this.destroy(new Error('broken after its first chunk'));
          },
        });
      },
    ],
    [
      'generator',
      async function* () {
        yield 'first';
        throw new Error('broken after its first chunk');
      },
    ],
  ])('whose %s fails right after its first chunk is rejected, and the process stays idle', async (_kind, make) => {
    const { key, certificate } = selfSignedCertificate('localhost');
    const server = createSecureServer({ key, cert: certificate }, (request, response) => {
      request.on('error', () => {});
      request.resume().on('end', () => response.end('ok'));
    });
    server.on('sessionError', () => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
    const client = new HttpClient('upload', { http2: true, tls: { ca: certificate }, retry: false });
    expect(await client.get(url).text()).toBe('ok');
    await expect(client.post(url, { body: make() })).rejects.toThrow('broken after its first chunk');
    // A spinning process runs its microtasks or ticks for ever: no timer fires any more.
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await client.get(url).text()).toBe('ok');
    expect(await client.post(url, { body: 'whole' }).text()).toBe('ok');
    expect(client.statistics()).toMatchObject({ inUse: 0, opened: 1 });
    await client.close();
    server.close();
  });
});
