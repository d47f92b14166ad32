import { answerJson, CountingServer, refusedPort } from '#test/support/http-server.js';
import { delay } from '../testing/delay.js';
import { HttpClient } from './http-client.js';
import type { ResolveAll } from './pool/lookup.js';

describe('limits', () => {
  it('answers a burst of 3,000 requests over no more than limitPerHost sockets', async () => {
    await using server = await CountingServer.listen((request, response) => answerJson(response, { url: request.url }));
    await using client = new HttpClient('burst', { limitPerHost: 20, timeouts: { totalMs: 0, connectMs: 0 } });
    const answers = await Promise.all(
      Array.from({ length: 3_000 }, (_, at) => client.get(`${server.url}/${at}`).json<{ url: string }>()),
    );
    expect(answers.map(({ url }) => url)).toEqual(Array.from({ length: 3_000 }, (_, at) => `/${at}`));
    expect(server.peakSockets).toBeLessThanOrEqual(20);
    expect(server.accepted).toBe(20);
    expect(client.statistics()).toMatchObject({ requests: 3_000, waiting: 0, inUse: 0, idle: 20, sockets: 20 });
  });

  it('holds the total limit over eight hosts, as the servers see it', async () => {
    let running = 0;
    let peak = 0;
    const servers = await Promise.all(
      Array.from({ length: 8 }, () =>
        CountingServer.listen((_request, response) => {
          peak = Math.max(peak, ++running);
          response.once('close', () => running--);
          setTimeout(() => answerJson(response, {}), 1);
        }),
      ),
    );
    await using client = new HttpClient('hosts', {
      limit: 24,
      limitPerHost: 6,
      timeouts: { totalMs: 0, connectMs: 0 },
    });
    await Promise.all(Array.from({ length: 1_600 }, (_, at) => client.get(`${servers[at % 8]?.url}/`).json()));
    // The server may learn that an answer is written only after the client has begun the next.
    expect(peak).toBeLessThanOrEqual(25);
    for (const server of servers) expect(server.peakSockets).toBeLessThanOrEqual(6);
    expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0 });
    for (const server of servers) await server.close();
  });

  it('counts an idle connection of another host as nothing', async () => {
    await using one = await CountingServer.listen((_request, response) => answerJson(response, 1));
    await using other = await CountingServer.listen((_request, response) => answerJson(response, 2));
    await using client = new HttpClient('idle', { limit: 1 });
    expect(await client.get(one.url).json()).toBe(1);
    expect(await client.get(other.url).json()).toBe(2);
    expect(client.statistics()).toMatchObject({ idle: 2, inUse: 0, opened: 2 });
  });

  it('serves the requests to one host in the order in which they came', async () => {
    const order: string[] = [];
    await using server = await CountingServer.listen((request, response) => {
      order.push(request.url as string);
      answerJson(response, {});
    });
    await using client = new HttpClient('fifo', { limitPerHost: 1 });
    await Promise.all(Array.from({ length: 200 }, (_, at) => client.get(`${server.url}/${at}`)));
    expect(order).toEqual(Array.from({ length: 200 }, (_, at) => `/${at}`));
  });

  it('takes the hosts in turn: many requests to one delay a request to another by one turn only', async () => {
    const order: string[] = [];
    const listen = (name: string): Promise<CountingServer> =>
      CountingServer.listen((_request, response) => {
        order.push(name);
        answerJson(response, {});
      });
    await using busy = await listen('busy');
    await using quiet = await listen('quiet');
    await using client = new HttpClient('turns', { limit: 1 });
    const requests = Array.from({ length: 50 }, () => client.get(busy.url));
    requests.push(client.get(quiet.url));
    await Promise.all(requests);
    expect(order.indexOf('quiet')).toBeLessThanOrEqual(2);
    expect(order).toHaveLength(51);
  });

  it('serves three hosts one after the other while all of them have requests waiting', async () => {
    const order: number[] = [];
    const servers = await Promise.all(
      [0, 1, 2].map((host) =>
        CountingServer.listen((_request, response) => {
          order.push(host);
          answerJson(response, {});
        }),
      ),
    );
    await using client = new HttpClient('rotation', { limit: 1 });
    await Promise.all(servers.flatMap(({ url }) => Array.from({ length: 10 }, () => client.get(url))));
    // The first takes the free place at once; from the second on it goes around.
    const windows = Array.from({ length: 24 }, (_, at) => new Set(order.slice(at + 1, at + 4)).size);
    expect(windows).toEqual(Array.from({ length: 24 }, () => 3));
    for (const server of servers) await server.close();
  });

  it('gives the dial of a request that went away to the next that waits', async () => {
    await using client = new HttpClient('handed on', { limitPerHost: 1 }, { resolve: () => {} });
    const controller = new AbortController();
    const first = client.get('http://deaf.test/', { signal: controller.signal });
    const second = client.get('http://deaf.test/').catch(() => {});
    expect(client.statistics()).toMatchObject({ connecting: 1, waiting: 1, inUse: 1 });
    controller.abort('enough');
    await expect(first).rejects.toBe('enough');
    expect(client.statistics()).toMatchObject({ connecting: 1, waiting: 0, inUse: 1 });
    await client.close();
    await second;
  });

  it('keeps the socket of a request that went away while it was being opened', async () => {
    await using server = await CountingServer.listen((_request, response) => answerJson(response, {}));
    let resolved!: () => void;
    const resolve: ResolveAll = (_hostname, _options, callback) => {
      resolved = () => callback(null, [{ address: '127.0.0.1', family: 4 }]);
    };
    await using client = new HttpClient('kept dial', {}, { resolve });
    const url = `http://slow.test:${server.port}/`;
    const controller = new AbortController();
    const gone = client.get(url, { signal: controller.signal });
    controller.abort('enough');
    await expect(gone).rejects.toBe('enough');
    resolved();
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ idle: 1, connecting: 0, inUse: 0 }));
    expect((await client.get(url)).statusCode).toBe(200);
    expect(server.accepted).toBe(1);
  });

  it('does not let a host at its own limit hold up another host', async () => {
    const held: (() => void)[] = [];
    await using stuck = await CountingServer.listen((_request, response) => {
      held.push(() => answerJson(response, {}));
    });
    await using free = await CountingServer.listen((_request, response) => answerJson(response, 'free'));
    await using client = new HttpClient('blocked', { limit: 10, limitPerHost: 2 });
    const blocked = Array.from({ length: 8 }, () => client.get(stuck.url));
    for (let at = 0; at < 20; at++) expect(await client.get(free.url).json()).toBe('free');
    expect(client.statistics().origins.find(({ origin }) => origin === stuck.url)).toMatchObject({
      inUse: 2,
      waiting: 6,
    });
    while (client.statistics().waiting > 0 || held.length > 0) {
      held.shift()?.();
      await delay(1);
    }
    await Promise.all(blocked);
  });

  it('refuses the request after maxWaiting at once, and it uses no place', async () => {
    const held: (() => void)[] = [];
    await using server = await CountingServer.listen((_request, response) => {
      held.push(() => answerJson(response, {}));
    });
    await using client = new HttpClient('bounded', { limitPerHost: 1, maxWaiting: 2 });
    const accepted = Array.from({ length: 3 }, () => client.get(server.url));
    await vi.waitFor(() => expect(held).toHaveLength(1));
    const refused = client.get(`${server.url}/refused?token=secret`);
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_HTTP_QUEUE_FULL',
      pool: 'bounded',
      message: expect.stringContaining('2 requests wait already (1 of 1 in use'),
    });
    await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('secret') });
    expect(client.statistics()).toMatchObject({ waiting: 2, inUse: 1, queueRejected: 1 });
    for (let at = 0; at < 3; at++) {
      await vi.waitFor(() => expect(held.length).toBeGreaterThan(0));
      held.shift()?.();
    }
    await Promise.all(accepted);
  });

  it('closes the longest idle socket of another host over maxSockets', async () => {
    const servers = await Promise.all(
      Array.from({ length: 4 }, () => CountingServer.listen((_request, response) => answerJson(response, {}))),
    );
    await using client = new HttpClient('evicting', { maxSockets: 3 });
    for (const server of servers) await client.get(server.url);
    expect(client.statistics()).toMatchObject({ sockets: 3, idle: 3 });
    expect(client.statistics().closed.evicted).toBe(1);
    expect(client.statistics().origins.map(({ sockets }) => sockets)).toEqual([0, 1, 1, 1]);
    for (const server of servers) await server.close();
  });

  it('waits when every socket that maxSockets allows is in use, and goes on when one is free', async () => {
    await using one = await CountingServer.listen((_request, response) => {
      setTimeout(() => answerJson(response, 1), 20);
    });
    await using other = await CountingServer.listen((_request, response) => answerJson(response, 2));
    await using client = new HttpClient('sockets', { limit: 0, limitPerHost: 0, maxSockets: 2 });
    const answers = await Promise.all([one, one, other, one, other].map(({ url }) => client.get(url).json()));
    expect(answers).toEqual([1, 1, 2, 1, 2]);
    expect(one.peakSockets).toBeLessThanOrEqual(2);
    expect(client.statistics().sockets).toBeLessThanOrEqual(2);
  });

  it('opens no more sockets than allowed after refusals, and leaves none behind', async () => {
    const port = await refusedPort();
    const client = new HttpClient('recovering', { limitPerHost: 4, retry: false });
    const url = `http://127.0.0.1:${port}/`;
    const refused = await Promise.allSettled(Array.from({ length: 40 }, () => client.get(url)));
    expect(refused.filter(({ status }) => status === 'rejected')).toHaveLength(40);
    expect(client.statistics()).toMatchObject({ sockets: 0, inUse: 0, waiting: 0, connectErrors: 40 });
    await using server = await CountingServer.listen((_request, response) => {
      setTimeout(() => answerJson(response, {}), 2);
    }, port);
    await Promise.all(Array.from({ length: 40 }, () => client.get(url)));
    expect(server.peakSockets).toBe(4);
    await client.close();
    await vi.waitFor(() => expect(server.sockets.size).toBe(0));
  });

  it('has no limit where the limit is 0', async () => {
    const held: (() => void)[] = [];
    await using server = await CountingServer.listen((_request, response) => {
      held.push(() => answerJson(response, {}));
    });
    await using client = new HttpClient('unlimited', { limit: 0, limitPerHost: 0 });
    const requests = Array.from({ length: 150 }, () => client.get(server.url));
    await vi.waitFor(() => expect(held).toHaveLength(150));
    for (const answer of held) answer();
    await Promise.all(requests);
    expect(client.statistics()).toMatchObject({ limit: 0, limitPerHost: 0, idle: 150 });
  });
});
