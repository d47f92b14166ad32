import { channel } from 'node:diagnostics_channel';
import type { RequestListener } from 'node:http';
import { DatabasePool, HttpClient, type DatabaseOptions, type HttpClientOptions } from 'nestjs-pooling';
import { ManualClock } from '#pooling/testing/manual-clock.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { CountingServer, refusedPort } from '#test/support/http-server.js';

const CHANNELS = ['acquire', 'release', 'connect', 'close', 'timeout', 'leak', 'request'] as const;
type ChannelName = (typeof CHANNELS)[number];

type Heard = readonly [ChannelName, Record<string, unknown>];

let database: TestDatabase;
const ends: (() => void | Promise<unknown>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});
afterAll(() => database.drop());

/** Everything that is published about one pool from here on. */
function listen(pool: string): Heard[] {
  const heard: Heard[] = [];
  for (const name of CHANNELS) {
    const listener = (message: unknown): void => {
      const event = message as Record<string, unknown>;
      if (event['pool'] === pool) heard.push([name, event]);
    };
    channel(`nestjs-pooling:${name}`).subscribe(listener);
    ends.push(() => {
      channel(`nestjs-pooling:${name}`).unsubscribe(listener);
    });
  }
  return heard;
}

function of(heard: readonly Heard[], name: ChannelName): Record<string, unknown>[] {
  return heard.filter(([heardName]) => heardName === name).map(([, event]) => event);
}

function createPool(name: string, options: DatabaseOptions, clock?: ManualClock): DatabasePool {
  const pool = new DatabasePool(
    name,
    { url: database.url, size: 1, maxOverflow: 0, ...options },
    clock && { clock, label: () => 'OrdersController.create' },
  );
  ends.push(() => pool.close({ deadlineMs: 100 }));
  return pool;
}

function createClient(name: string, options: HttpClientOptions = {}): HttpClient {
  const client = new HttpClient(name, options, { onLeak: () => {} });
  ends.push(() => client.close({ deadlineMs: 100 }));
  return client;
}

async function listenHttp(handler: RequestListener): Promise<CountingServer> {
  const server = await CountingServer.listen(handler);
  ends.push(() => server.close());
  return server;
}

describe('the channels of a database pool', () => {
  it('tell of a connection from its dial to its end, and of each lease in between', async () => {
    const heard = listen('told');
    const pool = createPool('told', {});
    await pool.query('select 1');
    await pool.query('select 2');
    await pool.close();
    expect(heard.map(([name]) => name)).toEqual(['connect', 'acquire', 'release', 'acquire', 'release', 'close']);
    for (const [, event] of heard) expect(event).toMatchObject({ kind: 'database', pool: 'told', connection: 1 });
    const number = expect.any(Number) as number;
    expect(of(heard, 'connect')[0]).toMatchObject({ durationMs: number });
    expect(of(heard, 'connect')[0]).not.toHaveProperty('error');
    expect(of(heard, 'acquire')[1]).toEqual({ kind: 'database', pool: 'told', connection: 1, waitMs: 0 });
    expect(of(heard, 'release')[0]).toMatchObject({ useMs: number });
    expect(of(heard, 'close')[0]).toMatchObject({ reason: 'shutdown', ageMs: number });
  });

  it('tell how long an acquire waited and a lease was used, and on whose behalf', async () => {
    const clock = new ManualClock();
    const pool = createPool('waits', {}, clock);
    const client = await pool.connect();
    const heard = listen('waits');
    const next = pool.connect();
    await clock.advance(700);
    client.release();
    (await next).release();
    expect(of(heard, 'acquire')).toMatchObject([{ waitMs: 700, label: 'OrdersController.create' }]);
    expect(of(heard, 'release')).toMatchObject([{ useMs: 700 }, { useMs: 0 }]);
  });

  it('tell of time-outs with the error that the caller gets', async () => {
    const heard = listen('late');
    const pool = createPool('late', { queryTimeoutMs: 50 });
    const client = await pool.connect();
    const refused = await pool.connect({ timeoutMs: 30 }).catch((error: unknown) => error);
    const late = await client.query('select pg_sleep(5)').catch((error: unknown) => error);
    client.release();
    expect(of(heard, 'timeout')).toEqual([
      { kind: 'database', pool: 'late', phase: 'acquire', error: refused },
      { kind: 'database', pool: 'late', phase: 'query', error: late },
    ]);
    expect(refused).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
    expect(late).toMatchObject({ code: 'ERR_POOL_QUERY_TIMEOUT' });
    await vi.waitFor(() => expect(of(heard, 'close')).toMatchObject([{ reason: 'query-timeout' }]));
  });

  it('tell of leaks with the stack of the acquire', async () => {
    const clock = new ManualClock();
    const heard = listen('leaking');
    const pool = createPool('leaking', { leakDetectionMs: 1_000 }, clock);
    const client = await pool.connect();
    await clock.advance(1_500);
    expect(of(heard, 'leak')).toMatchObject([
      {
        kind: 'database',
        connection: 1,
        collected: false,
        label: 'OrdersController.create',
        stack: expect.stringContaining('channels.spec.ts') as string,
      },
    ]);
    client.release();
  });

  it('tell of dials that failed', async () => {
    const heard = listen('unreachable');
    const port = await refusedPort();
    const pool = createPool('unreachable', { url: `postgres://127.0.0.1:${port}/none` });
    const refused = expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
    await vi.waitFor(() => expect(of(heard, 'connect')).not.toEqual([]));
    await pool.close();
    await refused;
    const [failed] = of(heard, 'connect');
    expect(failed).toMatchObject({ kind: 'database', pool: 'unreachable', error: { code: 'ECONNREFUSED' } });
    expect(failed).not.toHaveProperty('connection');
  });
});

describe('the channels of an HTTP client', () => {
  it('tell of a socket, of each lease of it, and of each exchange', async () => {
    const server = await listenHttp((_request, response) => response.writeHead(201).end('made'));
    const heard = listen('carrier');
    const client = createClient('carrier');
    await client.post(server.url, { body: 'x' });
    await client.get(server.url);
    await client.close();
    expect(heard.map(([name]) => name)).toEqual([
      'connect',
      'acquire',
      'release',
      'request',
      'acquire',
      'release',
      'request',
      'close',
    ]);
    for (const [, event] of heard) expect(event).toMatchObject({ kind: 'http', pool: 'carrier', origin: server.url });
    const number = expect.any(Number) as number;
    expect(of(heard, 'connect')[0]).toMatchObject({ durationMs: number });
    expect(of(heard, 'acquire')[0]).toMatchObject({ waitMs: number });
    expect(of(heard, 'release')[0]).toMatchObject({ useMs: number });
    expect(of(heard, 'request')).toMatchObject([
      { method: 'POST', outcome: 201, durationMs: number },
      { method: 'GET', outcome: 201, durationMs: number },
    ]);
    expect(of(heard, 'close')[0]).toMatchObject({ reason: 'shutdown', ageMs: number });
  });

  it('tell of time-outs, of dials that failed, and of how the exchange ended', async () => {
    const silent = await listenHttp(() => {});
    const heard = listen('carrier');
    const client = createClient('carrier', { retry: false });
    const late = await client.get(silent.url, { timeouts: { totalMs: 30 } }).catch((error: unknown) => error);
    expect(late).toMatchObject({ code: 'ERR_HTTP_TIMEOUT' });
    expect(of(heard, 'timeout')).toEqual([
      { kind: 'http', pool: 'carrier', origin: silent.url, phase: 'total', error: late },
    ]);
    const nobody = `http://127.0.0.1:${await refusedPort()}`;
    await expect(client.get(nobody)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(of(heard, 'connect').at(-1)).toMatchObject({ origin: nobody, error: { code: 'ECONNREFUSED' } });
    expect(of(heard, 'request')).toMatchObject([{ outcome: 'timeout' }, { outcome: 'error' }]);
  });

  it('tell of streamed answers that nobody reads', async () => {
    const server = await listenHttp((_request, response) => response.end(Buffer.alloc(1_000_000)));
    const heard = listen('carrier');
    const client = createClient('carrier', { leakDetectionMs: 30 });
    const { body } = await client.stream(server.url);
    await vi.waitFor(() => expect(of(heard, 'leak')).toHaveLength(1));
    expect(of(heard, 'leak')[0]).toMatchObject({
      kind: 'http',
      origin: server.url,
      collected: false,
      heldMs: expect.any(Number) as number,
      stack: expect.stringContaining('channels.spec.ts') as string,
    });
    body.destroy();
  });
});
