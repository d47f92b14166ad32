import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { CountingServer } from '#test/support/http-server.js';
import { HttpClient } from '../http-client.js';
import { Aborts, type Abortable } from './aborts.js';

describe('aborts', () => {
  it('reach everything that watches a signal, once, and nothing that was forgotten', () => {
    const aborts = new Aborts();
    const controller = new AbortController();
    const reached: string[] = [];
    const watching = (name: string): Abortable => {
      const abortable = { aborted: (reason: unknown) => reached.push(`${name}: ${String(reason)}`) };
      aborts.watch(controller.signal, abortable);
      return abortable;
    };
    watching('one');
    const forgotten = watching('two');
    watching('three');
    aborts.forget(controller.signal, forgotten);
    aborts.forget(new AbortController().signal, forgotten);
    controller.abort('enough');
    controller.abort('again');
    expect(reached).toEqual(['one: enough', 'three: enough']);
  });
});

describe('a signal', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;

  /** Bytes alive after some rounds of requests: once everything is warm, and at the end. */
  async function growth(rounds: number, round: () => Promise<unknown>): Promise<number> {
    let warm = 0;
    for (let at = 0; at < rounds; at++) {
      await round();
      if (at !== Math.floor(rounds / 3) && at !== rounds - 1) continue;
      for (let pass = 0; pass < 3; pass++) {
        collect();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      if (at < rounds - 1) warm = process.memoryUsage().heapUsed;
    }
    return process.memoryUsage().heapUsed - warm;
  }

  it('is no longer listened to once its last request has ended, however it did', async () => {
    await using server = await CountingServer.listen((request, response) => {
      if (request.url === '/break') request.socket.destroy();
      else response.end('ok');
    });
    await using client = new HttpClient('listeners', { retry: false });
    const { signal } = new AbortController();
    const requests = [
      client.get(server.url, { signal }),
      client.get(`${server.url}/break`, { signal }),
      client.stream(server.url, { signal }).then(({ body }) => body.resume()),
      client.get(server.url, { signal, timeouts: { totalMs: 1 } }),
    ];
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await Promise.allSettled(requests);
    await vi.waitFor(() => expect(client.statistics().inUse).toBe(0));
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('serves 20,000 requests without growth and without a warning', { timeout: 60_000 }, async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error): void => void warnings.push(warning);
    process.on('warning', warned);
    await using server = await CountingServer.listen((_request, response) => response.end('ok'));
    await using client = new HttpClient('one signal');
    const shutdown = new AbortController().signal;
    const timeout = AbortSignal.timeout(600_000);
    const grown = await growth(100, () =>
      Promise.all(
        Array.from({ length: 200 }, (_, at) => {
          if (at % 4 === 0) return client.get(server.url, { signal: timeout });
          if (at % 4 === 1) return client.get(server.url, { signal: shutdown });
          const signal = AbortSignal.any([shutdown, at % 4 === 2 ? timeout : new AbortController().signal]);
          return client.get(server.url, { signal });
        }),
      ),
    );
    process.off('warning', warned);
    expect(client.statistics().requests).toBe(20_000);
    expect(warnings).toEqual([]);
    for (const signal of [shutdown, timeout]) expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    // Two thirds of the requests were made meanwhile: what stayed of each is less than 150 bytes, and was 1,500.
    expect(grown).toBeLessThan(2_000_000);
  });

  it(
    'gathers no listeners from `fetch`, however its answer is read, and aborts it to the end',
    { timeout: 60_000 },
    async () => {
      const warnings: Error[] = [];
      const warned = (warning: Error): void => void warnings.push(warning);
      process.on('warning', warned);
      await using server = await CountingServer.listen((request, response) => {
        if (request.url === '/break') request.socket.destroy();
        else if (request.url === '/slow') response.write('first');
        else if (request.url === '/empty') response.writeHead(204).end();
        else response.end('ok');
      });
      await using client = new HttpClient('fetching', { baseUrl: server.url });
      const controller = new AbortController();
      const { signal } = controller;
      const request = new Request(`${server.url}/`, { signal: new AbortController().signal });
      const listeners = (): number[] => [signal, request.signal].map((each) => getEventListeners(each, 'abort').length);
      for (let round = 0; round < 20; round++) {
        await Promise.all([
          ...Array.from({ length: 10 }, () => client.fetch('/', { signal }).then((response) => response.text())),
          ...Array.from({ length: 5 }, () => client.fetch(request).then((response) => response.json().catch(() => {}))),
          client.fetch('/empty', { signal }),
          client.fetch('/break', { signal }).catch(() => {}),
          client.fetch('data:text/plain,here', { signal }).then((response) => response.arrayBuffer()),
        ]);
        expect(listeners()).toEqual([0, 0]);
      }
      const unread = await client.fetch('/', { signal });
      const streamed = (await client.fetch('/', { signal })).body!.getReader();
      while (!(await streamed.read()).done);
      const reading = (await client.fetch('/slow', { signal })).text();
      const early = client.fetch('/slow', { signal });
      expect(listeners()).toEqual([1, 0]);
      controller.abort('enough');
      await expect(reading).rejects.toBe('enough');
      await expect(early).rejects.toBe('enough');
      await expect(unread.text()).rejects.toBe('enough');
      process.off('warning', warned);
      expect(listeners()).toEqual([0, 0]);
      expect(warnings).toEqual([]);
    },
  );

  it('is no longer listened to once an answer to `fetch` was dropped and collected', { timeout: 60_000 }, async () => {
    await using server = await CountingServer.listen((_request, response) => response.end('ok'));
    await using client = new HttpClient('dropping', { leakDetectionMs: 0 });
    const { signal } = new AbortController();
    for (let at = 0; at < 20; at++) await client.fetch(server.url, { signal });
    await vi.waitFor(() => {
      collect();
      expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    });
  });
});
