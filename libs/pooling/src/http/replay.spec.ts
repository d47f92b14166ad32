import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { answerJson, bodyOf, CountingServer } from '#test/support/http-server.js';
import { delay } from '../testing/delay.js';
import { ManualClock } from '../testing/manual-clock.js';
import { HttpClient } from './http-client.js';
import type { HttpClientStatistics } from './pool/statistics.js';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok';

/** A server that answers so many requests on each socket and ends the next unanswered, as one whose keep-alive ran out. */
async function forgetful(answers: number, end: (socket: Socket) => void): Promise<Server & { requests: number }> {
  const server = Object.assign(
    createServer((socket) => {
      let left = answers;
      socket.on('error', () => {});
      socket.on('data', () => {
        server.requests++;
        if (left-- > 0) socket.write(ANSWER);
        else end(socket);
      });
    }),
    { requests: 0 },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const ends = [
  { how: 'FIN', end: (socket: Socket): void => void socket.end() },
  { how: 'RST', end: (socket: Socket): void => void socket.resetAndDestroy() },
];

describe('a kept socket that died', () => {
  it.each(ends)('is replaced unseen for an idempotent request ($how)', async ({ end }) => {
    const server = await forgetful(1, end);
    await using client = new HttpClient('replay', { retry: false });
    for (let at = 0; at < 10; at++) expect(await client.get(urlOf(server)).text()).toBe('ok');
    expect(client.statistics()).toMatchObject({ requests: 10, replays: 9, retries: 0 });
    server.close();
  });

  it.each(ends)('is the caller’s to see for a POST ($how)', async ({ end }) => {
    const server = await forgetful(1, end);
    await using client = new HttpClient('post', {});
    await client.post(urlOf(server), { json: {} });
    await expect(client.post(urlOf(server), { json: {} })).rejects.toMatchObject({
      code: expect.stringMatching(/^(UND_ERR_SOCKET|ECONNRESET|EPIPE)$/),
    });
    expect(client.statistics().replays).toBe(0);
    expect(server.requests).toBe(2);
    server.close();
  });

  it('is replaced for a POST that carries an idempotency key', async () => {
    const server = await forgetful(1, (socket) => void socket.end());
    await using client = new HttpClient('key', { retry: false });
    const init = { json: {}, headers: { 'Idempotency-Key': '1' } };
    await client.post(urlOf(server), init);
    expect(await client.post(urlOf(server), init).text()).toBe('ok');
    expect(client.statistics().replays).toBe(1);
    server.close();
  });

  it('is not replaced when it was a new one: that is a failure like any other', async () => {
    const server = await forgetful(0, (socket) => void socket.end());
    await using client = new HttpClient('new', { retry: false });
    await expect(client.get(urlOf(server))).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' });
    expect(server.requests).toBe(1);
    server.close();
  });

  it('does not replay a streamed body that was sent already', async () => {
    const server = await forgetful(1, (socket) => void socket.end());
    await using client = new HttpClient('stream', {});
    await client.get(urlOf(server));
    async function* body(): AsyncGenerator<Buffer> {
      yield await Promise.resolve(Buffer.from('once'));
    }
    await expect(client.put(urlOf(server), { body: body() })).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' });
    server.close();
  });

  it('makes the body again for a replay when it is given as a function', async () => {
    const bodies: string[] = [];
    await using server = await CountingServer.listen((request, response) => {
      void bodyOf(request).then((body) => {
        bodies.push(body.toString());
        if (bodies.length === 2) return request.socket.destroy();
        answerJson(response, {});
      });
    });
    await using client = new HttpClient('factory', { retry: false });
    async function* body(): AsyncGenerator<Buffer> {
      yield await Promise.resolve(Buffer.from('again'));
    }
    await client.put(server.url, { body });
    await client.put(server.url, { body });
    expect(bodies).toEqual(['again', 'again', 'again']);
    expect(client.statistics().replays).toBe(1);
  });

  it('takes the others that idled as long with it', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      setTimeout(() => answerJson(response, {}), 5);
    });
    await using client = new HttpClient('suspects', { retry: false });
    await Promise.all(Array.from({ length: 5 }, () => client.get(server.url)));
    expect(client.statistics().idle).toBe(5);
    let first = true;
    const answer = server.handler;
    server.handler = (request, response) => {
      if (!first) return answer(request, response);
      first = false;
      request.socket.destroy();
    };
    await client.get(server.url);
    expect(client.statistics()).toMatchObject({ replays: 1, idle: 1, opened: 6 });
    expect(client.statistics().closed.stale).toBe(4);
  });

  it(
    'shows no error for 5,000 idempotent requests around the server’s keep-alive expiry',
    { timeout: 120_000 },
    async () => {
      const KEEP_ALIVE_MS = 20;
      // No hint reaches the client: it can't know when the server closes, in whichever way.
      let sockets = 0;
      const server = createServer((socket) => {
        const socketNumber = sockets++;
        let expiry: NodeJS.Timeout | undefined;
        socket.on('error', () => {});
        socket.on('data', () => {
          clearTimeout(expiry);
          socket.write(ANSWER);
          expiry = setTimeout(() => ends[socketNumber % 2]?.end(socket), KEEP_ALIVE_MS);
        });
        socket.on('close', () => clearTimeout(expiry));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      // One socket each: a shared one would be used again too soon to expire.
      const clients = Array.from({ length: 100 }, (_, at) => new HttpClient(`expiry ${at}`, { retry: false }));
      const errors: unknown[] = [];
      await Promise.all(
        clients.map(async (client, worker) => {
          for (let at = 0; at < 50; at++) {
            await client.get(urlOf(server)).catch((error: unknown) => errors.push(error));
            // From 3 ms before to 3 ms after.
            await delay(KEEP_ALIVE_MS - 3 + ((at + worker) % 7));
          }
        }),
      );
      const statistics = clients.map((client) => client.statistics());
      const sum = (of: (each: HttpClientStatistics) => number): number =>
        statistics.reduce((total, each) => total + of(each), 0);
      expect(errors).toEqual([]);
      expect(sum(({ requests }) => requests)).toBe(5_000);
      expect(sum(({ inUse, waiting }) => inUse + waiting)).toBe(0);
      expect(sum(({ closed }) => closed.peer)).toBeGreaterThan(500);
      expect(sum(({ replays }) => replays)).toBeGreaterThan(100);
      for (const client of clients) await client.close();
      server.close();
    },
  );
});

describe('keeping sockets', () => {
  it.each([
    { what: 'HEAD', send: (client: HttpClient, url: string) => client.head(url) },
    { what: 'GET with a body', send: (client: HttpClient, url: string) => client.get(url, { body: 'x' }) },
    { what: 'DELETE with a body', send: (client: HttpClient, url: string) => client.delete(url, { json: {} }) },
    { what: 'POST', send: (client: HttpClient, url: string) => client.post(url, { json: {} }) },
  ])('uses one socket for twenty requests: $what', async ({ send }) => {
    await using server = await CountingServer.listen((request, response) => {
      void bodyOf(request).then(() => answerJson(response, {}));
    });
    await using client = new HttpClient('reuse', {});
    for (let at = 0; at < 20; at++) expect((await send(client, server.url)).statusCode).toBe(200);
    expect(server.accepted).toBe(1);
  });

  it('keeps a socket although the server’s hint is as short as 2 s', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      response.setHeader('keep-alive', 'timeout=2');
      response.setHeader('connection', 'keep-alive');
      answerJson(response, {});
    });
    await using client = new HttpClient('hint', {}, { clock: new ManualClock() });
    for (let at = 0; at < 20; at++) await client.get(server.url);
    expect(server.accepted).toBe(1);
  });

  it.each([
    { hint: 'timeout=5', keptMs: 4_000 },
    { hint: 'timeout=2', keptMs: 1_000 },
    { hint: 'timeout=600', keptMs: 25_000 },
    { hint: undefined, keptMs: 15_000 },
  ])('closes an idle socket after $keptMs ms when the server hints $hint', async ({ hint, keptMs }) => {
    const clock = new ManualClock();
    await using server = await CountingServer.listen((_request, response) => {
      if (hint !== undefined) response.setHeader('keep-alive', hint);
      response.setHeader('connection', 'keep-alive');
      answerJson(response, {});
    });
    server.server.keepAliveTimeout = 0;
    const client = new HttpClient('idle', {}, { clock });
    await client.get(server.url);
    await clock.advance(keptMs - 5);
    expect(client.statistics()).toMatchObject({ idle: 1, sockets: 1 });
    await clock.advance(10);
    expect(client.statistics()).toMatchObject({ idle: 0, sockets: 0, closed: { idle: 1 } });
    await client.close();
  });

  it('does not use an idle socket past its time although the timer could not run', async () => {
    /** An event loop that was stalled: time has passed, and no timer has fired yet. */
    class StalledClock extends ManualClock {
      override setBackgroundTimeout(): object {
        return {};
      }
    }
    const clock = new StalledClock();
    await using server = await CountingServer.listen((_request, response) => answerJson(response, {}));
    server.server.keepAliveTimeout = 0;
    const client = new HttpClient('stalled', {}, { clock });
    await client.get(server.url);
    await clock.advance(14_000);
    await client.get(server.url);
    expect(server.accepted).toBe(1);
    await clock.advance(60_000);
    await client.get(server.url);
    expect(server.accepted).toBe(2);
    expect(client.statistics().closed.idle).toBe(1);
    await client.close();
  });

  it('closes a socket that came of age during an exchange when the exchange has ended', async () => {
    const clock = new ManualClock();
    let answer!: () => void;
    await using server = await CountingServer.listen((_request, response) => {
      answer = () => answerJson(response, 'late');
    });
    const options = { maxSocketAgeMs: 10_000, timeouts: { totalMs: 0, readMs: 0 } };
    const client = new HttpClient('of age', options, { clock, random: () => 0.5 });
    const request = client.get(server.url).json();
    await vi.waitFor(() => expect(server.requests).toBe(1));
    await clock.advance(10_001);
    expect(client.statistics()).toMatchObject({ inUse: 1, closed: { age: 0 } });
    answer();
    expect(await request).toBe('late');
    expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0, closed: { age: 1 } });
    await client.close();
  });

  it('keeps no socket when keepAliveMs is 0, and says so to the server', async () => {
    const connections: unknown[] = [];
    await using server = await CountingServer.listen((request, response) => {
      connections.push(request.headers.connection);
      answerJson(response, {});
    });
    await using client = new HttpClient('unkept', { keepAliveMs: 0 });
    for (let at = 0; at < 3; at++) await client.get(server.url);
    expect(connections).toEqual(['close', 'close', 'close']);
    expect(client.statistics()).toMatchObject({ opened: 3, sockets: 0, closed: { 'not-kept': 3 } });
  });

  it('opens a new socket when the server asks to close the old one', async () => {
    await using server = await CountingServer.listen((_request, response) => {
      response.setHeader('connection', 'close');
      answerJson(response, {});
    });
    await using client = new HttpClient('close', { retry: false });
    for (let at = 0; at < 5; at++) await client.get(server.url);
    expect(server.accepted).toBe(5);
    expect(client.statistics()).toMatchObject({ replays: 0, closed: { 'not-kept': 5 } });
  });

  it('recycles sockets of full age under constant load, and every request succeeds', async () => {
    const clock = new ManualClock();
    await using server = await CountingServer.listen((_request, response) => answerJson(response, {}));
    server.server.keepAliveTimeout = 0;
    const client = new HttpClient('age', { maxSocketAgeMs: 10_000, limitPerHost: 4 }, { clock, random: () => 0.5 });
    for (let at = 0; at < 60; at++) {
      await Promise.all(Array.from({ length: 4 }, () => client.get(server.url).json()));
      await clock.advance(1_000);
    }
    const { closed, opened } = client.statistics();
    expect(closed.age).toBeGreaterThanOrEqual(16);
    expect(opened).toBe(server.accepted);
    expect(server.peakSockets).toBeLessThanOrEqual(5);
    await client.close();
  });

  it('spreads the age limit by a tenth either way', async () => {
    const clock = new ManualClock();
    await using server = await CountingServer.listen((_request, response) => answerJson(response, {}));
    server.server.keepAliveTimeout = 0;
    const options = { maxSocketAgeMs: 10_000, keepAliveMs: 60_000 };
    const youngest = new HttpClient('young', options, { clock, random: () => 0 });
    const oldest = new HttpClient('old', options, { clock, random: () => 0.999 });
    await youngest.get(server.url);
    await oldest.get(server.url);
    await clock.advance(9_010);
    expect(youngest.statistics().closed.age).toBe(1);
    await clock.advance(1_900);
    expect(oldest.statistics().closed.age).toBe(0);
    await clock.advance(100);
    expect(oldest.statistics().closed.age).toBe(1);
    await youngest.close();
    await oldest.close();
  });
});
