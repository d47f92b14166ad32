import { constants as bufferConstants } from 'node:buffer';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import type { Dispatcher } from 'undici';
import { chunked, rawAnswer, RawServer } from '#test/support/raw-server.js';
import { refusedPort } from '#test/support/http-server.js';
import { headerLines, headerOf } from './message/answer-headers.js';
import { HttpClient } from './http-client.js';

/** A server that answers everything with the same bytes, and keeps the socket. */
function always(...answer: Parameters<typeof rawAnswer>): Promise<RawServer> {
  return RawServer.listen((_request, socket) => void socket.write(rawAnswer(...answer)));
}

const OK = 'HTTP/1.1 200 OK';
const text = 'some text '.repeat(200);

describe('content codings', () => {
  it.each([
    ['none', [], Buffer.from(text)],
    ['gzip on one line', ['Content-Encoding: gzip'], gzipSync(text)],
    ['two on two lines', ['Content-Encoding: deflate', 'Content-Encoding: gzip'], gzipSync(deflateSync(text))],
    ['identity and gzip on two lines', ['Content-Encoding: identity', 'Content-Encoding: gzip'], gzipSync(text)],
    ['an empty one', ['Content-Encoding: '], Buffer.from(text)],
    ['an empty list', ['Content-Encoding: , ,'], Buffer.from(text)],
    ['in capitals', ['Content-Encoding: X-GZIP'], gzipSync(text)],
    ['deflate with its wrapper', ['Content-Encoding: deflate'], deflateSync(text)],
    ['raw deflate', ['Content-Encoding: deflate'], deflateRawSync(text)],
    ['raw deflate within gzip', ['Content-Encoding: deflate, gzip'], gzipSync(deflateRawSync(text))],
    ['constructor', ['Content-Encoding: constructor'], Buffer.from(text)],
    ['__proto__', ['Content-Encoding: __proto__'], Buffer.from(text)],
    ['toString and gzip', ['Content-Encoding: toString, gzip'], Buffer.from(text)],
    ['one that nobody knows', ['Content-Encoding: zstd-of-tomorrow'], Buffer.from(text)],
    ['bytes past ASCII', ['Content-Encoding: g\xfczip'], Buffer.from(text)],
    ['a huge list', [`Content-Encoding: ${'gzip, '.repeat(2_000)}gzip`], Buffer.from(text)],
  ])('are undone or handed on: %s', async (_name, lines, body) => {
    await using server = await always([OK, ...lines, `Content-Length: ${body.length}`], body);
    await using client = new HttpClient('codings', { limit: 1, timeouts: { totalMs: 5_000 } });
    expect(await client.get(server.url).text()).toBe(text);
    expect((await client.request(server.url)).text()).toBe(text);
    const streamed: Buffer[] = [];
    for await (const chunk of (await client.stream(server.url)).body) streamed.push(chunk as Buffer);
    expect(Buffer.concat(streamed).toString()).toBe(text);
    expect(client.statistics()).toMatchObject({ inUse: 0, idle: 1, opened: 1 });
  });

  it('come from an interceptor in any form', () => {
    const odd = { 'content-encoding': [Buffer.from('deflate'), 'gzip'], constructor: Buffer.from('x'), empty: null };
    const headers = odd as unknown as Record<string, string>;
    expect(headerOf(headers, 'content-encoding')).toBe('deflate, gzip');
    expect(headerLines(headers, 'content-encoding')).toEqual(['deflate', 'gzip']);
    expect(headerOf(headers, 'constructor')).toBe('x');
    expect(headerOf(headers, 'empty')).toBeUndefined();
    expect(headerLines(headers, 'missing')).toEqual([]);
  });

  it('reject a body that ends too early, streamed or not', async () => {
    const body = gzipSync(text);
    await using server = await always(
      [OK, 'Content-Encoding: gzip', `Content-Length: ${body.length - 5}`],
      body.subarray(0, -5),
    );
    await using client = new HttpClient('cut');
    await expect(client.get(server.url)).rejects.toMatchObject({ code: 'Z_BUF_ERROR' });
    const { body: stream } = await client.stream(server.url);
    await expect(stream.resume().toArray()).rejects.toMatchObject({ code: 'Z_BUF_ERROR' });
    expect(client.statistics().inUse).toBe(0);
  });

  it.each([
    ['gzip', gzipSync(text), Buffer.alloc(4)],
    ['gzip', gzipSync(text), Buffer.alloc(100_000)],
    ['deflate', deflateSync(text), Buffer.from('more')],
    ['deflate', deflateRawSync(text), Buffer.from('more')],
    ['br', brotliCompressSync(text), Buffer.from('more')],
    ['deflate, gzip', gzipSync(Buffer.concat([deflateSync(text), Buffer.from('more')])), Buffer.alloc(4)],
  ])('leave out what follows the end of the data, in one piece with it or later: %s', async (coding, encoded, rest) => {
    const length = encoded.length + rest.length;
    const head = rawAnswer([OK, `Content-Encoding: ${coding}`, `Content-Length: ${length}`]);
    await using server = await RawServer.listen(({ path }, socket) => {
      if (path === '/once') return void socket.write(Buffer.concat([head, encoded, rest]));
      socket.write(Buffer.concat([head, encoded]));
      setTimeout(() => socket.write(rest), 20);
    });
    await using client = new HttpClient('longer', { limit: 1, timeouts: { totalMs: 5_000 } });
    for (const path of ['/once', '/twice']) {
      expect(await client.get(`${server.url}${path}`).text()).toBe(text);
      const { body } = await client.stream(`${server.url}${path}`);
      expect(Buffer.concat(await body.toArray()).toString()).toBe(text);
    }
    expect(client.statistics()).toMatchObject({ inUse: 0, idle: 1, opened: 1 });
  });

  it('work for answers that are large when compressed', { timeout: 60_000 }, async () => {
    const packed = gzipSync(Buffer.alloc(50 * 1024 * 1024, 'x'), { level: 0 });
    expect(packed.length).toBeGreaterThan(50 * 1024 * 1024);
    await using server = await always([OK, 'Content-Encoding: gzip', `Content-Length: ${packed.length}`], packed);
    await using client = new HttpClient('large');
    expect((await client.get(server.url).bytes()).length).toBe(50 * 1024 * 1024);
  });
});

describe('the size of a decoded answer', () => {
  it('is what maxResponseBytes counts, for whole and for streamed answers', async () => {
    const random = Buffer.from(Array.from({ length: 10_000 }, (_, at) => (at * 7919 * (at % 251)) & 0xff));
    const stored = gzipSync(random, { level: 0 });
    await using server = await always([OK, 'Content-Encoding: gzip', `Content-Length: ${stored.length}`], stored);
    await using client = new HttpClient('counted', { maxResponseBytes: 10_000 });
    expect(stored.length).toBeGreaterThan(10_000);
    expect(await client.get(server.url).bytes()).toEqual(random);
    expect(await (await client.stream(server.url)).body.toArray()).not.toEqual([]);
    await expect(client.get(server.url, { maxResponseBytes: 9_999 })).rejects.toMatchObject({
      code: 'ERR_HTTP_RESPONSE_TOO_LARGE',
    });
    const { body } = await client.stream(server.url, { maxResponseBytes: 9_999 });
    await expect(body.toArray()).rejects.toMatchObject({ code: 'ERR_HTTP_RESPONSE_TOO_LARGE' });
  });

  it('is bounded at 256 MiB for what is kept in memory, and not for streams', async () => {
    const declared = 300 * 1024 * 1024;
    await using server = await always([OK, `Content-Length: ${declared}`], 'begins');
    await using client = new HttpClient('usual', { retry: false });
    await expect(client.get(server.url)).rejects.toMatchObject({
      code: 'ERR_HTTP_RESPONSE_TOO_LARGE',
      details: { maxResponseBytes: 268_435_456 },
    });
    const { headers, body } = await client.stream(server.url);
    expect(headers['content-length']).toBe(String(declared));
    body.destroy();
  });

  it('may be past what a string can hold: text() rejects then', async () => {
    await using server = await always([OK, 'Content-Length: 1'], 'x');
    const huge = Buffer.alloc(bufferConstants.MAX_STRING_LENGTH + 1);
    const inflating: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
      dispatch(options, {
        onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
        onResponseStart: (controller, status, headers) => handler.onResponseStart?.(controller, status, headers),
        onResponseData: (controller) => handler.onResponseData?.(controller, huge),
        onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
        onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
      });
    await using client = new HttpClient('long', { interceptors: [inflating], maxResponseBytes: 0 });
    await expect(client.get(server.url).text()).rejects.toMatchObject({ code: 'ERR_STRING_TOO_LONG' });
    await expect(client.get(server.url).json()).rejects.toMatchObject({ code: 'ERR_STRING_TOO_LONG' });
    expect((await client.get(server.url).bytes()).length).toBe(huge.length);
  });
});

describe('an answer without a body', () => {
  const heads = [
    ['Content-Length: 5000'],
    ['Content-Encoding: gzip'],
    ['Content-Encoding: gzip', 'Content-Length: 5000'],
    ['Content-Encoding: br', 'Content-Length: 0'],
  ];
  const cases = ['GET 204', 'GET 304', 'HEAD 200', 'HEAD 404'].flatMap((what) =>
    heads.map((lines) => ({ what, lines })),
  );

  it.each(cases)('is no error: $what with $lines', async ({ what, lines }) => {
    const [method, status] = what.split(' ') as [string, string];
    await using server = await always([`HTTP/1.1 ${status} Some`, ...lines]);
    await using client = new HttpClient('empty', {
      maxResponseBytes: 1_000,
      retry: false,
      timeouts: { totalMs: 5_000 },
    });
    const answer = await client.request(server.url, { method });
    expect(answer).toMatchObject({ statusCode: Number(status), body: Buffer.alloc(0) });
    const streamed = await client.stream(server.url, { method });
    expect(await streamed.body.toArray()).toEqual([]);
    expect(client.statistics()).toMatchObject({ inUse: 0 });
  });

  it.each(['gzip', 'deflate', 'br'])('of 200 needs no decoding, though it calls itself %s', async (coding) => {
    await using server = await RawServer.listen((request, socket) => {
      const framing = request.path === '/chunked' ? 'Transfer-Encoding: chunked' : 'Content-Length: 0';
      socket.write(
        rawAnswer(
          [OK, `Content-Encoding: ${coding}`, framing],
          request.path === '/chunked' ? chunked(Buffer.alloc(0)) : '',
        ),
      );
    });
    await using client = new HttpClient('nothing');
    for (const path of ['/', '/chunked']) {
      expect(await client.get(server.url + path).text()).toBe('');
      expect(await (await client.stream(server.url + path)).body.toArray()).toEqual([]);
    }
  });
});

describe('json()', () => {
  it.each([
    ['nothing', '', "answered 200 with nothing, which isn't JSON"],
    [
      'a page',
      '<!doctype html>\n<title>Sign in</title>',
      'answered 200 with 38 bytes that begin with "<!doctype html>\\n<title>Sign in</title>", which isn\'t JSON',
    ],
    [
      'a long page',
      '<'.repeat(5_000),
      `answered 200 with 5000 bytes that begin with "${'<'.repeat(100)}", which isn't JSON`,
    ],
  ])('of %s says who was asked and how the answer begins', async (_what, body, said) => {
    await using server = await always([OK, `Content-Length: ${body.length}`], body);
    await using client = new HttpClient('billing');
    const url = `${server.url}/invoices`;
    await expect(client.get(`${url}?token=secret`).json()).rejects.toThrow(
      new SyntaxError(`billing: GET ${url} ${said}`),
    );
    const response = await client.get(`${url}?token=secret`);
    expect(() => response.json()).toThrow(new SyntaxError(`billing: GET ${url} ${said}`));
  });
});

describe('an answer that is broken off', () => {
  const cases = [
    { what: 'a declared length', head: ['HTTP/1.1 200 OK', 'Content-Length: 500'] },
    {
      what: 'a declared length and Connection: close',
      head: ['HTTP/1.1 200 OK', 'Connection: close', 'Content-Length: 500'],
    },
    { what: 'chunks', head: ['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'] },
    {
      what: 'chunks and Connection: close',
      head: ['HTTP/1.1 200 OK', 'Connection: close', 'Transfer-Encoding: chunked'],
    },
    { what: 'HTTP/1.0 and a length', head: ['HTTP/1.0 200 OK', 'Content-Length: 500'] },
    { what: 'only half of a head', head: [] },
  ].flatMap((each) => ['FIN', 'RST'].map((end) => ({ ...each, end })));

  it.each(cases)(
    'with $what by $end is retried when the method allows it, and fails by name when not',
    async ({ head, end }) => {
      let broken = 0;
      await using server = await RawServer.listen((request, socket) => {
        if (request.method === 'GET' && broken++ % 2 === 1)
          return void socket.write(rawAnswer([OK, 'Content-Length: 2'], 'ok'));
        socket.write(
          head.length === 0
            ? 'HTTP/1.1 200 O'
            : rawAnswer(head, head.some((line) => line.includes('chunked')) ? '5\r\nbegin' : 'begin'),
        );
        setTimeout(() => (end === 'FIN' ? socket.end() : socket.resetAndDestroy()), 5);
      });
      await using client = new HttpClient('broken', { timeouts: { totalMs: 5_000 } }, { random: () => 0 });
      expect(await client.get(server.url).text()).toBe('ok');
      expect(client.statistics()).toMatchObject({ retries: 1, inUse: 0 });
      const composed = new HttpClient('composed', { interceptors: [(dispatch) => dispatch] }, { random: () => 0 });
      expect(await composed.get(server.url).text()).toBe('ok');
      await composed.close();
      await expect(client.post(server.url)).rejects.toThrow(`(broken, ${server.url})`);
      expect(client.statistics()).toMatchObject({ retries: 1, inUse: 0 });
    },
  );

  it('is not retried for a wrong answer', async () => {
    await using server = await RawServer.listen((_request, socket) => void socket.end('this is no HTTP\r\n\r\n'));
    await using client = new HttpClient('wrong');
    await expect(client.get(server.url)).rejects.toMatchObject({ name: 'HTTPParserError' });
    expect(server.requests).toBe(1);
  });
});

describe('errors of a connection', () => {
  it('name the client and the origin where undici names nothing', async () => {
    await using server = await RawServer.listen((_request, socket) => void socket.end());
    await using client = new HttpClient('billing', { retry: false });
    await expect(client.get(server.url)).rejects.toThrow(`other side closed (billing, ${server.url})`);
  });

  it('say what failed when none of a host’s addresses can be reached', async () => {
    const port = await refusedPort();
    await using client = new HttpClient(
      'nowhere',
      { retry: false },
      {
        resolve: (_hostname, _options, callback) =>
          callback(null, [
            { address: '127.0.0.1', family: 4 },
            { address: '127.0.0.2', family: 4 },
          ]),
      },
    );
    await expect(client.get(`http://unreachable.example:${port}/`)).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      message: `connect ECONNREFUSED 127.0.0.1:${port}; connect ECONNREFUSED 127.0.0.2:${port}`,
    });
  });
});

describe('a redirect', () => {
  async function follow(lines: readonly string[]): Promise<{ statusCode: number; path: string | undefined }> {
    let path: string | undefined;
    await using server = await RawServer.listen((request, socket) => {
      if (request.path !== '/start') path = request.path;
      const head = request.path === '/start' ? ['HTTP/1.1 302 Found', ...lines] : [OK];
      socket.write(rawAnswer([...head, 'Content-Length: 0']));
    });
    await using client = new HttpClient('redirects', { redirect: true, timeouts: { totalMs: 5_000 } });
    const { statusCode } = await client.get(`${server.url}/start`);
    return { statusCode, path };
  }

  it.each([
    ['UTF-8', [`Location: /${Buffer.from('größe-✓').toString('latin1')}`], 200, '/gr%C3%B6%C3%9Fe-%E2%9C%93'],
    ['Latin-1', ['Location: /gr\xf6\xdfe'], 200, '/gr%C3%B6%C3%9Fe'],
    ['the same on two lines', ['Location: /one', 'Location: /one'], 200, '/one'],
    ['different ones on two lines', ['Location: /one', 'Location: /two'], 302, undefined],
    ['nothing', ['Location: '], 302, undefined],
    ['no URL', ['Location: http://['], 302, undefined],
  ])('to %s leads where it says, or nowhere', async (_what, lines, statusCode, path) => {
    expect(await follow(lines)).toEqual({ statusCode, path });
  });
});

describe('a 100 Continue that nobody asked for', () => {
  it('is refused by undici, with the name of the client and the origin', async () => {
    await using server = await RawServer.listen((_request, socket) => {
      socket.write(`HTTP/1.1 100 Continue\r\n\r\n${rawAnswer([OK, 'Content-Length: 2'], 'ok').toString()}`);
    });
    await using client = new HttpClient('asked', { retry: false });
    await expect(client.get(server.url)).rejects.toThrow(`bad response (asked, ${server.url})`);
    expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0 });
  });
});
