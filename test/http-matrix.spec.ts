import { getEventListeners } from 'node:events';
import { request as undiciRequest } from 'undici';
import { HttpClient } from '#pooling/http/http-client.js';
import { CountingClock } from '#test/support/counting-clock.js';
import {
  answersOf,
  bodyOfAnswer,
  FRAMINGS,
  H2_FRAMINGS,
  matrixServer,
  matrixServer2,
  pathOf,
  WAYS,
  type Answer,
} from '#test/support/http-matrix.js';

/** What a caller got. */
interface Got {
  readonly status: number;
  readonly body: Buffer;
}

type Way = (typeof WAYS)[number];

/** How long a combination may take, in milliseconds. It is meant for a loaded machine, not for a good one. */
const DEADLINE_MS = 20_000;
const AT_ONCE = 64;

const payload = (method: Answer['method']): { body: string } | undefined =>
  method === 'POST' ? { body: 'sent' } : undefined;

async function ask(
  client: HttpClient,
  way: Way,
  url: string,
  method: Answer['method'],
  signal: AbortSignal,
): Promise<Got> {
  // The built-in `fetch` and undici's `request` listen to a signal by themselves, and `fetch` until it is collected.
  const own = way === 'fetch' || way === 'dispatcher' ? new AbortController().signal : signal;
  const init = { ...payload(method), signal: own };
  switch (way) {
    case 'request': {
      const { statusCode, body } = await client.request(url, { ...init, method });
      return { status: statusCode, body };
    }
    case 'get': {
      const short = { GET: 'get', HEAD: 'head', POST: 'post', DELETE: 'delete' } as const;
      const answer = client[short[method]](url, init);
      const { statusCode } = await answer;
      // A short cut rejects unless the status is 2xx; both are asked of the same answer.
      const bytes = await answer.bytes().catch((error: { code: string; statusCode: number }) => error);
      if (Buffer.isBuffer(bytes)) return { status: statusCode, body: bytes };
      expect([bytes.code, bytes.statusCode]).toEqual(['ERR_HTTP_STATUS', statusCode]);
      return { status: statusCode, body: (await answer).body };
    }
    case 'stream': {
      const { statusCode, body } = await client.stream(url, { ...init, method });
      return { status: statusCode, body: Buffer.concat((await body.toArray()) as Buffer[]) };
    }
    case 'fetch': {
      const response = await client.fetch(url, { ...init, method });
      return { status: response.status, body: Buffer.from(await response.arrayBuffer()) };
    }
    case 'dispatcher': {
      const { statusCode, body } = await undiciRequest(url, { ...init, method, dispatcher: client.dispatcher });
      return { status: statusCode, body: Buffer.from(await body.arrayBuffer()) };
    }
  }
}

/** Runs them all, so many at once, and gives what went wrong. */
async function failuresOf<Case>(
  cases: readonly Case[],
  run: (each: Case) => Promise<string | undefined>,
): Promise<string[]> {
  const failures: string[] = [];
  const left = cases.values();
  const worker = async (): Promise<void> => {
    for (const each of left) {
      const failure = await run(each).catch((error: unknown) => `${JSON.stringify(each)}: ${String(error)}`);
      if (failure !== undefined) failures.push(failure);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return failures;
}

async function compare(
  client: HttpClient,
  url: string,
  answer: Answer,
  way: Way,
  signal: AbortSignal,
): Promise<string | undefined> {
  const startedAt = performance.now();
  const got = await ask(client, way, url + pathOf(answer), answer.method, signal);
  const tookMs = performance.now() - startedAt;
  const expected = bodyOfAnswer(answer, way !== 'dispatcher');
  if (got.status === answer.status && got.body.equals(expected) && tookMs < DEADLINE_MS) return undefined;
  return `${JSON.stringify({ ...answer, way })}: ${got.status}, ${got.body.length} bytes of ${expected.length} in ${tookMs} ms`;
}

describe('every answer, asked for in every way', () => {
  it('of HTTP/1 reaches the caller as RFC 9110 says, and leaves nothing behind', { timeout: 60_000 }, async () => {
    await using server = await matrixServer();
    const clock = new CountingClock();
    const client = new HttpClient('matrix', { retry: false, timeouts: { totalMs: DEADLINE_MS } }, { clock });
    const { signal } = new AbortController();
    const cases = answersOf(FRAMINGS).flatMap((answer) => WAYS.map((way) => ({ answer, way })));
    expect(cases).toHaveLength(4_200);
    expect(await failuresOf(cases, ({ answer, way }) => compare(client, server.url, answer, way, signal))).toEqual([]);
    await vi.waitFor(() =>
      expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0, connecting: 0, leaks: 0 }),
    );
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(await client.close()).toMatchObject({ graceful: true, refused: 0 });
    expect(client.statistics().sockets).toBe(0);
    expect(clock.pending.size).toBe(0);
    await vi.waitFor(() => expect(server.sockets.size).toBe(0));
  });

  it('of HTTP/1 reaches fetch as it reaches Node’s own, wherever that gets it', { timeout: 60_000 }, async () => {
    await using server = await matrixServer();
    const client = new HttpClient('fetch', { timeouts: { totalMs: DEADLINE_MS } });
    let compared = 0;
    const failures = await failuresOf(answersOf(FRAMINGS), async (answer) => {
      const url = server.url + pathOf(answer);
      // undici refuses what announces a body that isn't there, which RFC 9110 allows.
      const theirs = await fetch(url, { method: answer.method, ...payload(answer.method) }).catch(() => undefined);
      if (theirs === undefined) return undefined;
      compared++;
      const body = Buffer.from(await theirs.arrayBuffer());
      const ours = await ask(client, 'fetch', url, answer.method, new AbortController().signal);
      if (ours.status === theirs.status && ours.body.equals(body)) return undefined;
      return `${JSON.stringify(answer)}: ${ours.status} ${ours.body.length}, not ${theirs.status} ${body.length}`;
    });
    expect(failures).toEqual([]);
    expect(compared).toBeGreaterThan(600);
    await client.close();
  });

  it('of HTTP/2 reaches the caller as RFC 9110 says, and leaves nothing behind', { timeout: 60_000 }, async () => {
    const { server, url, certificate } = await matrixServer2();
    let sessions = 0;
    server.on('session', (session) => {
      sessions++;
      session.on('close', () => sessions--);
    });
    const clock = new CountingClock();
    const options = {
      http2: true,
      tls: { ca: certificate },
      retry: false,
      timeouts: { totalMs: DEADLINE_MS },
    } as const;
    const client = new HttpClient('matrix 2', options, { clock });
    const { signal } = new AbortController();
    const cases = answersOf(H2_FRAMINGS).flatMap((answer) => WAYS.map((way) => ({ answer, way })));
    expect(cases).toHaveLength(2_100);
    expect(await failuresOf(cases, ({ answer, way }) => compare(client, url, answer, way, signal))).toEqual([]);
    await vi.waitFor(() =>
      expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0, connecting: 0, leaks: 0 }),
    );
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(await client.close()).toMatchObject({ graceful: true, refused: 0 });
    expect(clock.pending.size).toBe(0);
    await vi.waitFor(() => expect(sessions).toBe(0));
    await new Promise((resolve) => server.close(resolve));
  });
});
