import { runTypeScript } from '#test/support/child.js';
import { answerJson, CountingServer, refusedPort } from '#test/support/http-server.js';
import { delay } from '../testing/delay.js';
import { ManualClock } from '../testing/manual-clock.js';
import { HttpClient } from './http-client.js';
import { OriginCounters } from './pool/statistics.js';

describe('closing', () => {
  it('lets what is under way end, refuses who waits and who comes, and leaves no socket', async () => {
    const held: (() => void)[] = [];
    await using server = await CountingServer.listen((_request, response) => {
      held.push(() => answerJson(response, 'answered'));
    });
    const client = new HttpClient('closing', { limitPerHost: 2 });
    const running = [client.get(server.url).json(), client.get(server.url).json()];
    const waiting = [client.get(server.url), client.get(server.url)];
    const refusals = Promise.allSettled(waiting);
    await vi.waitFor(() => expect(held).toHaveLength(2));
    const closing = client.close();
    expect(client.close()).toBe(closing);
    expect(client.statistics()).toMatchObject({ state: 'draining', waiting: 0, inUse: 2 });
    for (const refusal of await refusals) {
      expect(refusal).toMatchObject({ status: 'rejected', reason: { code: 'ERR_POOL_CLOSED', pool: 'closing' } });
    }
    await expect(client.get(server.url)).rejects.toMatchObject({ code: 'ERR_POOL_CLOSED' });
    for (const answer of held) answer();
    expect(await Promise.all(running)).toEqual(['answered', 'answered']);
    expect(await closing).toMatchObject({ graceful: true, refused: 2, destroyed: [] });
    expect(client.statistics()).toMatchObject({ state: 'closed', sockets: 0, inUse: 0, idle: 0 });
    await vi.waitFor(() => expect(server.sockets.size).toBe(0));
  });

  it('destroys what is still under way at the deadline, and says what it was', async () => {
    const clock = new ManualClock();
    await using server = await CountingServer.listen((_request, response) => void response.write('part'));
    const client = new HttpClient('late', { retry: false, timeouts: { totalMs: 0 } }, { clock });
    const buffered = client.get(`${server.url}/buffered`);
    const { body } = await client.stream(`${server.url}/streamed`, { method: 'POST' });
    const failures = Promise.allSettled([buffered, new Promise((_, reject) => void body.on('error', reject))]);
    const closing = client.close({ deadlineMs: 500 });
    await clock.advance(499);
    expect(client.statistics().inUse).toBe(2);
    await clock.advance(2);
    expect(await closing).toMatchObject({
      graceful: false,
      destroyed: [
        { method: 'GET', origin: server.url, sinceMs: expect.any(Number) },
        { method: 'POST', origin: server.url, sinceMs: expect.any(Number) },
      ],
    });
    for (const failure of await failures) expect(failure).toMatchObject({ reason: { code: 'ERR_POOL_CLOSED' } });
    expect(client.statistics()).toMatchObject({ sockets: 0, closed: { shutdown: 0, aborted: 2 } });
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends although nobody reads a body', async () => {
    await using server = await CountingServer.listen((_request, response) => void response.end(Buffer.alloc(1 << 20)));
    const clock = new ManualClock();
    const client = new HttpClient('unread', { leakDetectionMs: 0 }, { clock });
    const { body } = await client.stream(server.url);
    const closing = client.close({ deadlineMs: 50 });
    await clock.advance(60);
    expect(await closing).toMatchObject({ graceful: false });
    expect(body.destroyed).toBe(true);
  });

  it('gives up dials and pauses between attempts', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      response.setHeader('retry-after', '20');
      answerJson(response, {}, 503);
    });
    const client = new HttpClient('pausing', {}, { resolve: () => {} });
    const pausing = client.get(server.url);
    const dialling = client.get('http://deaf.test/');
    const failures = Promise.allSettled([pausing, dialling]);
    await vi.waitFor(() => expect(client.statistics().retries).toBe(1));
    expect(await client.close()).toMatchObject({ graceful: true, refused: 2 });
    for (const failure of await failures) expect(failure).toMatchObject({ reason: { code: 'ERR_POOL_CLOSED' } });
    expect(client.statistics()).toMatchObject({ connecting: 0, sockets: 0, inUse: 0 });
  });

  it('is done at the end of an await using block, and without ever having been used', async () => {
    let client: HttpClient;
    {
      await using scoped = new HttpClient('scoped');
      client = scoped;
    }
    expect(client.statistics().state).toBe('closed');
  });

  it('begins with a drain that closes idle sockets and still serves', async () => {
    await using server = await CountingServer.listen((_request, response) => answerJson(response, {}));
    await using client = new HttpClient('draining');
    await client.get(server.url);
    client.beginDrain();
    client.beginDrain();
    expect(client.statistics()).toMatchObject({ state: 'draining', idle: 0, sockets: 0 });
    expect((await client.get(server.url)).statusCode).toBe(200);
    expect(client.statistics().state).toBe('draining');
  });
});

describe('a process', () => {
  it.each(['close', 'forget'])('ends by itself after its requests (%s the client)', async (then) => {
    await using server = await CountingServer.listen((_request, response) => answerJson(response, {}));
    server.server.keepAliveTimeout = 0;
    const program = new URL('../../../../test/support/programs/http-requests.ts', import.meta.url);
    const child = runTypeScript(program, { args: [server.url, then] });
    await child.prints(/done/);
    const doneAt = performance.now();
    expect(await child.ended).toEqual({ code: 0, signal: null });
    expect(performance.now() - doneAt).toBeLessThan(12_000);
  });
});

describe('statistics', () => {
  it('show levels and counters, in all and by origin', async () => {
    const port = await refusedPort();
    await using server = await CountingServer.listen((request, response) => {
      if (request.url === '/slow') return;
      answerJson(response, {}, request.url === '/missing' ? 404 : 200);
    });
    await using client = new HttpClient('counted', { limit: 50, limitPerHost: 5, retry: false });
    await client.get(server.url);
    await client.post(`${server.url}/missing`);
    await client.get(`${server.url}/slow`, { timeouts: { readMs: 20 } }).catch(() => {});
    await client.get(`http://127.0.0.1:${port}/`).catch(() => {});
    const statistics = client.statistics();
    expect(statistics).toMatchObject({
      name: 'counted',
      state: 'running',
      limit: 50,
      limitPerHost: 5,
      maxSockets: 256,
      requests: 4,
      connectErrors: 1,
      opened: 1,
      timeouts: { total: 0, acquire: 0, connect: 0, read: 1 },
      closed: { aborted: 1 },
      acquireMs: { count: 3 },
    });
    expect(statistics.origins).toHaveLength(2);
    expect(statistics.origins[0]).toMatchObject({ origin: server.url, limit: 5, requests: 3, opened: 1 });
    expect(statistics.origins[1]).toMatchObject({ origin: `http://127.0.0.1:${port}`, requests: 1, connectErrors: 1 });
    const [metrics, refused] = client.metrics();
    expect(metrics?.acquire).toMatchObject({ count: 3 });
    expect(metrics?.requests.map(({ method, status, duration }) => [method, status, duration.count])).toEqual([
      ['GET', '200', 1],
      ['GET', 'timeout', 1],
      ['POST', '404', 1],
    ]);
    expect(refused?.requests.map(({ method, status }) => [method, status])).toEqual([['GET', 'error']]);
    expect(JSON.parse(JSON.stringify(statistics))).toEqual(statistics);
  });

  it('fold origins past the first hundred into one', async () => {
    await using client = new HttpClient('many', { retry: false, maxSockets: 1_000 });
    await Promise.allSettled(
      Array.from({ length: 250 }, (_, at) => client.get(`http://127.0.${Math.floor(at / 200)}.${(at % 200) + 1}:1/`)),
    );
    const { origins, requests } = client.statistics();
    expect(origins).toHaveLength(101);
    expect(origins.at(-1)).toMatchObject({ origin: 'other', requests: 150, connectErrors: 150 });
    expect(requests).toBe(250);
    expect(client.metrics()).toHaveLength(101);
  });

  it('fold unknown methods, and statuses without number, so that labels stay few', async () => {
    const counters = new OriginCounters('http://a', new ManualClock());
    for (const method of ['GET', 'PURGE', 'BREW', '_OTHER']) counters.finished(method, 200, 1);
    for (let status = 200; status < 600; status++) counters.finished('GET', status, 1);
    const labels = [...counters.durations()];
    expect(labels.length).toBeLessThanOrEqual(66);
    expect(labels.reduce((sum, { duration }) => sum + duration.count, 0)).toBe(404);
    expect(new Set(labels.map(({ method }) => method))).toEqual(new Set(['GET', '_OTHER']));
    await delay(0);
  });
});
