import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { createServer, type AddressInfo } from 'node:net';
import type { Readable } from 'node:stream';
import { CountingServer } from '#test/support/http-server.js';
import { delay } from '../testing/delay.js';
import { ManualClock } from '../testing/manual-clock.js';
import { HttpClient } from './http-client.js';
import type { HttpLeakReport } from './exchange/body-watch.js';

const MEGABYTE = 1024 * 1024;

async function read(body: Readable, pauseMs = 0): Promise<number> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += (chunk as Buffer).length;
    if (pauseMs > 0) await delay(pauseMs);
  }
  return bytes;
}

function sending(bytes: number): Promise<CountingServer> {
  return CountingServer.listen((_request, response) => void response.end(Buffer.alloc(bytes, 'x')));
}

describe('streams', () => {
  it('hold their connection until the body ends, and give it back then', async () => {
    await using server = await sending(MEGABYTE);
    await using client = new HttpClient('stream', { limitPerHost: 1 });
    const { statusCode, body } = await client.stream(server.url);
    expect(statusCode).toBe(200);
    expect(client.statistics()).toMatchObject({ inUse: 1, idle: 0 });
    expect(await read(body)).toBe(MEGABYTE);
    expect(client.statistics()).toMatchObject({ inUse: 0, idle: 1, leaks: 0 });
    expect(await read((await client.stream(server.url)).body)).toBe(MEGABYTE);
    expect(server.accepted).toBe(1);
  });

  it('give their place back when the body is destroyed', async () => {
    await using server = await sending(10 * MEGABYTE);
    await using client = new HttpClient('destroyed', { limitPerHost: 1 });
    const { body } = await client.stream(server.url);
    body.destroy();
    expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0, closed: { aborted: 1 } });
    expect(await read((await client.stream(server.url)).body)).toBe(10 * MEGABYTE);
  });

  it('stop reading from the socket while nobody reads the body', async () => {
    let written = 0;
    await using server = await CountingServer.listen((_request, response) => {
      const write = (): void => {
        while (written < 64 * MEGABYTE) {
          written += 65_536;
          if (!response.write(Buffer.alloc(65_536))) return void response.once('drain', write);
        }
        response.end();
      };
      write();
    });
    await using client = new HttpClient('paused');
    const { body } = await client.stream(server.url);
    await delay(100);
    expect(written).toBeLessThan(32 * MEGABYTE);
    expect(await read(body)).toBe(64 * MEGABYTE);
  });

  it('give a slow reader the whole body although the server has closed in the meantime', async () => {
    const body = Buffer.alloc(MEGABYTE, 'y');
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: ${body.length}\r\n\r\n`);
        socket.end(body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await using client = new HttpClient('slow', { retry: false });
    for (let at = 0; at < 4; at++) {
      const response = await client.stream(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      expect(await read(response.body, 10)).toBe(MEGABYTE);
    }
    server.close();
  });

  it('fail when the body breaks off', async () => {
    await using server = await CountingServer.listen((request, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('part');
      setTimeout(() => request.socket.destroy(), 5);
    });
    await using client = new HttpClient('broken');
    const { body } = await client.stream(server.url);
    await expect(read(body)).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' });
    expect(client.statistics()).toMatchObject({ inUse: 0, retries: 0 });
  });

  it('end with the reason of an aborted signal', async () => {
    await using server = await CountingServer.listen((_request, response) => void response.write('part'));
    await using client = new HttpClient('aborted');
    const controller = new AbortController();
    const { body } = await client.stream(server.url, { signal: controller.signal });
    const reading = read(body);
    controller.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0 });
  });

  it('are reported once with the stack of the request when nobody reads them, and end at their total deadline', async () => {
    const clock = new ManualClock();
    const reports: HttpLeakReport[] = [];
    await using server = await sending(10 * MEGABYTE);
    const options = { leakDetectionMs: 5_000, timeouts: { totalMs: 30_000 } };
    const client = new HttpClient('leak', options, { clock, onLeak: (report) => reports.push(report) });
    async function nobodyReadsThis(): Promise<Readable> {
      const { body } = await client.stream(`${server.url}/big?token=secret`);
      return body;
    }
    const body = await nobodyReadsThis();
    const failed = vi.fn<(error: unknown) => void>();
    body.on('error', failed);
    await vi.waitFor(() => expect(body.readableLength).toBeGreaterThan(0));
    await delay(50);
    await clock.advance(4_900);
    expect(reports).toEqual([]);
    await clock.advance(15_000);
    expect(reports).toEqual([
      {
        client: 'leak',
        method: 'GET',
        url: `${server.url}/big`,
        unreadMs: expect.any(Number),
        stack: expect.stringContaining('nobodyReadsThis'),
      },
    ]);
    expect(client.statistics()).toMatchObject({ leaks: 1, inUse: 1 });
    await clock.advance(11_000);
    await vi.waitFor(() => expect(failed).toHaveBeenCalled());
    expect(failed.mock.calls[0]?.[0]).toMatchObject({ code: 'ERR_HTTP_TIMEOUT', phase: 'total' });
    expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0 });
    await client.close();
  });

  it('give their connection back when the answer is dropped and collected', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const reports: HttpLeakReport[] = [];
    await using server = await sending(10 * MEGABYTE);
    const options = { limitPerHost: 1, timeouts: { totalMs: 0 } };
    await using client = new HttpClient('dropped', options, { onLeak: (report) => reports.push(report) });
    await (async () => void (await client.stream(server.url)))();
    await vi.waitFor(async () => {
      collect();
      await delay(10);
      expect(client.statistics().inUse).toBe(0);
    });
    expect(reports).toHaveLength(1);
    expect(reports[0]).toMatchObject({ unreadMs: undefined, method: 'GET' });
    expect(await read((await client.stream(server.url)).body)).toBe(10 * MEGABYTE);
  });

  it('keep an error for whoever reads later, and let nobody else hear of it', async () => {
    const clock = new ManualClock();
    await using server = await sending(10 * MEGABYTE);
    const client = new HttpClient('later', {}, { clock });
    const { body } = await client.stream(server.url);
    await clock.advance(31_000);
    expect(client.statistics()).toMatchObject({ inUse: 0, timeouts: { total: 1 } });
    await expect(read(body)).rejects.toMatchObject({ code: 'ERR_HTTP_TIMEOUT', phase: 'total' });
    await client.close();
  });

  it('are not collected while somebody waits for more of them', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    let finish!: () => void;
    await using server = await CountingServer.listen((_request, response) => {
      response.write('first');
      finish = () => void response.end('last');
    });
    await using client = new HttpClient('awaited');
    const text = await (async () => {
      const { body } = await client.stream(server.url);
      const whole = body.setEncoding('utf8').toArray() as Promise<string[]>;
      return { whole };
    })();
    for (let at = 0; at < 5; at++) {
      collect();
      await delay(5);
    }
    finish();
    expect((await text.whole).join('')).toBe('firstlast');
  });
});

describe('the size of an answer', () => {
  it('is refused by its declared length before the body is read', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      response.writeHead(200, { 'content-length': String(10 * MEGABYTE) });
      response.flushHeaders();
    });
    await using client = new HttpClient('declared', { maxResponseBytes: 1_000 });
    await expect(client.get(server.url).json()).rejects.toMatchObject({
      code: 'ERR_HTTP_RESPONSE_TOO_LARGE',
      details: { maxResponseBytes: 1_000 },
    });
    expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0 });
  });

  it('is refused as soon as an undeclared body grows past the bound, streamed or not', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      for (let at = 0; at < 100; at++) response.write(Buffer.alloc(1_000));
      response.end();
    });
    await using client = new HttpClient('undeclared');
    await expect(client.get(server.url, { maxResponseBytes: 5_000 })).rejects.toMatchObject({
      code: 'ERR_HTTP_RESPONSE_TOO_LARGE',
    });
    const reading = client.stream(server.url, { maxResponseBytes: 5_000 }).then(({ body }) => read(body));
    await expect(reading).rejects.toMatchObject({ code: 'ERR_HTTP_RESPONSE_TOO_LARGE' });
    expect((await client.get(server.url, { maxResponseBytes: 100_000 })).body).toHaveLength(100_000);
  });

  it('does not count what a HEAD only declares', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      response.writeHead(200, { 'content-length': '5000' }).end();
    });
    await using client = new HttpClient('head', { maxResponseBytes: 1_000 });
    expect((await client.head(server.url)).headers['content-length']).toBe('5000');
  });
});

describe('decompression', () => {
  const text = JSON.stringify({ text: 'abc '.repeat(5_000) });

  it.each([
    { coding: 'gzip', encoded: gzipSync(text) },
    { coding: 'br', encoded: brotliCompressSync(text) },
    { coding: 'br, gzip', encoded: gzipSync(brotliCompressSync(text)) },
  ])('undoes $coding, for whole and for streamed answers', async ({ coding, encoded }) => {
    await using server = await CountingServer.listen((request, response) => {
      expect(request.headers['accept-encoding']).toBe('gzip, deflate, br');
      response.writeHead(200, { 'content-encoding': coding }).end(encoded);
    });
    await using client = new HttpClient('coded');
    expect(await client.get(server.url).text()).toBe(text);
    expect(await read((await client.stream(server.url)).body)).toBe(text.length);
    expect(client.statistics()).toMatchObject({ inUse: 0, idle: 1 });
  });

  it('leaves the body alone when turned off, and asks for no coding then', async () => {
    const encoded = gzipSync(text);
    await using server = await CountingServer.listen((request, response) => {
      expect(request.headers['accept-encoding']).toBeUndefined();
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(encoded);
    });
    await using client = new HttpClient('raw', { decompress: false });
    expect(await client.get(server.url).bytes()).toEqual(encoded);
  });

  it('refuses a body that unpacks past maxResponseBytes', async () => {
    const bomb = gzipSync(Buffer.alloc(MEGABYTE));
    await using server = await CountingServer.listen((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb);
    });
    await using client = new HttpClient('bound', { maxResponseBytes: 100_000 });
    await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_HTTP_RESPONSE_TOO_LARGE' });
    const reading = client.stream(server.url).then(({ body }) => read(body));
    await expect(reading).rejects.toMatchObject({ code: 'ERR_HTTP_RESPONSE_TOO_LARGE' });
  });

  it('refuses a bomb although no bound is set where it would be kept in memory, and hands it on as a stream', async () => {
    const member = gzipSync(Buffer.alloc(16 * MEGABYTE));
    await using server = await CountingServer.listen((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      for (let at = 0; at < 17; at++) response.write(member);
      response.end();
    });
    await using client = new HttpClient('bomb');
    const refused = await client.get(server.url).then(
      () => 'kept',
      (error: { code: string }) => error.code,
    );
    expect(refused).toBe('ERR_HTTP_RESPONSE_TOO_LARGE');
    expect(await read((await client.stream(server.url)).body)).toBe(17 * 16 * MEGABYTE);
    await vi.waitFor(() => expect(client.statistics().inUse).toBe(0));
  });

  it('rejects when the body is not what it claims to be', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('plain');
    });
    await using client = new HttpClient('false');
    await expect(client.get(server.url)).rejects.toMatchObject({ code: 'Z_DATA_ERROR' });
  });
});
