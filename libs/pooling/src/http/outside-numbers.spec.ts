import { Readable } from 'node:stream';
import { Deadline, Deadlines } from '../core/deadlines.js';
import { LONGEST_DELAY_MS } from '../core/validation.js';
import { CountingServer } from '#test/support/http-server.js';
import { rawAnswer, RawServer } from '#test/support/raw-server.js';
import { ManualClock, settle } from '../testing/manual-clock.js';
import { HttpClient } from './http-client.js';

const OK = rawAnswer(['HTTP/1.1 200 OK', 'Content-Length: 2'], 'ok');
const DAY_S = 24 * 60 * 60;

/** Lets what goes over sockets arrive, while the clock of the client stands still. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await settle();
}

describe('Retry-After', () => {
  const clock = new ManualClock();
  const date = (inMs: number): string => new Date(clock.wallNow() + inMs).toUTCString();

  /** The status that a caller gets when the first answer is 503 with these lines, and the clock is turned by so much. */
  async function ask(
    lines: readonly string[],
    waitsMs: number,
    options: { maxRetryAfterMs?: number } = {},
  ): Promise<number> {
    await using server = await RawServer.listen((_request, socket) => {
      const busy = rawAnswer(['HTTP/1.1 503 Busy', ...lines, 'Content-Length: 0']);
      socket.write(server.requests === 1 ? busy : OK);
    });
    const timeouts = { totalMs: 0, readMs: 0 };
    await using client = new HttpClient('asked', { ...options, timeouts }, { clock, random: () => 0 });
    let statusCode = 0;
    const answer = client.get(server.url).then((response) => (statusCode = response.statusCode));
    if (waitsMs > 0) {
      await until(() => client.statistics().retries === 1 && client.statistics().inUse === 0);
      await clock.advance(waitsMs - 1);
      expect([statusCode, server.requests]).toEqual([0, 1]);
      await clock.advance(1);
    }
    return await answer;
  }

  it.each([
    ['3,600 seconds', ['Retry-After: 3600']],
    ['25 days', [`Retry-After: ${25 * DAY_S}`]],
    ['99999999999 seconds', ['Retry-After: 99999999999']],
    ['more than a number holds', [`Retry-After: ${'9'.repeat(400)}`]],
    ['a date in an hour', [`Retry-After: ${date(3_600_000)}`]],
    ['a date in a thousand years', ['Retry-After: Fri, 31 Dec 3026 23:59:59 GMT']],
    ['61 seconds and one on two lines', ['Retry-After: 61', 'Retry-After: 1']],
  ])('of %s is not waited for: the answer is the answer', async (_what, lines) => {
    expect(await ask(lines, 0)).toBe(503);
  });

  it.each([
    ['a minute', ['Retry-After: 60'], 60_000],
    ['no time', ['Retry-After: 0'], 0],
    ['a date that has passed', [`Retry-After: ${date(-3_600_000)}`], 0],
    ['less than nothing', ['Retry-After: -5'], 0],
    ['garbage', ['Retry-After: 9/9/2099'], 0],
    ['nothing', ['Retry-After: '], 0],
  ])('of %s is obeyed', async (_what, lines, atLeastMs) => {
    expect(await ask(lines, atLeastMs)).toBe(200);
  });

  it('is bounded by maxRetryAfterMs, which is checked as every option is', async () => {
    expect(await ask(['Retry-After: 2'], 0, { maxRetryAfterMs: 1_999 })).toBe(503);
    expect(await ask(['Retry-After: 3600'], 3_600_000, { maxRetryAfterMs: 3_600_000 })).toBe(200);
    expect(() => new HttpClient('wrong', { maxRetryAfterMs: -1 })).toThrow(/maxRetryAfterMs/);
    expect(() => new HttpClient('wrong', { maxRetryAfterMs: 2 ** 31 })).toThrow(/maxRetryAfterMs/);
  });
});

describe('a Keep-Alive hint', () => {
  it.each([
    ['no time', 'timeout=0', 2],
    ['more than a timer holds', 'timeout=99999999999', 1],
    ['more than a number holds', `timeout=${'9'.repeat(400)}`, 1],
    ['less than nothing', 'timeout=-5', 1],
    ['garbage', 'timeout=soon, max=none', 1],
  ])('of %s overflows nothing', async (_what, hint, sockets) => {
    const warnings: Error[] = [];
    const warned = (warning: Error): void => void warnings.push(warning);
    process.on('warning', warned);
    await using server = await RawServer.listen((_request, socket) => {
      socket.write(rawAnswer(['HTTP/1.1 200 OK', `Keep-Alive: ${hint}`, 'Content-Length: 2'], 'ok'));
    });
    await using client = new HttpClient('hinted', { keepAliveMs: LONGEST_DELAY_MS });
    for (let at = 0; at < 2; at++) {
      expect(await client.get(server.url).text()).toBe('ok');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(server.accepted).toBe(sockets);
    process.off('warning', warned);
    expect(warnings).toEqual([]);
  });
});

describe('the longest delay that an option allows', () => {
  it('is no more than a timer holds', async () => {
    const delays: number[] = [];
    const clock = new (class extends ManualClock {
      override setTimeout(callback: () => void, delayMs: number): object {
        delays.push(delayMs);
        return super.setTimeout(callback, delayMs);
      }
    })();
    await clock.advance(5);
    const deadlines = new Deadlines(clock);
    let expiredAt = 0;
    const deadline = new (class extends Deadline {
      override expire(): void {
        expiredAt = clock.now();
      }
    })();
    deadlines.set(deadline, LONGEST_DELAY_MS);
    expect(Math.max(...delays)).toBeLessThanOrEqual(LONGEST_DELAY_MS);
    await clock.advance(LONGEST_DELAY_MS + 20);
    expect(expiredAt).toBeGreaterThanOrEqual(LONGEST_DELAY_MS + 5);
    expect(delays.length).toBeLessThan(5);
  });
});

describe('readMs', () => {
  it.each<[string, (chunks: () => AsyncIterable<Buffer>) => () => unknown]>([
    ['a function', (chunks) => () => ({ body: chunks })],
    ['an iterable', (chunks) => () => ({ body: chunks() })],
    ['a stream', (chunks) => () => ({ body: Readable.from(chunks()) })],
  ])('does not count while the body is still sent, though it is %s', async (_what, init) => {
    const clock = new ManualClock();
    await using server = await CountingServer.listen((request, response) => {
      request.resume().on('end', () => response.end('ok'));
    });
    await using client = new HttpClient('slow', { timeouts: { totalMs: 0, readMs: 1_000 } }, { clock });
    let next: () => void = () => {};
    async function* chunks(): AsyncGenerator<Buffer> {
      for (let at = 0; at < 5; at++) {
        yield Buffer.from('part');
        await new Promise<void>((resolve) => (next = resolve));
      }
    }
    const answer = client.put(server.url, init(chunks)() as { body: () => AsyncIterable<Buffer> }).text();
    const fetched = client.fetch(server.url, { method: 'PUT', body: chunks(), duplex: 'half' });
    answer.catch(() => {});
    fetched.catch(() => {});
    await until(() => server.requests >= 1);
    await clock.advance(10_000);
    next();
    await clock.advance(10_000);
    expect(client.statistics().timeouts.read).toBe(0);
    await client.close({ deadlineMs: 0 });
    await Promise.allSettled([answer, fetched]);
  });

  it('counts from the end of the body on', async () => {
    const clock = new ManualClock();
    await using server = await CountingServer.listen((request) => void request.resume());
    await using client = new HttpClient('silent', { retry: false, timeouts: { totalMs: 0, readMs: 1_000 } }, { clock });
    let ended = false;
    const answer = client.put(server.url, {
      body: async function* () {
        yield Buffer.from('part');
        ended = true;
      },
    });
    const failed = expect(answer).rejects.toMatchObject({ code: 'ERR_HTTP_TIMEOUT', phase: 'read' });
    await until(() => ended && server.requests === 1);
    for (let at = 0; at < 10; at++) await settle();
    await clock.advance(2_500);
    await failed;
  });
});

describe('an Idempotency-Key', () => {
  it('is looked for among the names of headers, not among their values', async () => {
    await using server = await RawServer.listen((_request, socket) => {
      socket.write(rawAnswer(['HTTP/1.1 503 Busy', 'Content-Length: 0']));
    });
    await using client = new HttpClient('names', {}, { random: () => 0 });
    expect((await client.post(server.url, { headers: { 'x-forwards': 'idempotency-key' } })).statusCode).toBe(503);
    expect(server.requests).toBe(1);
    expect((await client.post(server.url, { headers: { 'Idempotency-Key': 'k' } })).statusCode).toBe(503);
    expect(server.requests).toBe(4);
  });
});

describe('a replay', () => {
  it.each(['FIN', 'RST'])('keeps its place: no later request overtakes it (%s)', async (end) => {
    const order: string[] = [];
    await using server = await RawServer.listen((request, socket) => {
      if (request.path === '/first' && !order.includes('/first')) {
        order.push(request.path);
        return void (end === 'FIN' ? socket.end() : socket.resetAndDestroy());
      }
      order.push(request.path);
      socket.write(OK);
    });
    await using client = new HttpClient('order', { limit: 1, maxWaiting: 3, retry: false });
    await client.get(`${server.url}/warm`);
    const paths = ['/first', '/second', '/third', '/fourth'];
    await Promise.all(paths.map((path) => client.get(`${server.url}${path}`)));
    expect(order).toEqual(['/warm', '/first', ...paths]);
    expect(client.statistics()).toMatchObject({ replays: 1, queueRejected: 0, waiting: 0, inUse: 0 });
  });
});
