import { AsyncLocalStorage } from 'node:async_hooks';
import { execFileSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fetch as undiciFetch, interceptors, request as undiciRequest } from 'undici';
import { answerJson, bodyOf, CountingServer } from '../../../../test/support/http-server.js';
import { delay } from '../testing/delay.js';
import { HttpClient } from './http-client.js';

/** Answers with what it was asked. */
function echo(): Promise<CountingServer> {
  return CountingServer.listen((request, response) => {
    void bodyOf(request).then((body) =>
      answerJson(response, {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: body.toString(),
      }),
    );
  });
}

describe('requests', () => {
  it('append the URL to the base URL, path included', async () => {
    await using server = await echo();
    await using client = new HttpClient('base', { baseUrl: `${server.url}/api/` });
    const urlOf = async (url: string | URL, query?: Record<string, string>): Promise<string> =>
      (await client.get(url, query === undefined ? {} : { query }).json<{ url: string }>()).url;
    expect(await urlOf('/users')).toBe('/api/users');
    expect(await urlOf('users?a=1')).toBe('/api/users?a=1');
    expect(await urlOf('')).toBe('/api');
    expect(await urlOf('?a=1')).toBe('/api?a=1');
    expect(await urlOf('/users?a=1', { b: '2 3' })).toBe('/api/users?a=1&b=2+3');
    expect(await urlOf(`${server.url}/other`)).toBe('/other');
    expect(await urlOf(new URL(`${server.url}/other?x#fragment`))).toBe('/other?x');
    expect(await urlOf('/ü ber/../x')).toBe('/api/x');
    expect(await urlOf('/a%2Fb/%2e/c')).toBe('/api/a%2Fb/c');
  });

  it('write a query from arrays, numbers and nothing', async () => {
    await using server = await echo();
    await using client = new HttpClient('query', { baseUrl: server.url });
    const query = { tag: ['a', 'b'], page: 2, all: true, none: undefined, nil: null };
    expect(await client.get('/', { query }).json()).toMatchObject({ url: '/?tag=a&tag=b&page=2&all=true' });
    expect(await client.get('/', { query: new URLSearchParams({ q: 'ü' }) }).json()).toMatchObject({
      url: '/?q=%C3%BC',
    });
    expect(await client.get('/', { query: {} }).json()).toMatchObject({ url: '/' });
  });

  it('send the client’s headers unless the request has its own or takes them away', async () => {
    await using server = await echo();
    await using client = new HttpClient('headers', {
      baseUrl: server.url,
      headers: { 'X-Api-Key': 'k', Accept: 'application/json', 'x-many': ['1', '2'] },
    });
    const headersOf = async (headers?: Record<string, string | undefined>): Promise<Record<string, string>> =>
      (await client.get('/', headers === undefined ? {} : { headers }).json<{ headers: Record<string, string> }>())
        .headers;
    expect(await headersOf()).toMatchObject({ 'x-api-key': 'k', accept: 'application/json', 'x-many': '1, 2' });
    const own = await headersOf({ ACCEPT: 'text/plain', 'x-api-key': undefined });
    expect(own).toMatchObject({ accept: 'text/plain', 'x-many': '1, 2' });
    expect(own).not.toHaveProperty('x-api-key');
  });

  it('send credentials of the URL as basic authentication', async () => {
    await using server = await echo();
    const authorization = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
    await using client = new HttpClient('basic', { baseUrl: `http://user:p%40ss@127.0.0.1:${server.port}` });
    expect(await client.get('/').json()).toMatchObject({ headers: { authorization } });
    await using other = new HttpClient('url');
    expect(await other.get(`http://user:p%40ss@127.0.0.1:${server.port}/`).json()).toMatchObject({
      headers: { authorization },
    });
  });

  it.each([
    { what: 'JSON', init: { json: { a: 1 } }, type: 'application/json', body: '{"a":1}' },
    { what: 'null as JSON', init: { json: null }, type: 'application/json', body: 'null' },
    { what: 'text', init: { body: 'text' }, type: undefined, body: 'text' },
    { what: 'bytes', init: { body: new Uint8Array([104, 105]) }, type: undefined, body: 'hi' },
    { what: 'a stream', init: { body: Readable.from(['a', 'b']) }, type: undefined, body: 'ab' },
    { what: 'a function', init: { body: () => 'made' }, type: undefined, body: 'made' },
    {
      what: 'a form',
      init: { body: new URLSearchParams({ a: '1' }) },
      type: /^application\/x-www-form-urlencoded/,
      body: 'a=1',
    },
    { what: 'a blob', init: { body: new Blob(['blob'], { type: 'text/x' }) }, type: 'text/x', body: 'blob' },
    { what: 'multipart', init: { body: formData() }, type: /^multipart\/form-data; boundary=/, body: /name="field"/ },
  ])('send $what', async ({ init, type, body }) => {
    await using server = await echo();
    await using client = new HttpClient('body', { baseUrl: server.url });
    const sent = await client.post('/', init).json<{ headers: Record<string, string>; body: string }>();
    if (type === undefined) expect(sent.headers).not.toHaveProperty('content-type');
    else expect(sent.headers['content-type']).toMatch(type);
    expect(sent.body).toMatch(body);
  });

  it.each(['get', 'head', 'post', 'put', 'patch', 'delete'] as const)('have a short cut for %s', async (method) => {
    await using server = await echo();
    await using client = new HttpClient('verbs', { baseUrl: server.url });
    const response = await client[method]('/');
    expect(response).toMatchObject({ statusCode: 200, ok: true, url: `${server.url}/` });
    if (method !== 'head') expect(response.json()).toMatchObject({ method: method.toUpperCase() });
    expect((await client.request('/', { method })).statusCode).toBe(200);
  });

  it('reject with the status, the headers and the body unless 2xx, when only the content is asked for', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      response.setHeader('x-reason', 'r');
      answerJson(response, { error: 'no such invoice', filler: 'f'.repeat(100_000) }, 404);
    });
    await using client = new HttpClient('billing', { baseUrl: server.url });
    for (const content of ['json', 'text', 'bytes'] as const) {
      const error = await client
        .get('/invoices/1?token=secret')
        [content]()
        .catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        name: 'HttpStatusError',
        code: 'ERR_HTTP_STATUS',
        pool: 'billing',
        statusCode: 404,
        message: `billing: GET ${server.url}/invoices/1 answered 404`,
        headers: { 'x-reason': 'r' },
      });
      expect((error as { body: string }).body).toMatch(/^\{"error":"no such invoice"/);
      expect((error as { body: string }).body).toHaveLength(65_536);
      expect(JSON.stringify(error)).not.toContain('secret');
    }
    const response = await client.get('/invoices/1');
    expect(response).toMatchObject({ statusCode: 404, ok: false });
    expect(response.json()).toMatchObject({ error: 'no such invoice' });
  });

  it('answer everybody who asks the same request, early or late', async () => {
    await using server = await echo();
    await using client = new HttpClient('shared', { baseUrl: server.url });
    const request = client.get('/');
    const early = await Promise.all([
      request.json(),
      request.text(),
      request,
      request.then(({ statusCode }) => statusCode),
    ]);
    expect(early[0]).toEqual(JSON.parse(early[1]));
    expect(early[3]).toBe(200);
    expect(await request.json()).toEqual(early[0]);
    expect(server.requests).toBe(1);
  });

  it('reject everybody who asks a failed request, and are unhandled when nobody does', async () => {
    const unhandled: unknown[] = [];
    const listeners = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', (reason) => unhandled.push(reason));
    await using client = new HttpClient('failed');
    const request = client.get('ftp://nowhere/');
    await expect(request.json()).rejects.toThrow("an HTTP client can't request ftp: URLs");
    await expect(request).rejects.toThrow(TypeError);
    const finallyCalled = vi.fn<() => void>();
    await request.catch(() => {}).finally(finallyCalled);
    expect(finallyCalled).toHaveBeenCalled();
    await delay(1);
    expect(unhandled).toEqual([]);
    void client.get('no url');
    void client.get('http://127.0.0.1:1/', { signal: AbortSignal.abort('unheard') });
    await delay(1);
    process.removeAllListeners('unhandledRejection');
    for (const listener of listeners) process.on('unhandledRejection', listener);
    expect(unhandled).toEqual([expect.any(TypeError), 'unheard']);
  });

  it.each([
    { what: 'a header that no header may be', init: { headers: { 'x-bad': 'a\nb' } } },
    { what: 'json and body at once', init: { json: {}, body: 'x' } },
    { what: 'a wrong time-out', init: { timeouts: { totalMs: -1 } } },
    {
      what: 'a body that can not be made',
      init: {
        body: () => {
          throw new Error('made nothing');
        },
      },
    },
  ])('reject $what, and the connection stays', async ({ init }) => {
    await using server = await echo();
    await using client = new HttpClient('wrong', { baseUrl: server.url, retry: false });
    await client.get('/');
    await expect(client.post('/', init)).rejects.toThrow();
    expect((await client.get('/')).statusCode).toBe(200);
    await delay(1);
    expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0 });
  });

  it('surface the real error of the connection', async () => {
    await using client = new HttpClient('real', { retry: false });
    await expect(client.get('http://127.0.0.1:1/')).rejects.toMatchObject({ code: 'ECONNREFUSED', port: 1 });
    await expect(client.get('http://host.invalid/')).rejects.toMatchObject({
      code: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/),
    });
  });
});

describe('a form', () => {
  it('is sent as the standard encodes it, and again for a retry', async () => {
    const bodies: string[] = [];
    await using server = await CountingServer.listen((request, response) => {
      void bodyOf(request).then((body) => {
        const boundary = /boundary=(.*)/.exec(request.headers['content-type'] as string)?.[1] as string;
        bodies.push(body.toString().replaceAll(boundary, 'B'));
        answerJson(response, {}, bodies.length === 1 ? 503 : 200);
      });
    });
    await using client = new HttpClient('form', {}, { random: () => 0 });
    const form = new FormData();
    form.set('a "quoted"\nname', 'one\ntwo');
    form.set('file', new File(['content'], 'f.txt', { type: 'text/plain' }));
    await client.put(server.url, { body: form });
    expect(bodies[0]).toBe(
      [
        '--B',
        'Content-Disposition: form-data; name="a %22quoted%22%0D%0Aname"',
        '',
        'one',
        'two',
        '--B',
        'Content-Disposition: form-data; name="file"; filename="f.txt"',
        'Content-Type: text/plain',
        '',
        'content',
        '--B--',
        '',
      ].join('\r\n'),
    );
    expect(bodies[1]).toBe(bodies[0]);
  });
});

describe('fetch', () => {
  it('gives a standard Response within the client’s limits, base URL and headers', async () => {
    await using server = await echo();
    await using client = new HttpClient('fetch', { baseUrl: server.url, headers: { 'x-key': 'k' }, limitPerHost: 3 });
    const responses = await Promise.all(
      Array.from({ length: 30 }, (_, at) => client.fetch(`/${at}`, { method: 'POST', body: `b${at}` })),
    );
    const answers = await Promise.all(responses.map((response) => response.json() as Promise<object>));
    expect(answers[7]).toMatchObject({ url: '/7', body: 'b7', method: 'POST', headers: { 'x-key': 'k' } });
    expect(responses[0]?.url).toBe(`${server.url}/0`);
    expect(server.peakSockets).toBe(3);
    expect(client.statistics()).toMatchObject({ requests: 30, inUse: 0, idle: 3 });
  });

  it('follows redirects as the standard says', async () => {
    await using server = await CountingServer.listen((request, response) => {
      if (request.url === '/') response.writeHead(302, { location: '/next' }).end();
      else answerJson(response, { url: request.url });
    });
    await using client = new HttpClient('redirects', { limit: 1 });
    const response = await client.fetch(server.url);
    expect(response.redirected).toBe(true);
    expect(await response.json()).toEqual({ url: '/next' });
  });

  it('leaves the queue when aborted there', async () => {
    await using server = await CountingServer.listen(() => {});
    await using client = new HttpClient('queued', { limit: 1 });
    const first = client.fetch(server.url);
    first.catch(() => {});
    await vi.waitFor(() => expect(server.requests).toBe(1));
    const controller = new AbortController();
    const second = client.fetch(server.url, { signal: controller.signal });
    second.catch(() => {});
    await vi.waitFor(() => expect(client.statistics().waiting).toBe(1));
    controller.abort(new Error('enough'));
    expect(client.statistics().waiting).toBe(0);
    await expect(second).rejects.toThrow('enough');
    await client.close({ deadlineMs: 0 });
    await expect(first).rejects.toThrow();
  });

  it('gives the connection back when aborted in the body', async () => {
    await using server = await CountingServer.listen((_request, response) => void response.write('part'));
    await using client = new HttpClient('body');
    const controller = new AbortController();
    const response = await client.fetch(server.url, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(response.text()).rejects.toThrow('enough');
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0 }));
  });
});

describe('the dispatcher', () => {
  it('serves undici’s own request and fetch within the limits', async () => {
    await using server = await echo();
    await using client = new HttpClient('dispatcher', { limitPerHost: 2 });
    const { dispatcher } = client;
    const asked = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => {
        const { body, statusCode } = await undiciRequest(`${server.url}/${at}`, { dispatcher, query: { q: 'x' } });
        return { statusCode, body: await body.json() };
      }),
    );
    expect(asked[3]).toMatchObject({ statusCode: 200, body: { url: '/3?q=x' } });
    expect(await (await undiciFetch(`${server.url}/f`, { dispatcher })).json()).toMatchObject({ url: '/f' });
    expect(server.peakSockets).toBe(2);
    expect(client.statistics()).toMatchObject({ requests: 21, inUse: 0 });
  });

  it('hears of trailers, pauses and errors as from any dispatcher', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      response.writeHead(200, { trailer: 'x-sum' });
      response.write(Buffer.alloc(500_000));
      response.addTrailers({ 'x-sum': '7' });
      response.end();
    });
    await using client = new HttpClient('trailers', { retry: false });
    const { dispatcher } = client;
    const { body, trailers } = await undiciRequest(server.url, { dispatcher });
    let bytes = 0;
    for await (const chunk of body) {
      bytes += (chunk as Buffer).length;
      await delay(1);
    }
    expect(bytes).toBe(500_000);
    expect(trailers).toEqual({ 'x-sum': '7' });
    await expect(undiciRequest('http://127.0.0.1:1/', { dispatcher })).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(dispatcher.request({ origin: 'ftp://x', path: '/', method: 'GET' })).rejects.toThrow('ftp');
  });

  it('hands the socket of an upgrade over, and counts it until it is closed', async () => {
    await using server = await CountingServer.listen(() => {});
    server.server.on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      socket.on('data', (chunk) => socket.write(chunk));
    });
    await using client = new HttpClient('upgrade');
    const { socket } = await client.dispatcher.upgrade({ origin: server.url, path: '/', protocol: 'echo' } as never);
    socket.write('hello');
    const [chunk] = (await new Promise<[Buffer]>((resolve) =>
      socket.once('data', (data: Buffer) => resolve([data])),
    )) as [Buffer];
    expect(chunk.toString()).toBe('hello');
    expect(client.statistics().inUse).toBe(1);
    socket.destroy();
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0 }));
  });

  it('closes its client', async () => {
    const client = new HttpClient('closing');
    await client.dispatcher.close();
    expect(client.statistics().state).toBe('closed');
    await client.dispatcher.destroy();
  });
});

describe('interceptors', () => {
  it('see every attempt, below the client’s own retries and deadlines', async () => {
    let answers = 0;
    await using server = await CountingServer.listen((request, response) => {
      answerJson(response, { added: request.headers['x-added'] }, ++answers === 1 ? 503 : 200);
    });
    let seen = 0;
    await using client = new HttpClient(
      'intercepted',
      {
        interceptors: [
          (dispatch) => (options, handler) => {
            seen++;
            return dispatch({ ...options, headers: [...(options.headers as string[]), 'x-added', 'yes'] }, handler);
          },
        ],
      },
      { random: () => 0 },
    );
    expect(await client.get(server.url).json()).toEqual({ added: 'yes' });
    expect(seen).toBe(2);
    expect(client.statistics()).toMatchObject({ retries: 1, opened: 1, inUse: 0 });
  });

  it('may send a request elsewhere, within the same limits and without a deadlock', async () => {
    await using server = await CountingServer.listen((request, response) => {
      if (request.url === '/') response.writeHead(302, { location: '/next' }).end();
      else answerJson(response, { url: request.url });
    });
    await using client = new HttpClient('redirecting', {
      limit: 1,
      interceptors: [interceptors.redirect({ maxRedirections: 3 })],
    });
    expect(await client.get(server.url).json()).toEqual({ url: '/next' });
    expect(client.statistics()).toMatchObject({ requests: 2, inUse: 0 });
  });

  it('do not keep an aborted or late request in the queue', async () => {
    await using server = await CountingServer.listen(() => {});
    await using client = new HttpClient('queued', {
      limit: 1,
      interceptors: [(dispatch) => (options, handler) => dispatch(options, handler)],
    });
    const first = client.get(server.url);
    first.catch(() => {});
    await vi.waitFor(() => expect(server.requests).toBe(1));
    const controller = new AbortController();
    const aborted = client.get(server.url, { signal: controller.signal });
    const late = client.get(server.url, { timeouts: { totalMs: 50 } });
    expect(client.statistics().waiting).toBe(2);
    controller.abort('enough');
    await expect(aborted).rejects.toBe('enough');
    await expect(late).rejects.toMatchObject({ code: 'ERR_HTTP_TIMEOUT', phase: 'total' });
    expect(client.statistics().waiting).toBe(0);
    await client.close({ deadlineMs: 0 });
    await expect(first).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
  });
});

describe('the asynchronous context', () => {
  it('of a request is its caller’s, also when it waited and when it is sent again', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      setTimeout(() => answerJson(response, {}, server.requests % 7 === 0 ? 503 : 200), 1);
    });
    await using client = new HttpClient('context', { limitPerHost: 2 }, { random: () => 0 });
    const store = new AsyncLocalStorage<number>();
    const created: [string, number | undefined][] = [];
    const onCreate = (message: unknown): void => {
      created.push([(message as { request: { path: string } }).request.path, store.getStore()]);
    };
    subscribe('undici:request:create', onCreate);
    const after = await Promise.all(
      Array.from({ length: 50 }, (_, at) =>
        store.run(at, () => client.get(`${server.url}/${at}`).then(() => store.getStore())),
      ),
    );
    unsubscribe('undici:request:create', onCreate);
    expect(after).toEqual(Array.from({ length: 50 }, (_, at) => at));
    expect(created.length).toBeGreaterThan(50);
    expect(created.filter(([path, context]) => path !== `/${context}`)).toEqual([]);
  });

  it('of a streamed body is its caller’s', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      response.write('a');
      setTimeout(() => response.end('b'), 5);
    });
    await using client = new HttpClient('context', { limitPerHost: 1 });
    const store = new AsyncLocalStorage<number>();
    const contexts = await Promise.all(
      [1, 2, 3].map((at) =>
        store.run(at, async () => {
          const { body } = await client.stream(server.url);
          const seen = new Set<number | undefined>();
          body.on('data', () => seen.add(store.getStore()));
          await new Promise((resolve) => body.on('end', () => resolve(seen.add(store.getStore()))));
          return [...seen];
        }),
      ),
    );
    expect(contexts).toEqual([[1], [2], [3]]);
  });
});

describe('TLS', () => {
  let directory: string;
  let key: Buffer;
  let cert: Buffer;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'pooling-tls-'));
    const file = (name: string): string => join(directory, name);
    execFileSync(
      'openssl',
      // prettier-ignore
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
       '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', file('key.pem'), '-out', file('cert.pem')],
      { stdio: 'ignore' },
    );
    key = readFileSync(file('key.pem'));
    cert = readFileSync(file('cert.pem'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('verifies the certificate unless told otherwise, and takes a certificate authority', async () => {
    const server = createTlsServer({ key, cert }, (_request, response) => answerJson(response, 'secure'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    await using strict = new HttpClient('strict', { retry: false });
    await expect(strict.get(url)).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    await using trusting = new HttpClient('trusting', { tls: { ca: cert } });
    expect(await trusting.get(url).json()).toBe('secure');
    expect(await trusting.get(url, { headers: { host: 'localhost' } }).json()).toBe('secure');
    expect(await trusting.get(url).json()).toBe('secure');
    await using careless = new HttpClient('careless', { tls: { rejectUnauthorized: false } });
    expect(await careless.get(url).json()).toBe('secure');
    await strict.close();
    await trusting.close();
    await careless.close();
    server.close();
  });

  it('carries many exchanges over one HTTP/2 connection when asked', async () => {
    let sessions = 0;
    const server = createSecureServer({ key, cert }, (request, response) => {
      setTimeout(() => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ version: request.httpVersion, path: request.url }));
      }, 5);
    });
    server.on('session', () => sessions++);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using client = new HttpClient('h2', { http2: true, tls: { ca: cert } });
    const answers = await Promise.all(
      Array.from({ length: 80 }, (_, at) => client.get(`${url}/${at}`).json<{ version: string; path: string }>()),
    );
    expect(answers.map(({ path }) => path)).toEqual(Array.from({ length: 80 }, (_, at) => `/${at}`));
    expect(new Set(answers.map(({ version }) => version))).toEqual(new Set(['2.0']));
    expect(sessions).toBe(1);
    expect(client.statistics()).toMatchObject({ opened: 1, inUse: 0, idle: 1, waiting: 0 });
    const controller = new AbortController();
    const aborted = client.get(`${url}/aborted`, { signal: controller.signal });
    const unharmed = client.get(`${url}/unharmed`).json();
    controller.abort('enough');
    await expect(aborted).rejects.toBe('enough');
    expect(await unharmed).toMatchObject({ path: '/unharmed' });
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ opened: 1, inUse: 0, idle: 1 }));
    await client.close();
    server.close();
  });
});

function formData(): FormData {
  const form = new FormData();
  form.set('field', 'value');
  return form;
}
