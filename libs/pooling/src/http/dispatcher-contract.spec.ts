import { AsyncLocalStorage } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { EnvHttpProxyAgent, interceptors, MockAgent, ProxyAgent, request as undiciRequest, RetryAgent } from 'undici';
import { answerJson, CountingServer, echo, refusedPort } from '#test/support/http-server.js';
import { HttpClient } from './http-client.js';

/** A real forward proxy: tunnels for CONNECT, and absolute-form targets. */
class ForwardProxy implements AsyncDisposable {
  /** The request lines that it has seen. */
  readonly lines: string[] = [];

  private constructor(private readonly server: CountingServer) {
    server.server.on('connect', (request, socket: Socket, head: Buffer) => {
      this.lines.push(`CONNECT ${request.url}`);
      const [host, port] = (request.url ?? '').split(':') as [string, string];
      if (host === 'forbidden.example') return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      const target = connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
        target.write(head);
        target.pipe(socket).pipe(target);
      });
      for (const each of [target, socket])
        each.on('error', () => {}).once('close', () => (target.destroy(), socket.destroy()));
    });
  }

  static async listen(): Promise<ForwardProxy> {
    const proxy: ForwardProxy = new ForwardProxy(
      await CountingServer.listen((request, response) => {
        proxy.lines.push(`${request.method} ${request.url}`);
        answerJson(response, { proxied: request.url, host: request.headers.host });
      }),
    );
    return proxy;
  }

  get url(): string {
    return this.server.url;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server.close();
  }
}

describe('the dispatcher as undici’s contract has it', () => {
  it('sends absolute-form targets to the origin that was given, a forward proxy', async () => {
    await using target = await echo();
    await using proxy = await ForwardProxy.listen();
    await using client = new HttpClient('absolute');
    const path = `${target.url}/x?y=1`;
    const { body } = await client.dispatcher.request({ origin: proxy.url, path, method: 'GET' });
    expect(await body.json()).toMatchObject({ proxied: path });
    expect(target.requests).toBe(0);
    expect(client.statistics().origins.map(({ origin }) => origin)).toEqual([proxy.url]);
  });

  it('opens a tunnel with connect(), which counts until it is closed', async () => {
    await using target = await echo();
    await using proxy = await ForwardProxy.listen();
    await using client = new HttpClient('connect', { limit: 1 });
    const { statusCode, socket } = await client.dispatcher.connect({
      origin: proxy.url,
      path: `127.0.0.1:${target.port}`,
    });
    expect(statusCode).toBe(200);
    expect(client.statistics().inUse).toBe(1);
    socket.write('GET /through HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    expect((await socket.toArray()).join('')).toContain('"url":"/through"');
    socket.destroy();
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0 }));
    const refused = await client.dispatcher.connect({ origin: proxy.url, path: 'forbidden.example:80' });
    expect(refused.statusCode).toBe(403);
    refused.socket.destroy();
    expect(proxy.lines).toEqual([`CONNECT 127.0.0.1:${target.port}`, 'CONNECT forbidden.example:80']);
  });

  it('refuses a path that is neither a path nor a URL, and an origin that is missing', async () => {
    await using server = await echo();
    await using client = new HttpClient('wrong');
    const { dispatcher } = client;
    await expect(dispatcher.request({ origin: server.url, path: 'x', method: 'GET' })).rejects.toThrow('path');
    await expect(dispatcher.request({ path: '/', method: 'GET' })).rejects.toThrow('origin');
    expect(server.requests).toBe(0);
  });

  it('is closed while it closes, and destroyed when nothing is left', async () => {
    await using server = await CountingServer.listen((_request, response) =>
      setTimeout(() => response.end('late'), 50),
    );
    const client = new HttpClient('states', { baseUrl: server.url });
    const { dispatcher } = client as unknown as {
      dispatcher: { closed: boolean; destroyed: boolean; destroy(): Promise<void> };
    };
    const states = (): boolean[] => [dispatcher.closed, dispatcher.destroyed];
    expect(states()).toEqual([false, false]);
    const request = client.get('/').text();
    await vi.waitFor(() => expect(server.requests).toBe(1));
    const closing = client.dispatcher.close();
    expect(states()).toEqual([true, false]);
    expect(await request).toBe('late');
    await closing;
    expect(states()).toEqual([true, true]);
    const other = new HttpClient('destroyed');
    const destroying = other.dispatcher.destroy();
    expect((other.dispatcher as unknown as { destroyed: boolean }).destroyed).toBe(true);
    await destroying;
  });

  it('can be composed further, and closed through what was composed', async () => {
    await using server = await echo();
    const client = new HttpClient('composed');
    const composed = client.dispatcher.compose(interceptors.dump());
    await undiciRequest(server.url, { dispatcher: composed });
    await composed.close();
    await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
  });

  it('emits connect, disconnect and connectionError', async () => {
    await using server = await echo();
    const client = new HttpClient('events', { retry: false });
    const { dispatcher } = client;
    const seen: string[] = [];
    for (const event of ['connect', 'disconnect', 'connectionError'] as const) {
      (dispatcher as unknown as NodeJS.EventEmitter).on(event, (origin: URL, targets: unknown[], error?: Error) => {
        expect(targets).toEqual([dispatcher]);
        seen.push(`${event} ${origin.origin} ${(error as { code?: string } | undefined)?.code ?? ''}`.trim());
      });
    }
    await client.get(server.url);
    const refused = `http://127.0.0.1:${await refusedPort()}`;
    await expect(client.get(refused)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await client.close();
    expect(seen).toEqual([
      `connect ${server.url}`,
      `connectionError ${refused} ECONNREFUSED`,
      `disconnect ${server.url}`,
    ]);
  });
});

describe('a dial that is refused', () => {
  it.each(['get', 'fetch', 'dispatcher'] as const)(
    'is told to undici’s channels, so that tracers have a span: %s',
    async (way) => {
      const origin = `http://127.0.0.1:${await refusedPort()}`;
      await using client = new HttpClient('told', { retry: false, headers: { 'x-key': 'k' } });
      const store = new AsyncLocalStorage<string>();
      const told: { event: string; request: { path: string; origin: string; headers: string[] }; context: unknown }[] =
        [];
      const hear = (event: string) => (message: unknown) => {
        const { request } = message as {
          request: (typeof told)[0]['request'] & { addHeader(name: string, value: string): void };
        };
        if (event === 'create') request.addHeader('traceparent', '00-1');
        told.push({ event, request, context: store.getStore() });
      };
      const hearers = { create: hear('create'), error: hear('error') } as const;
      for (const [name, each] of Object.entries(hearers)) channel(`undici:request:${name}`).subscribe(each);
      try {
        await store.run('caller', async () => {
          const path = '/x?y';
          const sent =
            way === 'get'
              ? client.get(`${origin}${path}`)
              : way === 'fetch'
                ? client.fetch(`${origin}${path}`)
                : client.dispatcher.request({ origin, path, method: 'GET' });
          await expect(sent).rejects.toBeInstanceOf(Error);
        });
      } finally {
        for (const [name, each] of Object.entries(hearers)) channel(`undici:request:${name}`).unsubscribe(each);
      }
      expect(told.map(({ event }) => event)).toEqual(['create', 'error']);
      expect(told[0]?.request).toBe(told[1]?.request);
      expect(told[0]?.request).toMatchObject({ origin, path: '/x?y', method: 'GET' });
      expect(told[0]?.request.headers.join()).toContain('traceparent');
      expect(told.map(({ context }) => context)).toEqual(['caller', 'caller']);
    },
  );

  it('is told when it takes too long, too', async () => {
    const server: Server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const told: string[] = [];
    const hear = (message: unknown): void => void told.push((message as { error: { code: string } }).error.code);
    channel('undici:request:error').subscribe(hear);
    // TLS that nobody answers.
    await using client = new HttpClient('late', { timeouts: { connectMs: 50 } });
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    await expect(client.get(url)).rejects.toMatchObject({ code: 'ERR_HTTP_TIMEOUT', phase: 'connect' });
    channel('undici:request:error').unsubscribe(hear);
    expect(told).toEqual(['ERR_HTTP_TIMEOUT']);
    await client.close();
    server.close();
  });
});

describe('recipes of the guide', () => {
  it('MockAgent answers instead of the network', async () => {
    const mock = new MockAgent();
    mock.disableNetConnect();
    mock
      .get('https://carrier.example')
      .intercept({ path: '/v2/labels', method: 'POST' })
      .reply(201, { label: 1 })
      .times(2);
    await using client = new HttpClient('mocked', {
      baseUrl: 'https://carrier.example/v2',
      interceptors: [() => (options, handler) => mock.dispatch(options as never, handler)],
    });
    expect(await client.post('/labels', { json: {} }).json()).toEqual({ label: 1 });
    expect(await (await client.fetch('/labels', { method: 'POST', body: '{}' })).json()).toEqual({ label: 1 });
    await expect(client.get('/other')).rejects.toThrow(/mock/i);
    await mock.close();
  });

  it.each([true, false])(
    'ProxyAgent sends through a proxy, above the client’s limits (a tunnel: %s)',
    async (proxyTunnel) => {
      await using target = await echo();
      await using proxy = await ForwardProxy.listen();
      const agent = new ProxyAgent({ uri: proxy.url, proxyTunnel });
      await using client = new HttpClient('proxied', {
        baseUrl: target.url,
        interceptors: [() => (options, handler) => agent.dispatch(options as never, handler)],
      });
      await client.get('/x').json();
      expect(proxy.lines).toEqual([proxyTunnel ? `CONNECT 127.0.0.1:${target.port}` : `GET ${target.url}/x`]);
      await agent.close();
    },
  );

  it('ProxyAgent may have the client’s dispatcher under it, for the connections to the proxy', async () => {
    await using target = await echo();
    await using proxy = await ForwardProxy.listen();
    await using client = new HttpClient('under', { limitPerHost: 2 });
    const agent = new ProxyAgent({ uri: proxy.url, clientFactory: () => client.dispatcher, proxyTunnel: true });
    for (let at = 0; at < 3; at++) {
      const { body } = await undiciRequest(`${target.url}/${at}`, { dispatcher: agent });
      expect(await body.json()).toMatchObject({ url: `/${at}` });
    }
    // undici's agent opens a second tunnel now and then; both count.
    expect(new Set(proxy.lines)).toEqual(new Set([`CONNECT 127.0.0.1:${target.port}`]));
    expect(client.statistics().inUse).toBe(proxy.lines.length);
    expect(proxy.lines.length).toBeLessThanOrEqual(2);
    await agent.close();
  });

  it('EnvHttpProxyAgent takes the environment’s proxies', async () => {
    await using target = await echo();
    await using proxy = await ForwardProxy.listen();
    const agent = new EnvHttpProxyAgent({ httpProxy: proxy.url, noProxy: 'localhost', proxyTunnel: true });
    await using client = new HttpClient('environment', {
      interceptors: [() => (options, handler) => agent.dispatch(options as never, handler)],
    });
    expect(await client.get(`${target.url}/x`).json()).toMatchObject({ url: '/x' });
    expect(proxy.lines).toHaveLength(1);
    expect(await client.get(`http://localhost:${target.port}/direct`).json()).toMatchObject({ url: '/direct' });
    expect(proxy.lines).toHaveLength(1);
    await agent.close();
  });

  it('an interceptor gets headers by their names, those with several values as lists', async () => {
    let seen: unknown;
    await using server = await CountingServer.listen((request, response) => answerJson(response, request.headers['x']));
    await using client = new HttpClient('by name', {
      baseUrl: server.url,
      decompress: false,
      interceptors: [
        (dispatch) => (options, handler) => {
          seen = options.headers;
          return dispatch(options, handler);
        },
      ],
    });
    const headers = { x: ['1', '2', '3'], constructor: 'own', ['__proto__']: 'own' };
    expect(await client.get('/', { headers }).json()).toBe('1, 2, 3');
    expect(Object.entries(seen as object)).toEqual(Object.entries(headers));
  });

  it('undici’s cache keeps answers', async () => {
    await using server = await CountingServer.listen((request, response) => {
      response.setHeader('cache-control', 'public, max-age=60');
      answerJson(response, request.url);
    });
    await using client = new HttpClient('cached', { baseUrl: server.url, interceptors: [interceptors.cache()] });
    expect(await client.get('/x').json()).toBe('/x');
    expect(await client.get('/x').json()).toBe('/x');
    expect(await (await client.fetch('/x')).json()).toBe('/x');
    expect(server.requests).toBe(1);
  });

  it('undici’s retry repeats what it is told to, by itself or around the dispatcher', async () => {
    let failures = 0;
    await using server = await CountingServer.listen((_request, response) => {
      if (failures++ % 3 < 2) response.writeHead(500).end();
      else answerJson(response, 'third');
    });
    const retries = { minTimeout: 1, statusCodes: [500], maxRetries: 3 };
    await using client = new HttpClient('retrying', { retry: false, interceptors: [interceptors.retry(retries)] });
    expect(await client.get(server.url).json()).toBe('third');
    await using plain = new HttpClient('plain', { retry: false });
    const { body } = await undiciRequest(server.url, { dispatcher: new RetryAgent(plain.dispatcher, retries) });
    expect(await body.json()).toBe('third');
    const port = await refusedPort();
    let appeared: CountingServer | undefined;
    setTimeout(
      () =>
        void echo()
          .then((unused) => unused.close())
          .then(async () => {
            appeared = await CountingServer.listen((_request, response) => answerJson(response, 'up'), port);
          }),
      30,
    );
    const patient = { minTimeout: 50, maxRetries: 20, errorCodes: ['ECONNREFUSED'] };
    await using waiting = new HttpClient('waiting', { retry: false, interceptors: [interceptors.retry(patient)] });
    expect(await waiting.get(`http://127.0.0.1:${port}/`).json()).toBe('up');
    await waiting.close();
    await appeared?.close();
  });

  it('undici’s dns finds addresses by itself', async () => {
    await using server = await echo();
    const lookup = (_origin: unknown, _options: unknown, callback: (error: null, found: object[]) => void): void =>
      callback(null, [{ address: '127.0.0.1', family: 4, ttl: 1_000 }]);
    await using client = new HttpClient('resolved', { interceptors: [interceptors.dns({ lookup: lookup as never })] });
    expect(await client.get(`http://named.example:${server.port}/x`).json()).toMatchObject({
      url: '/x',
      headers: { host: `named.example:${server.port}` },
    });
  });
});
