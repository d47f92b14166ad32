import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { answerJson, CountingServer } from '#test/support/http-server.js';
import { ManualClock, settle } from '../testing/manual-clock.js';
import { HttpClient } from './http-client.js';
import type { ResolveAll } from './pool/lookup.js';

/** A server that never answers. */
function silent(): Promise<CountingServer> {
  return CountingServer.listen(() => {});
}

/** A resolver that never answers: the dial hangs until it is given up. */
const deaf: ResolveAll = () => {};

describe('deadlines', () => {
  it('rejects a queued request within 25 ms of its deadline, and leaves nothing in the queue', async () => {
    const clock = new ManualClock();
    await using server = await silent();
    await using client = new HttpClient('queued', { limitPerHost: 1, timeouts: { totalMs: 0 } }, { clock });
    const first = client.get(server.url).catch(() => {});
    await vi.waitFor(() => expect(server.requests).toBe(1));
    for (let at = 0; at < 5; at++) {
      const late = expect(client.get(server.url, { timeouts: { totalMs: 200 } })).rejects.toMatchObject({
        code: 'ERR_HTTP_TIMEOUT',
        phase: 'total',
        details: { waitingFor: 'a connection', allowedMs: 200 },
      });
      await clock.advance(199);
      expect(client.statistics().waiting).toBe(1);
      await clock.advance(26);
      expect(client.statistics().waiting).toBe(0);
      await late;
    }
    expect(client.statistics().timeouts.total).toBe(5);
    await client.close({ deadlineMs: 0 });
    await first;
  });

  it('rejects an aborted queued request with the reason of its signal, at once', async () => {
    await using server = await silent();
    await using client = new HttpClient('aborted', { limitPerHost: 1 });
    const first = client.get(server.url).catch(() => {});
    await vi.waitFor(() => expect(server.requests).toBe(1));
    const controller = new AbortController();
    const reason = { why: 'the user went away' };
    const request = client.get(server.url, { signal: controller.signal });
    expect(client.statistics().waiting).toBe(1);
    const settled = vi.fn<(error: unknown) => void>();
    request.catch(settled);
    controller.abort(reason);
    await settle();
    expect(settled).toHaveBeenCalledExactlyOnceWith(reason);
    expect(client.statistics().waiting).toBe(0);
    await client.close({ deadlineMs: 0 });
    await first;
  });

  it('rejects a request whose signal was aborted before, and opens nothing for it', async () => {
    await using client = new HttpClient('before');
    await expect(client.get('http://127.0.0.1:9', { signal: AbortSignal.abort('gone') })).rejects.toBe('gone');
    expect(client.statistics()).toMatchObject({ sockets: 0, connectErrors: 0 });
  });

  it('gives no closed connection to the next when aborted in the tick before a request is written', async () => {
    await using server = await CountingServer.listen((_request, response) => answerJson(response, {}));
    await using client = new HttpClient('tick', { limitPerHost: 1, retry: false });
    for (let at = 0; at < 10; at++) {
      await client.get(server.url);
      const controller = new AbortController();
      const aborted = client.get(server.url, { signal: controller.signal });
      const next = client.get(server.url);
      controller.abort('enough');
      await expect(aborted).rejects.toBe('enough');
      expect((await next).statusCode).toBe(200);
    }
    expect(client.statistics()).toMatchObject({ replays: 0, inUse: 0, closed: { aborted: 10 } });
  });

  it('shares one listener between all requests with one signal', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    await using server = await CountingServer.listen((_request, response) => answerJson(response, {}));
    await using client = new HttpClient('signal');
    const controller = new AbortController();
    await Promise.all(Array.from({ length: 40 }, () => client.get(server.url, { signal: controller.signal })));
    await settle();
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
    const aborted = client.get(server.url, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
  });

  describe('by the clock', () => {
    let clock: ManualClock;
    let server: CountingServer;

    beforeEach(async () => {
      clock = new ManualClock();
      server = await silent();
    });
    afterEach(() => server.close());

    it.each([
      { phase: 'acquire', timeouts: { acquireMs: 300 }, waitingFor: 'a connection' },
      { phase: 'connect', timeouts: { connectMs: 300 }, waitingFor: 'a connection' },
      { phase: 'total', timeouts: { totalMs: 300 }, waitingFor: 'a connection' },
    ])('ends a request that waits in the queue after its $phase time', async ({ phase, timeouts, waitingFor }) => {
      const client = new HttpClient('queue', { limitPerHost: 1 }, { clock });
      client.get(server.url).catch(() => {});
      await vi.waitFor(() => expect(server.requests).toBe(1));
      const request = client.get(server.url, { timeouts });
      const settled = vi.fn<(error: unknown) => void>();
      request.catch(settled);
      await clock.advance(299);
      expect(settled).not.toHaveBeenCalled();
      await clock.advance(26);
      await expect(request).rejects.toMatchObject({ phase, details: { waitingFor } });
      expect(client.statistics()).toMatchObject({ waiting: 0, inUse: 1 });
      await client.close({ deadlineMs: 0 });
    });

    it.each([
      { phase: 'read', timeouts: { headersMs: 300 } },
      { phase: 'read', timeouts: { readMs: 300 } },
      { phase: 'total', timeouts: { totalMs: 300 } },
    ])('ends a request whose headers do not come within $timeouts', async ({ phase, timeouts }) => {
      const client = new HttpClient('headers', {}, { clock });
      const request = client.get(server.url, { timeouts });
      request.catch(() => {});
      await vi.waitFor(() => expect(server.requests).toBe(1));
      await clock.advance(325);
      await expect(request).rejects.toMatchObject({ phase, details: { waitingFor: 'headers', allowedMs: 300 } });
      expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0, closed: { aborted: 1 } });
      await client.close({ deadlineMs: 0 });
    });

    it('counts readMs from the last piece of the body, not from the first', async () => {
      let write!: (chunk: string) => void;
      server.handler = (_request, response) => {
        response.writeHead(200);
        write = (chunk) => response.write(chunk);
        write('a');
      };
      const client = new HttpClient('body', { timeouts: { readMs: 300 } }, { clock });
      const { body } = await client.stream(server.url);
      const read: string[] = [];
      const failed = vi.fn<(error: unknown) => void>();
      body.setEncoding('utf8').on('data', (chunk: string) => read.push(chunk));
      body.on('error', failed);
      for (const chunk of ['b', 'c', 'd']) {
        await clock.advance(250);
        write(chunk);
        await vi.waitFor(() => expect(read.at(-1)).toBe(chunk));
      }
      expect(failed).not.toHaveBeenCalled();
      await clock.advance(325);
      await vi.waitFor(() => expect(failed).toHaveBeenCalled());
      expect(failed.mock.calls[0]?.[0]).toMatchObject({ code: 'ERR_HTTP_TIMEOUT', phase: 'read' });
      expect(client.statistics()).toMatchObject({ inUse: 0, sockets: 0 });
      await client.close({ deadlineMs: 0 });
    });

    it('covers the body with totalMs', async () => {
      server.handler = (_request, response) => {
        response.writeHead(200);
        setInterval(() => response.write('.'), 5).unref();
      };
      const client = new HttpClient('total', { timeouts: { totalMs: 300 } }, { clock });
      const request = client.get(server.url).text();
      request.catch(() => {});
      await vi.waitFor(() => expect(server.requests).toBe(1));
      await clock.advance(325);
      await expect(request).rejects.toMatchObject({ phase: 'total' });
      await client.close({ deadlineMs: 0 });
    });

    it('gives up a dial after connectMs, and its place is free again', async () => {
      const client = new HttpClient('dial', { timeouts: { connectMs: 300 } }, { clock, resolve: deaf });
      const request = client.get('http://deaf.test/');
      request.catch(() => {});
      expect(client.statistics()).toMatchObject({ connecting: 1, inUse: 1, waiting: 0 });
      await clock.advance(325);
      await expect(request).rejects.toMatchObject({ phase: 'connect', details: { waitingFor: 'the socket to open' } });
      await clock.advance(10);
      expect(client.statistics()).toMatchObject({ connecting: 0, inUse: 0, sockets: 0 });
      await client.close({ deadlineMs: 0 });
    });

    it('rejects an aborted request at once while its socket is being opened, and keeps the place until the dial ends', async () => {
      const client = new HttpClient('dial', { timeouts: { connectMs: 300 } }, { clock, resolve: deaf });
      const controller = new AbortController();
      const request = client.get('http://deaf.test/', { signal: controller.signal });
      controller.abort(new Error('no longer wanted'));
      await expect(request).rejects.toThrow('no longer wanted');
      expect(client.statistics()).toMatchObject({ connecting: 1, inUse: 1 });
      await clock.advance(325);
      expect(client.statistics()).toMatchObject({ connecting: 0, inUse: 0, sockets: 0 });
      await client.close({ deadlineMs: 0 });
    });

    it('leaves no deadline and no timer behind', async () => {
      server.handler = (_request, response) => answerJson(response, {});
      const client = new HttpClient('timers', {}, { clock });
      await Promise.all(Array.from({ length: 50 }, () => client.get(server.url)));
      await client.close();
      expect(clock.pendingTimers).toBe(0);
    });

    it('does not time out while a large request is still being written', async () => {
      const tcp = await new Promise<Server>((resolve) => {
        const listening = createTcpServer((socket) => {
          socket.on('error', () => {});
          socket.pause();
        }).listen(0, '127.0.0.1', () => resolve(listening));
      });
      const client = new HttpClient('upload', { timeouts: { readMs: 300, totalMs: 2_000 } }, { clock });
      const request = client.post(`http://127.0.0.1:${(tcp.address() as AddressInfo).port}/`, {
        body: Buffer.alloc(32 * 1024 * 1024),
      });
      const settled = vi.fn<(error: unknown) => void>();
      request.catch(settled);
      await vi.waitFor(() => expect(client.statistics().idle + client.statistics().inUse).toBe(1));
      await vi.waitFor(() => expect(client.statistics().connecting).toBe(0));
      await clock.advance(1_500);
      expect(settled).not.toHaveBeenCalled();
      await clock.advance(600);
      await expect(request).rejects.toMatchObject({ phase: 'total' });
      await client.close({ deadlineMs: 0 });
      tcp.close();
    });
  });
});
