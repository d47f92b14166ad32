import { Readable } from 'node:stream';
import { answerJson, bodyOf, CountingServer, echo } from '#test/support/http-server.js';
import { delay } from '../testing/delay.js';
import { HttpClient } from './http-client.js';

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
    expect(await urlOf(`${server.url}/a/../ü`)).toBe('/%C3%BC');
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
    { what: 'text', init: { body: 'text' }, type: 'none', body: 'text' },
    { what: 'bytes', init: { body: new Uint8Array([104, 105]) }, type: 'none', body: 'hi' },
    { what: 'a stream', init: { body: Readable.from(['a', 'b']) }, type: 'none', body: 'ab' },
    { what: 'a function', init: { body: () => 'made' }, type: 'none', body: 'made' },
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
    expect(sent.headers['content-type'] ?? 'none').toMatch(type);
    expect(sent.body).toMatch(body);
  });

  it.each(['get', 'head', 'post', 'put', 'patch', 'delete'] as const)('have a short cut for %s', async (method) => {
    await using server = await echo();
    await using client = new HttpClient('verbs', { baseUrl: server.url });
    const response = await client[method]('/');
    expect(response).toMatchObject({ statusCode: 200, ok: true, url: `${server.url}/` });
    const sent = method === 'head' ? { method: 'HEAD' } : response.json();
    expect(sent).toMatchObject({ method: method.toUpperCase() });
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
    { what: 'a header that no header may be', message: 'invalid x-bad header', init: { headers: { 'x-bad': 'a\nb' } } },
    { what: 'json and body at once', message: 'json and body are given', init: { json: {}, body: 'x' } },
    { what: 'a wrong time-out', message: 'timeouts.totalMs: -1 is not allowed', init: { timeouts: { totalMs: -1 } } },
    {
      what: 'a body that can not be made',
      message: 'made nothing',
      init: {
        body: () => {
          throw new Error('made nothing');
        },
      },
    },
  ])('reject $what, and the connection stays', async ({ init, message }) => {
    await using server = await echo();
    await using client = new HttpClient('wrong', { baseUrl: server.url, retry: false });
    await client.get('/');
    await expect(client.post('/', init)).rejects.toThrow(message);
    expect((await client.get('/')).statusCode).toBe(200);
    await delay(1);
    expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0 });
  });

  it('fail one by one when thousands in the queue can not be sent', async () => {
    await using server = await echo();
    await using client = new HttpClient('thousands', { baseUrl: server.url, limit: 1, retry: false });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 5_000 }, () => client.get('/', { headers: { 'x-bad': 'a\nb' } })),
    );
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(5_000);
    expect((await client.get('/')).statusCode).toBe(200);
    expect(client.statistics()).toMatchObject({ opened: 1, inUse: 0, waiting: 0 });
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

function formData(): FormData {
  const form = new FormData();
  form.set('field', 'value');
  return form;
}
