import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { fetch as undiciFetch, interceptors, Request, request as undiciRequest, type Dispatcher } from 'undici';
import { answerJson, CountingServer, echo } from '#test/support/http-server.js';
import { delay } from '../testing/delay.js';
import { ManualClock } from '../testing/manual-clock.js';
import { HttpClient } from './http-client.js';

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

  it('takes a Request with its own headers', async () => {
    await using server = await echo();
    await using client = new HttpClient('request', { headers: { 'x-key': 'client', 'x-other': 'o' } });
    const request = new Request(`${server.url}/r`, { headers: { 'x-key': 'request' } });
    expect(await (await client.fetch(request)).json()).toMatchObject({
      url: '/r',
      headers: { 'x-key': 'request', 'x-other': 'o' },
    });
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
    await expect(first).rejects.toThrow('fetch failed');
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
            return dispatch({ ...options, headers: { ...(options.headers as object), 'x-added': 'yes' } }, handler);
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

describe('deadlines above interceptors', () => {
  it('count readMs from the sending of the request, not from its queueing', async () => {
    const clock = new ManualClock();
    const held: (() => void)[] = [];
    await using server = await CountingServer.listen((_request, response) => {
      held.push(() => answerJson(response, 'answered'));
    });
    const options = {
      limit: 1,
      interceptors: [
        (dispatch: Dispatcher.Dispatch): Dispatcher.Dispatch =>
          (request, handler) =>
            dispatch(request, handler),
      ],
    };
    const client = new HttpClient('above', options, { clock });
    const first = client.get(server.url);
    await vi.waitFor(() => expect(held).toHaveLength(1));
    const second = client.get(server.url, { timeouts: { readMs: 300, connectMs: 0 } }).json();
    await clock.advance(1_000);
    held[0]?.();
    await first;
    await vi.waitFor(() => expect(held).toHaveLength(2));
    held[1]?.();
    expect(await second).toBe('answered');
    await client.close();
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

  it('of a request is its caller’s when it is sent again, though it was sent at once at first', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      answerJson(response, {}, server.requests === 2 ? 503 : 200);
    });
    await using client = new HttpClient('again', {}, { random: () => 0 });
    const store = new AsyncLocalStorage<string>();
    const made: (string | undefined)[] = [];
    const body = (): string => {
      made.push(store.getStore());
      return 'body';
    };
    await store.run('first', () => client.put(server.url, { body }));
    await store.run('second', () => client.put(server.url, { body }));
    expect(made).toEqual(['first', 'second', 'second']);
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
