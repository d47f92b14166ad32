import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Headers as UndiciHeaders } from 'undici';
import { answerJson, echo } from '#test/support/http-server.js';
import { selfSignedCertificate } from '#test/support/self-signed-certificate.js';
import type { HttpHeaders } from './headers.js';
import { HttpClient } from '../http-client.js';

type Echo = { readonly url: string; readonly method: string; readonly headers: Record<string, string> };

describe('the headers of a request', () => {
  const forms: Record<string, HttpHeaders> = {
    'an object': { 'X-A': '1', 'x-b': ['2', '3'] },
    Headers: new Headers([
      ['X-A', '1'],
      ['x-b', '2, 3'],
    ]),
    'undici’s Headers': new UndiciHeaders({ 'X-A': '1', 'x-b': '2, 3' }),
    'a Map': new Map<string, string | string[]>([
      ['X-A', '1'],
      ['x-b', ['2', '3']],
    ]),
    'an array of pairs': [
      ['X-A', '1'],
      ['x-b', '2'],
      ['X-B', '3'],
    ],
    'an iterable of pairs': (function* pairs(): Generator<[string, string]> {
      yield ['X-A', '1'];
      yield ['x-b', '2'];
      yield ['x-b', '3'];
    })(),
  };

  it.each(Object.keys(forms))('may be %s', async (form) => {
    await using server = await echo();
    await using client = new HttpClient('forms', { baseUrl: server.url, headers: { 'x-b': 'client', 'x-c': 'c' } });
    expect((await client.get('/', { headers: forms[form]! }).json<Echo>()).headers).toMatchObject({
      'x-a': '1',
      'x-b': '2, 3',
      'x-c': 'c',
    });
  });

  it('of a client may be a Map or Headers', async () => {
    await using server = await echo();
    for (const headers of [new Map([['x-a', '1']]), new Headers({ 'x-a': '1' })]) {
      await using client = new HttpClient('own', { baseUrl: server.url, headers });
      expect((await client.get('/').json<Echo>()).headers).toMatchObject({ 'x-a': '1' });
    }
  });

  it('are those that the object has itself, whatever its prototype says', async () => {
    await using server = await echo();
    const inherited = Object.create({ 'x-inherited': 'yes' }) as Record<string, string>;
    inherited['x-own'] = 'yes';
    Object.assign(Object.prototype, { 'x-polluted': 'yes', method: 'DELETE', body: 'polluted', maxResponseBytes: 1 });
    try {
      await using client = new HttpClient('own', { baseUrl: server.url, headers: { 'x-client': 'c' } });
      for (const answer of [
        await client.get('/', { headers: inherited }).json<Echo>(),
        (await client.request('/', { headers: inherited })).json<Echo>(),
      ]) {
        expect(answer.method).toBe('GET');
        expect(answer).toMatchObject({ body: '' });
        expect(Object.keys(answer.headers)).toEqual(expect.arrayContaining(['x-own', 'x-client']));
        expect(Object.keys(answer.headers).join()).not.toMatch(/inherited|polluted/);
      }
      expect(await client.get('/').json()).toMatchObject({ method: 'GET', body: '' });
    } finally {
      for (const name of ['x-polluted', 'method', 'body', 'maxResponseBytes']) {
        delete (Object.prototype as Record<string, unknown>)[name];
      }
    }
  });

  it('give an idempotency key by their names, not by their values', async () => {
    await using server = await echo();
    server.handler = (_request, response) => void response.writeHead(503).end();
    await using client = new HttpClient('key', { baseUrl: server.url });
    await client.post('/', { headers: { 'x-name': 'idempotency-key' } });
    expect(server.requests).toBe(1);
  });
});

describe('what a request can’t be made of', () => {
  const wrong: Record<string, [url: unknown, init: unknown]> = {
    'no URL': [undefined, {}],
    'a number as URL': [5, {}],
    'no http URL': ['ftp://host/', {}],
    'init null': ['/', null],
    'init a string': ['/', 'GET'],
    'init an array': ['/', []],
    'a signal that is none': ['/', { signal: 'now' }],
    'a signal of another kind': ['/', { signal: {} }],
    'headers a string': ['/', { headers: 'a: b' }],
    'headers an array of strings': ['/', { headers: ['a: b'] }],
    'a query that is a string': ['/', { query: 'a=1' }],
    'json that has no form': ['/', { json: () => 1 }],
    'a body that is none': ['/', { body: 5 }],
    'wrong timeouts': ['/', { timeouts: { totalMs: 'long' } }],
  };
  const methods = ['get', 'head', 'post', 'put', 'patch', 'delete', 'request', 'stream', 'fetch'] as const;

  it.each(methods)('rejects, and throws nothing: %s', async (method) => {
    await using server = await echo();
    await using client = new HttpClient('wrong', { baseUrl: server.url });
    const send = client[method].bind(client) as (url: unknown, init: unknown) => Promise<unknown>;
    // The standard knows nothing of these, or takes them.
    const ours = [
      'init an array',
      'a query that is a string',
      'json that has no form',
      'a body that is none',
      'wrong timeouts',
    ];
    for (const [what, [url, init]] of Object.entries(wrong)) {
      if (method === 'fetch' && ours.includes(what)) continue;
      let promise: Promise<unknown> | undefined;
      expect(() => (promise = send(url, init)), what).not.toThrow();
      await expect(promise, what).rejects.toBeInstanceOf(Error);
    }
    expect(server.requests).toBe(0);
    expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0 });
  });

  it.each<[what: string, init: unknown, message: string]>([
    [
      'a number as a header',
      { headers: { 'x-tenant': 5 } },
      'headers: x-tenant is a number; a string, or an array of strings',
    ],
    [
      'null as a header',
      { headers: new Map([['x-tenant', null]]) },
      'headers: x-tenant is null; a string, or an array of strings',
    ],
    [
      'an object as body',
      { body: { key: 'value' } },
      "body: an object can't be sent; give text, bytes, a form or a stream, or json",
    ],
    ['a number as body', { body: 5 }, "body: a number can't be sent; give text, bytes, a form or a stream, or json"],
    [
      'a promise from a function',
      { body: async () => 'text' },
      "body: an object can't be sent; give text, bytes, a form or a stream, or json",
    ],
    [
      'nothing from a function',
      { body: () => undefined },
      "body: undefined can't be sent; give text, bytes, a form or a stream, or json",
    ],
    ['a query of single values', { query: [1] }, 'query: what is not a pair of a name and a value is not allowed'],
  ])('is named: %s', async (_what, init, message) => {
    await using server = await echo();
    await using client = new HttpClient('named', { baseUrl: server.url });
    const send = {
      post: client.post('/', init as never),
      stream: client.stream('/', { method: 'POST', ...(init as object) }),
    };
    for (const promise of Object.values(send)) await expect(promise).rejects.toThrow(new TypeError(message));
    expect(server.requests).toBe(0);
    // What a function makes is seen once there is a connection, which is given back or still being opened by now.
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0 }));
  });

  it.each(['request', 'stream', 'fetch'] as const)('rejects for a method that is none: %s', async (way) => {
    await using server = await echo();
    await using client = new HttpClient('methods', { baseUrl: server.url });
    for (const method of ['', 'GET /', 'G\nT', ...(way === 'fetch' ? [] : [5, null])]) {
      let promise: Promise<unknown> | undefined;
      expect(() => (promise = client[way]('/', { method } as never))).not.toThrow();
      await expect(promise).rejects.toThrow(/method/i);
    }
    expect(server.requests).toBe(0);
  });
});

describe('a query', () => {
  it('may be a Map or pairs', async () => {
    await using server = await echo();
    await using client = new HttpClient('query', { baseUrl: server.url });
    const pairs: [string, string | string[]][] = [
      ['a', '1'],
      ['b', ['2', '3']],
    ];
    for (const query of [pairs, new Map(pairs), Object.fromEntries(pairs)]) {
      expect(await client.get('/', { query }).json()).toMatchObject({ url: '/?a=1&b=2&b=3' });
    }
  });
});

describe('what was said', () => {
  it.each([
    ['50%', '50%'],
    ['a%b%c', 'a%b%c'],
    ['%2', '%2'],
    ['%41%zz', 'A%zz'],
    ['%C3%BC', 'ü'],
    ['%E2%82', Buffer.from([0xe2, 0x82])],
  ])('as a password in baseUrl counts, whatever its percent signs: %s', async (password, meant) => {
    await using server = await echo();
    await using client = new HttpClient('percent', { baseUrl: `http://user:${password}@127.0.0.1:${server.port}/` });
    const credentials = Buffer.concat([Buffer.from('user:'), Buffer.from(meant as string)]).toString('base64');
    const basic = { authorization: `Basic ${credentials}` };
    expect((await client.get('/').json<Echo>()).headers).toMatchObject(basic);
    expect(((await (await client.fetch('/')).json()) as Echo).headers).toMatchObject(basic);
  });

  it('as tls.servername counts before the name in the URL', async () => {
    const { key, certificate: cert } = selfSignedCertificate('inner.example');
    const server = createTlsServer({ key, cert }, (request, response) =>
      answerJson(response, (request.socket as TLSSocket).servername),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await using client = new HttpClient('sni', { tls: { ca: cert, servername: 'inner.example' } });
    for (const host of ['localhost', '127.0.0.1']) {
      expect(await client.get(`https://${host}:${port}/`).json()).toBe('inner.example');
    }
    await using plain = new HttpClient('plain', { tls: { ca: cert }, retry: false });
    await expect(plain.get(`https://localhost:${port}/`)).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
    await client.close();
    await plain.close();
    server.close();
  });

  it('as HTTP_PROXY is not: the guide says so', async () => {
    await using server = await echo();
    vi.stubEnv('HTTP_PROXY', 'http://127.0.0.1:1');
    await using client = new HttpClient('proxy', { baseUrl: server.url });
    expect(await client.get('/').json()).toMatchObject({ url: '/' });
    vi.unstubAllEnvs();
  });
});
