import { inspect } from 'node:util';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { interceptors, request as undiciRequest } from 'undici';
import { answerJson, CountingServer, echo } from '#test/support/http-server.js';
import { selfSignedCertificate } from '#test/support/self-signed-certificate.js';
import { HttpClient } from './http-client.js';

type Echo = { readonly url: string; readonly headers: Record<string, string> };

const OWN = { 'x-api-key': 'k', cookie: 'c', accept: 'application/x' };

/** Two servers: the client's own, whose user and password stand in `baseUrl`, and a stranger. */
async function homeAndStranger(): Promise<{ home: CountingServer; stranger: CountingServer; baseUrl: string }> {
  const [home, stranger] = await Promise.all([echo(), echo()]);
  return { home, stranger, baseUrl: `http://user:hunter2@127.0.0.1:${home.port}/api` };
}

const refused = { code: 'ERR_HTTP_ORIGIN_REFUSED' };

/** Every way of sending a request to a URL. */
const WAYS: Record<string, (client: HttpClient, url: string) => Promise<unknown>> = {
  get: (client, url) => client.get(url).json(),
  head: (client, url) => client.head(url),
  post: (client, url) => client.post(url).json(),
  put: (client, url) => client.put(url).json(),
  patch: (client, url) => client.patch(url).json(),
  delete: (client, url) => client.delete(url).json(),
  request: async (client, url) => (await client.request(url)).json(),
  stream: async (client, url) => (await client.stream(url)).body.toArray(),
  fetch: async (client, url) => (await client.fetch(url)).json(),
};

describe('a client with a baseUrl', () => {
  it.each(Object.keys(WAYS))('refuses another origin: %s', async (way) => {
    const { home, stranger, baseUrl } = await homeAndStranger();
    await using client = new HttpClient('home', { baseUrl, headers: OWN });
    const { port } = stranger;
    for (const url of [
      `http://127.0.0.1:${port}/x`,
      `HTTP://127.0.0.1:${port}/x`,
      `http:127.0.0.1:${port}/x`,
      `http:/127.0.0.1:${port}/x`,
      `http:\\\\127.0.0.1:${port}/x`,
      `//127.0.0.1:${port}/x`,
      `\\\\127.0.0.1:${port}/x`,
      `/\\127.0.0.1:${port}/x`,
      `/\t/127.0.0.1:${port}/x`,
      `ht\ntp://127.0.0.1:${port}/x`,
      ` http://127.0.0.1:${port}/x`,
      `\0//127.0.0.1:${port}/x`,
      `http://127.0.0.1:${home.port}@127.0.0.1:${port}/x`,
      `http://localhost:${home.port}/x`,
      `https://127.0.0.1:${home.port}/x`,
    ]) {
      await expect(WAYS[way]!(client, url), JSON.stringify(url)).rejects.toMatchObject(refused);
    }
    expect(stranger.requests + home.requests).toBe(0);
    await Promise.all([home.close(), stranger.close()]);
  });

  it.each(Object.keys(WAYS))('refuses a URL whose dots lead out of its path: %s', async (way) => {
    await using home = await echo();
    await using client = new HttpClient('path', { baseUrl: `${home.url}/api/v1/` });
    for (const url of [
      '/../x',
      '../x',
      '/a/../../x',
      '/%2e%2e/x',
      '/.%2E/x',
      '/..\\x',
      '\\..\\x',
      '/\t../x',
      '..',
      '/../v1x',
    ]) {
      await expect(WAYS[way]!(client, url), url).rejects.toMatchObject(refused);
    }
    expect(home.requests).toBe(0);
    if (way !== 'get') return;
    const urlOf = async (url: string): Promise<string> => (await client.get(url).json<Echo>()).url;
    expect(await urlOf('/a/../b')).toBe('/api/v1/b');
    expect(await urlOf('/../v1/b')).toBe('/api/v1/b');
    expect(await urlOf('\\a\\b')).toBe('/api/v1/a/b');
    expect(await urlOf('/?next=/../../x')).toBe('/api/v1/?next=/../../x');
    expect(await urlOf('/user@host:80/x')).toBe('/api/v1/user@host:80/x');
  });

  it('lets requests go elsewhere where that is allowed, without anything of its own', async () => {
    const { home, stranger, baseUrl } = await homeAndStranger();
    await using client = new HttpClient('allowed', { baseUrl, headers: OWN, allowOtherOrigins: true });
    for (const way of ['get', 'post', 'request', 'fetch'] as const) {
      const there = (await WAYS[way]!(client, `//127.0.0.1:${stranger.port}/x`)) as Echo;
      expect(there.url).toBe('/x');
      for (const name of ['x-api-key', 'cookie', 'authorization']) expect(there.headers).not.toHaveProperty(name);
      expect(there.headers['accept']).not.toBe(OWN.accept);
      const here = (await WAYS[way]!(client, '/x')) as Echo;
      expect(here.headers).toMatchObject({ ...OWN, authorization: expect.stringMatching(/^Basic /) });
    }
    const own = await client
      .get(`http://u:p@127.0.0.1:${stranger.port}/`, { headers: { 'x-api-key': 'theirs' } })
      .json<Echo>();
    expect(own.headers).toMatchObject({
      'x-api-key': 'theirs',
      authorization: `Basic ${Buffer.from('u:p').toString('base64')}`,
    });
    await Promise.all([home.close(), stranger.close()]);
  });

  it('refuses another origin that is dispatched to', async () => {
    const { home, stranger, baseUrl } = await homeAndStranger();
    await using client = new HttpClient('dispatched', { baseUrl });
    await expect(undiciRequest(`${stranger.url}/x`, { dispatcher: client.dispatcher })).rejects.toMatchObject(refused);
    expect(stranger.requests).toBe(0);
    const { body } = await client.dispatcher.request({ path: '/relative', method: 'GET' });
    expect(await body.json()).toMatchObject({ url: '/relative' });
    await using allowed = new HttpClient('allowed', { baseUrl, allowOtherOrigins: true });
    const there = await undiciRequest(`${stranger.url}/x`, { dispatcher: allowed.dispatcher });
    expect(await there.body.json()).toMatchObject({ url: '/x' });
    await Promise.all([home.close(), stranger.close()]);
  });

  it('takes an address that undici’s dns interceptor found for its own origin', async () => {
    await using home = await echo();
    const lookup = (_origin: unknown, _options: unknown, callback: (error: null, found: object[]) => void): void =>
      callback(null, [{ address: '127.0.0.1', family: 4, ttl: 1_000 }]);
    await using client = new HttpClient('dns', {
      baseUrl: `http://home.example:${home.port}`,
      headers: OWN,
      interceptors: [interceptors.dns({ lookup: lookup as never })],
    });
    expect(await client.get('/x').json()).toMatchObject({ url: '/x', headers: OWN });
    expect(await (await client.fetch('/f')).json()).toMatchObject({ url: '/f', headers: OWN });
  });

  it('shows the certificate that identifies it to its own origin only', async () => {
    const { key, certificate: cert } = selfSignedCertificate();
    const seen: unknown[] = [];
    const listen = async (): Promise<ReturnType<typeof createTlsServer>> => {
      const server = createTlsServer(
        { key, cert, requestCert: true, rejectUnauthorized: false },
        (request, response) => {
          const socket = request.socket as TLSSocket;
          seen.push(socket.getPeerCertificate().subject?.CN);
          answerJson(response, socket.servername);
        },
      );
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    };
    const urlOf = (server: ReturnType<typeof createTlsServer>): string =>
      `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const servers = await Promise.all([listen(), listen()]);
    const [home, stranger] = servers.map(urlOf) as [string, string];
    const tls = { key, cert, rejectUnauthorized: false, servername: 'home.example' };
    await using client = new HttpClient('mtls', { baseUrl: home, allowOtherOrigins: true, tls });
    expect(await client.get('/').json()).toBe('home.example');
    expect(await client.get(stranger).json()).toBe(false);
    expect(seen).toEqual(['localhost', undefined]);
    await client.close();
    for (const server of servers) server.close();
  });
});

describe('a redirect to another origin', () => {
  it('goes without any header that the client’s options set', async () => {
    await using stranger = await echo();
    await using home = await CountingServer.listen((_request, response) => {
      response.writeHead(302, { location: `${stranger.url}/landed` }).end();
    });
    const ways: [string, (client: HttpClient) => Promise<unknown>][] = [
      ['get', (client) => client.get(home.url, { headers: { 'x-of-request': 'r' } }).json()],
      ['fetch', async (client) => (await client.fetch(home.url, { headers: { 'x-of-request': 'r' } })).json()],
    ];
    for (const interceptor of [undefined, interceptors.redirect({ maxRedirections: 3 })]) {
      for (const [way, send] of ways) {
        await using client = new HttpClient('leaving', {
          headers: OWN,
          redirect: interceptor === undefined,
          interceptors: interceptor === undefined ? [] : [interceptor],
        });
        const landed = (await send(client)) as Echo;
        expect(landed, way).toMatchObject({ url: '/landed', headers: { 'x-of-request': 'r' } });
        for (const name of ['x-api-key', 'cookie']) expect(landed.headers, way).not.toHaveProperty(name);
        expect(landed.headers['accept'], way).not.toBe(OWN.accept);
      }
    }
  });

  it('is refused where the client has a baseUrl', async () => {
    await using stranger = await echo();
    await using home = await CountingServer.listen((_request, response) => {
      response.writeHead(302, { location: `${stranger.url}/landed` }).end();
    });
    await using client = new HttpClient('refusing', { baseUrl: home.url, redirect: true, headers: OWN });
    await expect(client.get('/')).rejects.toMatchObject(refused);
    await expect(client.stream('/')).rejects.toMatchObject(refused);
    await expect(client.fetch('/')).rejects.toMatchObject({ message: 'fetch failed', cause: refused });
    await using composed = new HttpClient('composed', {
      baseUrl: home.url,
      interceptors: [interceptors.redirect({ maxRedirections: 3 })],
    });
    await expect(composed.get('/')).rejects.toMatchObject(refused);
    expect(stranger.requests).toBe(0);
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0 }));
    await using allowed = new HttpClient('allowed', {
      baseUrl: home.url,
      redirect: true,
      headers: OWN,
      allowOtherOrigins: true,
    });
    for (const landed of [await allowed.get('/').json<Echo>(), (await (await allowed.fetch('/')).json()) as Echo]) {
      expect(landed.url).toBe('/landed');
      for (const name of ['x-api-key', 'cookie']) expect(landed.headers).not.toHaveProperty(name);
    }
  });
});

describe('secrets', () => {
  it('of a dispatched origin are shown nowhere', async () => {
    await using server = await echo();
    const origin = `http://user:hunter2@127.0.0.1:${server.port}`;
    await using client = new HttpClient('credentials', { timeouts: { acquireMs: 1 }, limit: 1, maxWaiting: 1 });
    const { body } = await client.dispatcher.request({ origin, path: '/x', method: 'GET' });
    expect(await body.json()).toMatchObject({ url: '/x' });
    await client.get(`${server.url}/y`);
    const seen = inspect([client.statistics(), client.metrics(), client], { depth: 9 });
    expect(seen).toContain(server.url);
    expect(seen).not.toContain('hunter2');
    expect(Object.keys(client.statistics().origins)).toHaveLength(1);
    server.handler = () => {};
    const requests = Array.from({ length: 3 }, () => client.dispatcher.request({ origin, path: '/x', method: 'GET' }));
    const settled = Promise.allSettled(requests);
    await vi.waitFor(() => expect(server.requests).toBe(3));
    await client.close({ deadlineMs: 0 });
    for (const outcome of await settled) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: expect.stringMatching(/^ERR_/) as string } });
      expect(inspect(outcome)).not.toContain('hunter2');
    }
  });

  it('of a request are shown by neither console.log nor JSON', async () => {
    await using server = await echo();
    await using client = new HttpClient('inspected', { baseUrl: server.url, headers: { 'x-api-key': 'hunter2' } });
    const promise = client.post('/x?token=hunter2', { headers: { authorization: 'hunter2' }, json: { is: 'hunter2' } });
    for (const text of [inspect(promise, { depth: 9, showHidden: true }), JSON.stringify(promise)]) {
      expect(text).not.toContain('hunter2');
    }
    expect(inspect(promise)).toContain(`${server.url}/x`);
    await promise;
  });
});
