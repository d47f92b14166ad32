import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createServer as createRawServer, type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import FormDataPackage from 'form-data';
import * as undici from 'undici';
import { answerJson, bodyOf, CountingServer, echo } from '#test/support/http-server.js';
import { ManualClock } from '../testing/manual-clock.js';
import { HttpClient } from './http-client.js';
import type { HttpBody } from './message/request.js';
import type { HttpLeakReport } from './exchange/body-watch.js';

type Echo = { readonly url: string; readonly method: string; readonly headers: Record<string, string>; body: string };

/** The parts of a multipart body, as the standard's own parser reads them. */
async function partsOf({ headers, body }: Echo): Promise<Record<string, string>> {
  const form = await new Response(body, { headers: { 'content-type': headers['content-type']! } }).formData();
  const parts: Record<string, string> = {};
  for (const [name, value] of form) {
    parts[name] = typeof value === 'string' ? value : `${value.name}:${value.type}:${await value.text()}`;
  }
  return parts;
}

function fill<Form extends { append(name: string, value: string | Blob, fileName?: string): void }>(form: Form): Form {
  form.append('name', 'välue');
  form.append('file', new Blob(['content'], { type: 'text/plain' }), 'a.txt');
  return form;
}

const FILLED = { name: 'välue', file: 'a.txt:text/plain:content' };

function packageForm(): FormDataPackage {
  const form = new FormDataPackage();
  form.append('name', 'välue');
  form.append('file', Buffer.from('content'), { filename: 'a.txt', contentType: 'text/plain' });
  return form;
}

/** Bodies, and what arrives. */
const BODIES: Record<string, [make: () => unknown, type: string | RegExp | undefined, arrives: unknown]> = {
  'a string': [() => 'text', /^text\/plain/, 'text'],
  bytes: [() => new TextEncoder().encode('text'), undefined, 'text'],
  'an ArrayBuffer': [() => new TextEncoder().encode('text').buffer, undefined, 'text'],
  'a DataView': [() => new DataView(new TextEncoder().encode('text').buffer), undefined, 'text'],
  URLSearchParams: [() => new URLSearchParams({ a: 'b c' }), /^application\/x-www-form-urlencoded/, 'a=b+c'],
  'a Blob': [() => new Blob(['text'], { type: 'a/b' }), 'a/b', 'text'],
  'FormData of Node': [() => fill(new FormData()), /^multipart\/form-data; boundary=/, FILLED],
  'FormData of undici': [() => fill(new undici.FormData()), /^multipart\/form-data; boundary=/, FILLED],
  'a form of form-data': [packageForm, /^multipart\/form-data; boundary=/, FILLED],
  'a stream': [() => Readable.from(['te', 'xt']), undefined, 'text'],
  'a web stream': [() => new Blob(['text']).stream(), undefined, 'text'],
};

describe('fetch', () => {
  it('is the standard’s, by its type and without a this', async () => {
    await using server = await echo();
    await using client = new HttpClient('bound', { baseUrl: server.url });
    const fetch: typeof globalThis.fetch = client.fetch;
    const response = await fetch('/x');
    expect(response).toBeInstanceOf(Response);
    expect(response.headers).toBeInstanceOf(Headers);
    expect(response.clone()).toBeInstanceOf(Response);
    expect(await (await response.blob()).text()).toContain('"url":"/x"');
  });

  it('may stand in the place of the global one', async () => {
    await using server = await echo();
    await using client = new HttpClient('global', { baseUrl: server.url });
    vi.stubGlobal('fetch', client.fetch);
    try {
      expect(await (await fetch('/x')).json()).toMatchObject({ url: '/x' });
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it.each(Object.keys(BODIES))('sends %s as what it is', async (name) => {
    const [make, type, arrives] = BODIES[name]!;
    await using server = await echo();
    await using client = new HttpClient('bodies', { baseUrl: server.url, headers: { 'x-key': 'k' } });
    const answer = (await (await client.fetch('/', { method: 'POST', body: make() as never })).json()) as Echo;
    if (type === undefined) expect(answer.headers).not.toHaveProperty('content-type');
    else expect(answer.headers['content-type']).toMatch(type);
    expect(answer.headers).toMatchObject({ 'x-key': 'k' });
    expect(typeof arrives === 'string' ? answer.body : await partsOf(answer)).toEqual(arrives);
  });

  it.each(Object.keys(BODIES))('and so does post(): %s', async (name) => {
    const [make, type, arrives] = BODIES[name]!;
    await using server = await echo();
    await using client = new HttpClient('posts', { baseUrl: server.url, headers: { 'Content-Type': 'a/default' } });
    const answer = await client.post('/', { body: make() as HttpBody }).json<Echo>();
    const typed = type !== undefined && name !== 'a string';
    expect(answer.headers['content-type']).toMatch(typed ? type : 'a/default');
    expect(typeof arrives === 'string' ? answer.body : await partsOf(answer)).toEqual(arrives);
  });

  it('says how long a form of form-data is where it knows', async () => {
    await using server = await echo();
    await using client = new HttpClient('length', { baseUrl: server.url });
    for (const answer of [
      await client.post('/', { body: packageForm() }).json<Echo>(),
      (await (await client.fetch('/', { method: 'POST', body: packageForm() as never })).json()) as Echo,
    ]) {
      expect(Number(answer.headers['content-length'])).toBe(Buffer.byteLength(answer.body));
    }
    const streamed = new FormDataPackage();
    streamed.append('file', Readable.from([Buffer.alloc(90_000, 'a'), Buffer.alloc(90_000, 'b')]), {
      filename: 'a.txt',
    });
    const answer = await client.post('/', { body: streamed }).json<Echo>();
    expect(answer.headers['transfer-encoding']).toBe('chunked');
    expect((await partsOf(answer))['file']).toHaveLength('a.txt:text/plain:'.length + 180_000);
  });

  it('takes the types of bodies before the client’s default, and a request’s own before both', async () => {
    await using server = await echo();
    await using client = new HttpClient('types', { baseUrl: server.url, headers: { 'content-type': 'a/default' } });
    const typeOf = async (body: unknown, headers: Record<string, string> = {}): Promise<string> => {
      const answer = (await (await client.fetch('/', { method: 'POST', body: body as never, headers })).json()) as Echo;
      return answer.headers['content-type']!;
    };
    expect(await typeOf('text')).toBe('a/default');
    expect(await typeOf(fill(new FormData()))).toMatch(/^multipart/);
    expect(await typeOf('text', { 'content-type': 'an/own' })).toBe('an/own');
  });

  const classes = {
    Node: { Request, Headers },
    undici: undici as unknown as { Request: typeof Request; Headers: typeof Headers },
  };
  it.each(Object.keys(classes) as (keyof typeof classes)[])('takes a Request and Headers of %s', async (library) => {
    const { Request: OwnRequest, Headers: OwnHeaders } = classes[library];
    await using server = await echo();
    await using client = new HttpClient('requests', { headers: { 'x-key': 'client', 'x-other': 'o' } });
    const headers = new OwnHeaders({ 'x-key': 'request' });
    const post = { method: 'POST', headers, body: 'text' };
    for (const [input, init] of [
      [new OwnRequest(`${server.url}/r`, post), undefined],
      [new OwnRequest(`${server.url}/r`, post), { method: undefined, headers: undefined, body: undefined }],
      [`${server.url}/r`, post],
      [new OwnRequest(`${server.url}/r`, { headers: { 'x-key': 'no' } }), post],
    ] as const) {
      const answer = (await (await client.fetch(input, init)).json()) as Echo;
      expect(answer).toMatchObject({ url: '/r', method: 'POST', body: 'text' });
      expect(answer.headers).toMatchObject({ 'x-key': 'request', 'x-other': 'o' });
    }
    const controller = new AbortController();
    const request = new OwnRequest(server.url, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(client.fetch(request)).rejects.toThrow('enough');
  });

  it('reads data: and blob: URLs, whatever its base URL', async () => {
    await using client = new HttpClient('data', { baseUrl: 'http://127.0.0.1:1', headers: { 'x-key': 'k' } });
    expect(await (await client.fetch('data:text/plain,hello')).text()).toBe('hello');
    const url = URL.createObjectURL(new Blob(['blob']));
    expect(await (await client.fetch(url)).text()).toBe('blob');
    expect(await (await client.fetch(new URL('data:,x'))).text()).toBe('x');
    URL.revokeObjectURL(url);
    expect(client.statistics().requests).toBe(0);
  });

  it('takes a content-length that somebody has set', async () => {
    await using server = await echo();
    await using client = new HttpClient('length', { baseUrl: server.url });
    const init = { method: 'POST', body: 'text', headers: { 'content-length': '4' } };
    for (const response of [await client.fetch('/', init), await client.fetch(new Request(`${server.url}/`, init))]) {
      expect(await response.json()).toMatchObject({ body: 'text' });
    }
  });

  it('streams a request while it is made', async () => {
    await using server = await CountingServer.listen((request, response) => {
      request.once('data', (chunk: Buffer) => {
        void bodyOf(request).then((rest) => answerJson(response, `${chunk.toString()}|${rest.toString()}`));
        proceed();
      });
    });
    let proceed = (): void => {};
    const begun = new Promise<void>((resolve) => (proceed = resolve));
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('first');
      await begun;
      yield Buffer.from('last');
    }
    await using client = new HttpClient('duplex', { baseUrl: server.url });
    const response = await client.fetch('/', { method: 'POST', body: body() as never });
    expect(await response.json()).toBe('first|last');
  });

  it('follows, hands out or refuses redirects as it is told', async () => {
    await using server = await CountingServer.listen((request, response) => {
      if (request.url === '/') response.writeHead(307, { location: '/next' }).end();
      else void bodyOf(request).then((body) => answerJson(response, `${request.method} ${body.toString()}`));
    });
    await using client = new HttpClient('redirects', { baseUrl: server.url });
    const init = { method: 'POST', body: 'text' };
    const followed = await client.fetch('/', init);
    expect([followed.redirected, followed.url]).toEqual([true, `${server.url}/next`]);
    expect(await followed.json()).toBe('POST text');
    expect(await (await client.fetch(new Request(`${server.url}/`, init))).json()).toBe('POST text');
    expect((await client.fetch('/', { ...init, redirect: 'manual' })).status).toBe(307);
    await expect(client.fetch('/', { ...init, redirect: 'error' })).rejects.toThrow('fetch failed');
  });

  it('has null bodies where the standard has them', async () => {
    await using server = await CountingServer.listen((request, response) => {
      response.writeHead(Number(request.url?.slice(1))).end();
    });
    await using client = new HttpClient('null', { baseUrl: server.url });
    for (const status of [204, 304]) {
      const response = await client.fetch(`/${status}`);
      expect([response.status, response.body, await response.text()]).toEqual([status, null, '']);
    }
    expect(await (await client.fetch('/200', { method: 'HEAD', keepalive: true, credentials: 'omit' })).text()).toBe(
      '',
    );
  });

  it('lets a dispatcher that was given with the request have it', async () => {
    const agent = new undici.MockAgent();
    agent.disableNetConnect();
    agent.get('http://mocked.example').intercept({ path: '/' }).reply(200, 'mocked');
    await using client = new HttpClient('mocked');
    const init = { dispatcher: agent } as never;
    expect(await (await undici.fetch('http://mocked.example/', init)).text()).toBe('mocked');
    agent.get('http://mocked.example').intercept({ path: '/' }).reply(200, 'again');
    expect(await (await client.fetch('http://mocked.example/', init)).text()).toBe('again');
    await agent.close();
  });
});

describe('the body of a fetched answer', () => {
  /** Answers with more than every buffer between holds. */
  const large = (): Promise<CountingServer> =>
    CountingServer.listen((_request, response) => void response.end(Buffer.alloc(8_000_000)));

  it('is reported when nobody reads it, with the stack of its fetch', async () => {
    await using server = await large();
    const reports: HttpLeakReport[] = [];
    const options = { baseUrl: server.url, leakDetectionMs: 100 };
    const clock = new ManualClock();
    await using client = new HttpClient('unread', options, { clock, onLeak: (report) => reports.push(report) });
    const response = await (async function fetchesIt(): Promise<Response> {
      return await client.fetch('/x?secret');
    })();
    await vi.waitFor(async () => {
      // It counts from when no more of it is taken.
      await clock.advance(100);
      expect(reports).toHaveLength(1);
    });
    expect(reports[0]).toMatchObject({ client: 'unread', method: 'GET', url: `${server.url}/x` });
    expect(reports[0]?.unreadMs).toBeGreaterThanOrEqual(100);
    expect(reports[0]?.stack).toContain('fetchesIt');
    expect((await response.arrayBuffer()).byteLength).toBe(8_000_000);
    expect(client.statistics()).toMatchObject({ leaks: 1, inUse: 0 });
    expect((await (await client.fetch('/read')).arrayBuffer()).byteLength).toBe(8_000_000);
    expect(reports).toHaveLength(1);
  });

  it('is reported when it was dropped and collected, and gives its connection back', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    await using server = await large();
    const reports: HttpLeakReport[] = [];
    await using client = new HttpClient(
      'dropped',
      { baseUrl: server.url },
      { onLeak: (report) => reports.push(report) },
    );
    await (async () => void (await client.fetch('/')))();
    await vi.waitFor(() => {
      collect();
      expect(reports).toHaveLength(1);
    });
    expect(reports[0]).toMatchObject({ unreadMs: undefined, url: `${server.url}/` });
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ inUse: 0, leaks: 1 }));
  });

  it('isn’t reported when it was cancelled', async () => {
    await using server = await large();
    const reports: HttpLeakReport[] = [];
    await using client = new HttpClient(
      'cancelled',
      { baseUrl: server.url },
      { onLeak: (report) => reports.push(report) },
    );
    await (await client.fetch('/')).body?.cancel();
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0 }));
    expect(reports).toEqual([]);
  });

  it('breaks off with the reason of its signal, however it is read', async () => {
    await using server = await CountingServer.listen((_request, response) => void response.write('part'));
    await using client = new HttpClient('reasons', { baseUrl: server.url });
    for (const read of ['text', 'json', 'arrayBuffer', 'blob'] as const) {
      for (const late of [true, false]) {
        const controller = new AbortController();
        const response = await client.fetch('/', { signal: controller.signal });
        const early = late ? undefined : response[read]();
        controller.abort(new Error('enough'));
        await expect(early ?? response[read]()).rejects.toThrow('enough');
      }
    }
  });

  it('is broken off when its server breaks off', async () => {
    const server = createRawServer((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await using client = new HttpClient('broken');
    const response = await client.fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await expect(response.text()).rejects.toThrow('terminated');
    expect(client.statistics()).toMatchObject({ inUse: 0 });
    server.close();
  });
});
