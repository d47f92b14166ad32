import { answerJson, bodyOf, CountingServer, refusedPort } from '#test/support/http-server.js';
import { ManualClock, settle } from '../../testing/manual-clock.js';
import { HttpClient } from '../http-client.js';
import { RetryBudget } from '../pool/retry-budget.js';
import { backoffMs, retryAfterMs } from './retry.js';

/** Answers each request with the next of some statuses, then with 200. */
function answering(...statuses: readonly (number | { status: number; headers: Record<string, string> })[]) {
  const left = [...statuses];
  return CountingServer.listen((request, response) => {
    void bodyOf(request).then((body) => {
      const next = left.shift() ?? 200;
      const status = typeof next === 'number' ? next : next.status;
      if (typeof next !== 'number')
        for (const [name, value] of Object.entries(next.headers)) response.setHeader(name, value);
      answerJson(response, { status, body: body.toString() }, status);
    });
  });
}

describe('retries', () => {
  it('tries an idempotent request again after 503, on the same socket', async () => {
    await using server = await answering(503, 502);
    await using client = new HttpClient('again', {}, { random: () => 0 });
    expect(await client.get(server.url).json()).toEqual({ status: 200, body: '' });
    expect(client.statistics()).toMatchObject({ requests: 1, retries: 2, opened: 1 });
    expect(server.requests).toBe(3);
  });

  it('hands out the last answer when the attempts are used up', async () => {
    await using server = await answering(503, 503, 503, 503);
    await using client = new HttpClient('last', {}, { random: () => 0 });
    expect((await client.get(server.url)).statusCode).toBe(503);
    expect(server.requests).toBe(3);
  });

  it('does not try a POST again, unless it carries an idempotency key or POST is among the methods', async () => {
    await using server = await answering(503, 503, 200, 503);
    await using client = new HttpClient('post', {}, { random: () => 0 });
    expect((await client.post(server.url, { json: 1 })).statusCode).toBe(503);
    expect((await client.post(server.url, { json: 2, headers: { 'idempotency-key': 'x' } })).statusCode).toBe(200);
    expect((await client.post(server.url, { json: 3, retry: { methods: ['post'] } })).json()).toMatchObject({
      body: '3',
    });
    expect(client.statistics().retries).toBe(2);
  });

  it('tries nothing again when retry is false', async () => {
    await using server = await answering(503, 503);
    await using client = new HttpClient('never', { retry: false });
    expect((await client.get(server.url)).statusCode).toBe(503);
    await using usual = new HttpClient('usual', {});
    expect((await usual.get(server.url, { retry: false })).statusCode).toBe(503);
    expect(server.requests).toBe(2);
  });

  it('waits at least as long as Retry-After says, in seconds', async () => {
    const clock = new ManualClock();
    await using server = await answering({ status: 429, headers: { 'retry-after': '2' } });
    const client = new HttpClient('seconds', {}, { clock });
    const request = client.get(server.url);
    await vi.waitFor(() => expect(client.statistics().retries).toBe(1));
    await clock.advance(1_999);
    expect(server.requests).toBe(1);
    await clock.advance(2);
    expect((await request).statusCode).toBe(200);
    await client.close();
  });

  it('waits until the date in Retry-After', async () => {
    const clock = new ManualClock();
    const until = new Date(clock.wallNow() + 5_000).toUTCString();
    await using server = await answering({ status: 503, headers: { 'retry-after': until } });
    const client = new HttpClient('date', {}, { clock });
    const request = client.get(server.url);
    await vi.waitFor(() => expect(client.statistics().retries).toBe(1));
    await clock.advance(4_990);
    expect(server.requests).toBe(1);
    await clock.advance(20);
    expect((await request).statusCode).toBe(200);
    await client.close();
  });

  it('answers at once when Retry-After lies beyond the deadline', async () => {
    await using server = await answering({ status: 503, headers: { 'retry-after': '60' } });
    const client = new HttpClient('beyond', {}, { clock: new ManualClock() });
    expect((await client.get(server.url)).statusCode).toBe(503);
    expect(client.statistics().retries).toBe(0);
    await client.close();
  });

  it('ends at once when aborted between two attempts, and leaves no timer', async () => {
    const clock = new ManualClock();
    await using server = await answering({ status: 503, headers: { 'retry-after': '10' } });
    const client = new HttpClient('pause', {}, { clock });
    const controller = new AbortController();
    const request = client.get(server.url, { signal: controller.signal });
    await vi.waitFor(() => expect(client.statistics().retries).toBe(1));
    controller.abort(new Error('enough'));
    await expect(request).rejects.toThrow('enough');
    await client.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it('keeps a dead host’s storm to a tenth more requests', async () => {
    await using server = await CountingServer.listen((_request, response) => answerJson(response, {}, 503));
    await using client = new HttpClient('storm', {}, { random: () => 0 });
    await Promise.all(Array.from({ length: 1_000 }, () => client.get(server.url)));
    expect(server.requests).toBeLessThanOrEqual(1_100);
    expect(client.statistics().retries).toBe(server.requests - 1_000);
    expect(client.statistics().retries).toBeGreaterThanOrEqual(90);
  });

  it('tries again when the connection was refused, and rejects with the real error', async () => {
    const port = await refusedPort();
    await using client = new HttpClient('refused', {}, { random: () => 0 });
    await expect(client.get(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(client.statistics()).toMatchObject({ retries: 2, connectErrors: 3, inUse: 0, sockets: 0 });
  });

  it('remembers the budget of a host that has no connection left', async () => {
    const port = await refusedPort();
    await using client = new HttpClient('dead', {}, { random: () => 0 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 500 }, () => client.get(`http://127.0.0.1:${port}/`)),
    );
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    expect(client.statistics().retries).toBeLessThanOrEqual(50);
    expect(client.statistics().connectErrors).toBeLessThanOrEqual(550);
  });

  it('tries again when the answer breaks off, since the caller has seen nothing of it', async () => {
    let broken = false;
    await using server = await CountingServer.listen((request, response) => {
      if (broken) return answerJson(response, 'whole');
      broken = true;
      response.writeHead(200, { 'content-length': '100' });
      response.write('half');
      setTimeout(() => request.socket.destroy(), 5);
    });
    await using client = new HttpClient('broken', {}, { random: () => 0 });
    expect(await client.get(server.url).json()).toBe('whole');
    expect(client.statistics().retries).toBe(1);
  });

  it('does not read a large answer that it is going to replace', async () => {
    let first = true;
    await using server = await CountingServer.listen((_request, response) => {
      if (!first) return answerJson(response, 'small');
      first = false;
      response.writeHead(503);
      response.end(Buffer.alloc(10 * 1024 * 1024));
    });
    await using client = new HttpClient('large', {}, { random: () => 0 });
    expect(await client.get(server.url).json()).toBe('small');
    expect(client.statistics().closed.aborted).toBe(1);
  });

  it('backs off with full jitter, longer each time and never past five seconds', () => {
    expect(backoffMs(1, 0, 0.999)).toBeCloseTo(99.9);
    expect(backoffMs(3, 0, 0.5)).toBe(200);
    expect(backoffMs(20, 0, 1)).toBe(5_000);
    expect(backoffMs(1, 7_000, 0.1)).toBe(7_000);
  });

  it('reads Retry-After in both forms, and nothing from nonsense', () => {
    const now = Date.UTC(2026, 0, 1);
    expect(retryAfterMs('3', now)).toBe(3_000);
    expect(retryAfterMs(new Date(now + 4_000).toUTCString(), now)).toBe(4_000);
    expect(retryAfterMs(new Date(now - 4_000).toUTCString(), now)).toBe(0);
    expect(retryAfterMs('soon', now)).toBe(0);
    expect(retryAfterMs(undefined, now)).toBe(0);
    expect(retryAfterMs('99999999999', now)).toBe(99_999_999_999_000);
    for (const nonsense of ['', '-5', '1.5', '1e3', '9/9/2099', 'Thu', '12 apples']) {
      expect([nonsense, retryAfterMs(nonsense, now)]).toEqual([nonsense, 0]);
    }
  });

  it('forgets what lies further back than two windows', async () => {
    const clock = new ManualClock();
    const budget = new RetryBudget(clock);
    const policy = { attempts: 1, methods: [], statusCodes: [], budget: 0.1 };
    const taken = (): number => {
      let count = 0;
      while (budget.take(policy)) count++;
      return count;
    };
    for (let at = 0; at < 500; at++) budget.request();
    expect(taken()).toBe(50);
    await clock.advance(10_001);
    expect(taken()).toBe(0);
    await clock.advance(10_001);
    expect(taken()).toBe(10);
    expect(budget.take({ ...policy, budget: 0 })).toBe(false);
    await settle();
  });
});

describe('redirects', () => {
  it('are answers like any other unless asked for', async () => {
    await using server = await answering({ status: 302, headers: { location: '/elsewhere' } });
    await using client = new HttpClient('plain');
    expect(await client.get(server.url)).toMatchObject({ statusCode: 302, headers: { location: '/elsewhere' } });
  });

  it('are followed within a limit of one connection, without a deadlock', async () => {
    await using server = await CountingServer.listen((request, response) => {
      const hop = Number((request.url as string).slice(1));
      if (hop === 3) return answerJson(response, { hop });
      response.writeHead(302, { location: `/${hop + 1}` }).end();
    });
    await using client = new HttpClient('follow', { limit: 1, redirect: true });
    const response = await client.get(`${server.url}/0`);
    expect(response.json()).toEqual({ hop: 3 });
    expect(response.url).toBe(`${server.url}/3`);
    expect(client.statistics()).toMatchObject({ opened: 1, requests: 1 });
  });

  it('lose their credentials across origins, and keep them within one', async () => {
    const seen: unknown[] = [];
    await using other = await CountingServer.listen((request, response) => {
      seen.push(request.headers.authorization, request.headers.cookie, request.headers['x-kept']);
      answerJson(response, {});
    });
    await using server = await CountingServer.listen((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(307, { location: request.url === '/' ? '/same' : `${other.url}/` }).end();
    });
    await using client = new HttpClient('credentials', { limit: 1 });
    const headers = { authorization: 'Bearer secret', cookie: 'a=1', 'x-kept': 'yes' };
    await client.get(server.url, { headers, redirect: { max: 5 } });
    expect(seen).toEqual(['Bearer secret', 'Bearer secret', undefined, undefined, 'yes']);
  });

  it.each([
    { status: 303, method: 'POST', becomes: 'GET', body: '' },
    { status: 302, method: 'POST', becomes: 'GET', body: '' },
    { status: 307, method: 'POST', becomes: 'POST', body: '{"a":1}' },
    { status: 308, method: 'PUT', becomes: 'PUT', body: '{"a":1}' },
  ])('turn $method into $becomes after $status', async ({ status, method, becomes, body }) => {
    await using server = await CountingServer.listen((request, response) => {
      if (request.url === '/') return void response.writeHead(status, { location: '/next' }).end();
      void bodyOf(request).then((sent) =>
        answerJson(response, { method: request.method, body: sent.toString(), type: request.headers['content-type'] }),
      );
    });
    await using client = new HttpClient('methods', { redirect: true });
    const response = await client.request(server.url, { method, json: { a: 1 } });
    expect(response.json()).toEqual({
      method: becomes,
      body,
      ...(body === '' ? {} : { type: 'application/json' }),
    });
  });

  it('end with the last answer after the greatest number that is followed', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      response.writeHead(302, { location: '/again' }).end();
    });
    await using client = new HttpClient('loop', { redirect: { max: 3 } });
    expect((await client.get(server.url)).statusCode).toBe(302);
    expect(server.requests).toBe(4);
  });
});
