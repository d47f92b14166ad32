import { channel } from 'node:diagnostics_channel';
import { HttpClient, spansFor, type HttpClientOptions, type Tracing } from 'nestjs-pooling';
import { answerJson, CountingServer, refusedPort } from '#test/support/http-server.js';
import { SpanRecorder, unknownAttributes, type RecordedSpan } from '#test/support/spans.js';

let recorder: SpanRecorder;
let server: CountingServer;
/** Ends an answer that has begun. */
let goOn: () => void;
beforeEach(async () => {
  recorder = new SpanRecorder();
  server = await CountingServer.listen((request, response) => {
    if (request.url === '/slow') return void setTimeout(() => response.end('slow'), 100);
    if (request.url === '/begun') {
      response.write('begun');
      goOn = () => response.end();
      return;
    }
    if (request.url === '/never') return;
    if (request.url === '/teapot') return void response.writeHead(418).end();
    if (request.url === '/moved') return void response.writeHead(302, { location: '/here' }).end();
    if (request.url === '/unavailable') return void response.writeHead(503).end();
    if (request.url === '/break') return void request.socket.destroy();
    answerJson(response, request.headers);
  });
});
afterEach(async () => {
  recorder[Symbol.dispose]();
  await server.close();
});

function clientOf(options: HttpClientOptions = {}, tracing: Tracing = 'auto'): HttpClient {
  return new HttpClient('carrier', { baseUrl: server.url, retry: false, ...options }, { spans: spansFor(tracing) });
}

/** The spans of exchanges; those of waits are left out. */
function exchanges(): RecordedSpan[] {
  expect(recorder.open).toBe(0);
  const spans = recorder.take();
  expect(unknownAttributes(spans)).toEqual([]);
  return spans.filter(({ kind }) => kind === 'client');
}

const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error) => error as unknown,
  );

describe('an exchange', () => {
  it('has a span under the caller, by the conventions', async () => {
    await using client = clientOf();
    await recorder.run('caller', () => client.get('/orders/7?sig=secret&page=2'));
    expect(exchanges()).toMatchObject([
      {
        name: 'GET',
        parent: 'caller',
        kind: 'client',
        failed: false,
        attributes: {
          'http.request.method': 'GET',
          'url.full': `${server.url}/orders/7?sig=REDACTED&page=2`,
          'server.address': '127.0.0.1',
          'server.port': server.port,
          'http.response.status_code': 200,
        },
      },
    ]);
  });

  it('is named after its template', async () => {
    await using client = clientOf();
    await client.get('/orders/7', { template: '/orders/{id}' });
    expect(exchanges()).toMatchObject([{ name: 'GET /orders/{id}', attributes: { 'url.template': '/orders/{id}' } }]);
  });

  it('sends its own context along, unless the request has one or that is off', async () => {
    await using client = clientOf();
    const sent = await client.get('/').json<Record<string, string>>();
    const [span] = exchanges();
    expect(sent['traceparent']).toBe(`00-${span?.context.traceId}-${span?.context.spanId}-01`);
    const given = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const own = await client.get('/', { headers: { traceparent: given } }).json<Record<string, string>>();
    expect(own['traceparent']).toBe(given);
    await using silent = clientOf({}, { propagate: false });
    expect(await silent.get('/').json()).not.toHaveProperty('traceparent');
  });

  it('carries on that the sampler has left its caller out', async () => {
    await using client = clientOf();
    const sent = await recorder.unsampled(() => client.get('/').json<Record<string, string>>());
    expect(sent['traceparent']).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[\da-f]{16}-00$/);
    expect(recorder.take()).toEqual([]);
  });

  it('fails from status 400 on, and says which', async () => {
    await using client = clientOf();
    await client.get('/teapot');
    expect(exchanges()).toMatchObject([
      { failed: true, attributes: { 'http.response.status_code': 418, 'error.type': '418' } },
    ]);
  });

  it('has a span for each try, counted, and none around them', async () => {
    await using client = clientOf({ retry: { attempts: 2, budget: 1 }, redirect: true });
    await recorder.run('retried', () => client.get('/unavailable'));
    await recorder.run('redirected', () => client.get('/moved'));
    await recorder.run('broken', () => errorOf(client.get('/break')));
    const spans = exchanges();
    const told = spans.map(({ parent, attributes }) => [
      parent,
      attributes['http.request.resend_count'],
      attributes['http.response.status_code'] ?? attributes['error.type'],
    ]);
    const broken = told.filter(([parent]) => parent === 'broken');
    expect(told.filter(([parent]) => parent !== 'broken')).toEqual([
      ['retried', undefined, 503],
      ['retried', 1, 503],
      ['retried', 2, 503],
      ['redirected', undefined, 302],
      ['redirected', 1, 200],
    ]);
    expect(broken.map(([, resends]) => resends)).toEqual([undefined, ...broken.slice(1).map((_, at) => at + 1)]);
    expect(broken.length).toBeGreaterThanOrEqual(3);
    expect(spans.filter(({ parent }) => parent === 'broken').every(({ failed }) => failed)).toBe(true);
  });

  it('that was refused, timed out or aborted has a span that says so', async () => {
    await using client = clientOf({ allowOtherOrigins: true });
    await errorOf(client.get(`http://127.0.0.1:${await refusedPort()}/`));
    expect(exchanges()).toMatchObject([{ failed: true, attributes: { 'error.type': 'ECONNREFUSED' } }]);
    await errorOf(client.get('/never', { timeouts: { totalMs: 50 } }));
    expect(exchanges()).toMatchObject([{ failed: true, attributes: { 'error.type': 'ERR_HTTP_TIMEOUT' } }]);
    const controller = new AbortController();
    const aborted = errorOf(client.get('/never', { signal: controller.signal }));
    setTimeout(() => controller.abort(), 20);
    await aborted;
    expect(exchanges()).toMatchObject([{ failed: true, attributes: { 'error.type': 'AbortError' } }]);
  });

  it('has one through streams, fetch and interceptors too', async () => {
    await using client = clientOf({ interceptors: [(dispatch) => (options, handler) => dispatch(options, handler)] });
    const { body } = await recorder.run('stream', () => client.stream('/begun'));
    expect(recorder.open).toBe(1);
    goOn();
    for await (const _ of body);
    await recorder.run('fetch', async () => (await client.fetch('/')).text());
    await recorder.run('above', () => client.get('/', { template: '/{any}' }));
    expect(exchanges().map(({ name, parent, failed }) => [name, parent, failed])).toEqual([
      ['GET', 'stream', false],
      ['GET', 'fetch', false],
      ['GET /{any}', 'above', false],
    ]);
  });

  it('is left to an instrumentation of undici, from the moment that one listens, unless told otherwise', async () => {
    await using client = clientOf();
    await using native = clientOf({}, 'native');
    await client.get('/');
    const listener = (): void => {};
    channel('undici:request:create').subscribe(listener);
    await client.get('/');
    await native.get('/');
    channel('undici:request:create').unsubscribe(listener);
    await client.get('/');
    expect(exchanges()).toHaveLength(3);
  });

  it('shows no message of an error unless asked to', async () => {
    const port = await refusedPort();
    for (const errorMessages of [false, true]) {
      await using client = clientOf({ allowOtherOrigins: true }, { errorMessages });
      const error = (await errorOf(client.get(`http://127.0.0.1:${port}/`))) as Error;
      expect(exchanges().map(({ message }) => message)).toEqual([errorMessages ? error.message : undefined]);
    }
  });

  it('has no span when tracing is off', async () => {
    await using client = clientOf({}, false);
    expect(await client.get('/').json()).not.toHaveProperty('traceparent');
    expect(recorder.take()).toEqual([]);
  });
});

describe('the wait of an exchange', () => {
  const waits = (): RecordedSpan[] => recorder.take().filter(({ kind }) => kind === 'internal');

  it('has a span of its own: for a socket, or behind others; and none where it has not waited', async () => {
    await using client = clientOf({ limitPerHost: 1 });
    const first = recorder.run('first', () => client.get('/slow'));
    const second = recorder.run('second', () => client.get('/'));
    await Promise.all([first, second]);
    await recorder.run('third', () => client.get('/'));
    expect(waits()).toMatchObject([
      { name: 'acquire carrier', parent: 'first', attributes: { 'nestjs_pooling.acquire.reason': 'dial' } },
      { name: 'acquire carrier', parent: 'second', attributes: { 'nestjs_pooling.acquire.reason': 'queue' } },
    ]);
  });

  it('that ended without a connection has failed', async () => {
    await using client = clientOf({ limitPerHost: 1, maxWaiting: 1, timeouts: { acquireMs: 20 } });
    const first = client.get('/slow');
    const late = errorOf(client.get('/'));
    await errorOf(client.get('/'));
    await late;
    await first;
    const failed = waits().filter((span) => span.failed);
    expect(failed.map(({ attributes }) => attributes['error.type'])).toEqual([
      'ERR_HTTP_QUEUE_FULL',
      'ERR_HTTP_TIMEOUT',
    ]);
  });
});
