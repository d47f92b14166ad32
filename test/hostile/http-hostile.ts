import { request as undiciRequest } from 'undici';
import { HttpClient } from '#pooling/http/http-client.js';
import type { HttpClientOptions } from '#pooling/http/options.js';
import { CountingClock } from '#test/support/counting-clock.js';
import { SeededRandom } from '#test/support/random.js';
import { RawServer } from '#test/support/raw-server.js';
import { answerHostilely } from './hostile-answers.js';
import { hostileStreams } from './hostile-streams.js';

export interface HttpHostileSettings {
  readonly seed: number;
  readonly exchanges: number;
  readonly log?: (line: string) => void;
}

/** What came of it. `failures` is empty when the client kept all its promises. */
export interface HttpHostileReport {
  readonly seed: number;
  readonly exchanges: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
  /** The longest that an exchange took, in milliseconds. */
  readonly longestMs: number;
  readonly durationMs: number;
}

const HOSTS = 3;
const AT_ONCE = 60;
/** What each exchange may take by its own deadline, in milliseconds … */
const TOTAL_MS = 2_000;
/** … and how late a loaded machine may be. */
const LATE_MS = 10_000;
/** What may be used while nothing is to be done, in milliseconds of each second. */
const IDLE_CPU_MS = 300;

/** What a caller got: the nonce that the server saw, and the body if it is complete. */
interface Got {
  readonly nonce: string | undefined;
  readonly body: Buffer | undefined;
}

const WAYS = ['request', 'request', 'request', 'stream', 'stream', 'fetch', 'dispatcher'] as const;
type Way = (typeof WAYS)[number];

const METHODS = ['GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE'] as const;

/**
 * Thousands of exchanges with servers that answer in every way they shouldn't. Every exchange must settle by its
 * deadline; no caller gets what was meant for another; nothing ends the process, spins it, or is left behind.
 */
export async function runHttpHostile({
  seed,
  exchanges,
  log = () => {},
}: HttpHostileSettings): Promise<HttpHostileReport> {
  const startedAt = performance.now();
  const random = new SeededRandom(seed);
  const failures: string[] = [];
  const outcomes = new Map<string, number>();
  /** The right body of the last answer to a request; `undefined` when that was wrong. */
  const fair = new Map<string, Buffer | undefined>();
  const issued = new Set<string>();
  let longestMs = 0;

  const uncaught = (error: unknown): void =>
    void failures.push(`uncaught: ${(error as Error)?.stack ?? String(error)}`);
  process.on('uncaughtException', uncaught);
  process.on('unhandledRejection', uncaught);

  const servers = await Promise.all(
    Array.from({ length: HOSTS }, (_, at) => {
      const own = new SeededRandom(seed * 31 + at);
      return RawServer.listen(({ method, path }, socket) => {
        const nonce = path.split('/')[1] as string;
        fair.set(nonce, undefined);
        answerHostilely({ nonce, method, socket, random: own, fair: (body) => void fair.set(nonce, body) });
      });
    }),
  );
  const streams = await hostileStreams(new SeededRandom(seed * 37), (nonce, body) => void fair.set(nonce, body));
  const clock = new CountingClock();
  const timeouts = { totalMs: TOTAL_MS, readMs: 300 };
  const common: HttpClientOptions = { timeouts, maxRetryAfterMs: 50, maxResponseBytes: 1_000_000, leakDetectionMs: 0 };
  const tls = { ca: streams.certificate };
  const clients = [
    new HttpClient('plain', { ...common, retry: false }, { clock, random: random.next }),
    new HttpClient('retrying', { ...common, redirect: true, limit: 12 }, { clock, random: random.next }),
    new HttpClient('composed', { ...common, interceptors: [(dispatch) => dispatch] }, { clock, random: random.next }),
    new HttpClient('streams', { ...common, http2: true, tls }, { clock, random: random.next }),
  ] as const;

  const check = (nonce: string, { nonce: seen, body }: Got): string => {
    if (seen !== undefined && seen !== nonce && (issued.has(seen) || seen === 'unasked')) {
      failures.push(`${nonce} got the answer to ${seen}`);
    }
    const right = fair.get(nonce);
    if (seen === nonce && right !== undefined && body !== undefined && !body.equals(right)) {
      failures.push(`${nonce} got ${body.length} bytes instead of ${right.length}`);
    }
    return 'answered';
  };

  const one = async (): Promise<void> => {
    const nonce = Array.from({ length: 4 }, () => random.between(0, 0xffff).toString(16).padStart(4, '0')).join('');
    issued.add(nonce);
    const client = clients[random.between(0, clients.length - 1)] as HttpClient;
    const url = client.name === 'streams' ? streams.url : (servers[random.between(0, HOSTS - 1)] as RawServer).url;
    const begunAt = performance.now();
    const way = WAYS[random.between(0, WAYS.length - 1)] as Way;
    const outcome = await Promise.race([
      exchange(client, way, `${url}/${nonce}`, random).then(
        (got) => check(nonce, got),
        (error: Error & { code?: string }) => error.code ?? error.name,
      ),
      tooLate(),
    ]);
    const tookMs = performance.now() - begunAt;
    longestMs = Math.max(longestMs, tookMs);
    if (outcome === 'hung') failures.push(`${nonce}: ${client.name}.${way} did not settle`);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  };
  let begun = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (begun < exchanges) {
        begun++;
        if (begun % 2_000 === 0) log(`${begun} exchanges, ${failures.length} failures`);
        await one();
      }
    }),
  );

  failures.push(...(await leftBehind(clients, clock)));
  await Promise.all(servers.map((server) => server.close()));
  streams.server.close();
  process.off('uncaughtException', uncaught);
  process.off('unhandledRejection', uncaught);
  const durationMs = performance.now() - startedAt;
  const sorted = [...outcomes].toSorted(([, one_], [, other]) => other - one_);
  return { seed, exchanges, outcomes: Object.fromEntries(sorted), failures, longestMs, durationMs };
}

/** Resolves when an exchange should long have settled. The timer keeps the process alive until then. */
function tooLate(): Promise<'hung'> {
  return new Promise((resolve) => setTimeout(resolve, TOTAL_MS + LATE_MS, 'hung'));
}

/** One exchange in one of the client's ways. */
async function exchange(client: HttpClient, way: Way, url: string, random: SeededRandom): Promise<Got> {
  const method = METHODS[random.between(0, METHODS.length - 1)] as (typeof METHODS)[number];
  const init = { method, ...bodyOf(method, random), ...abortOf(random) };
  if (way === 'request') {
    const { headers, body } = await client.request(url, init);
    return { nonce: text(headers['x-nonce']), body };
  }
  if (way === 'stream') {
    const { headers, body } = await client.stream(url, init);
    const chunks: Buffer[] = [];
    for await (const chunk of body) {
      chunks.push(chunk as Buffer);
      if (random.next() < 0.05) return { nonce: text(headers['x-nonce']), body: undefined };
    }
    return { nonce: text(headers['x-nonce']), body: Buffer.concat(chunks) };
  }
  const { signal } = init;
  const plain = {
    method,
    ...(method === 'POST' || method === 'PUT' ? { body: 'sent' } : {}),
    ...(signal && { signal }),
  };
  if (way === 'fetch') {
    const response = await client.fetch(url, { ...plain, redirect: 'manual' });
    const nonce = response.headers.get('x-nonce') ?? undefined;
    return { nonce, body: Buffer.from(await response.arrayBuffer()) };
  }
  const { headers, body } = await undiciRequest(url, { ...plain, dispatcher: client.dispatcher });
  await body.arrayBuffer();
  return { nonce: text(headers['x-nonce']), body: undefined };
}

function bodyOf(method: string, random: SeededRandom): { body?: string | (() => AsyncIterable<Buffer>) } {
  if (method !== 'POST' && method !== 'PUT') return {};
  if (random.next() < 0.5) return { body: 'sent' };
  const fails = random.next() < 0.2;
  return {
    body: async function* () {
      yield Buffer.from('first');
      await new Promise((resolve) => setImmediate(resolve));
      if (fails) throw new Error('the body failed');
      yield Buffer.from('second');
    },
  };
}

function abortOf(random: SeededRandom): { signal?: AbortSignal } {
  if (random.next() > 0.05) return {};
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error('given up')), random.between(0, 20));
  return { signal: controller.signal };
}

/** What is still there once everything has settled, in words. */
async function leftBehind(clients: readonly HttpClient[], clock: CountingClock): Promise<string[]> {
  const left: string[] = [];
  for (const client of clients) {
    for (let turns = 0; client.statistics().inUse > 0 && turns < 200; turns++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const { inUse, waiting, connecting } = client.statistics();
    if (inUse + waiting + connecting > 0)
      left.push(`${client.name}: ${inUse} in use, ${waiting} waiting, ${connecting} connecting`);
  }
  const before = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const { user, system } = process.cpuUsage(before);
  if ((user + system) / 1_000 > IDLE_CPU_MS)
    left.push(`${Math.round((user + system) / 1_000)} ms of CPU in an idle second`);
  for (const client of clients) {
    const { graceful } = await client.close();
    if (!graceful || client.statistics().sockets > 0)
      left.push(`${client.name}: ${client.statistics().sockets} sockets`);
  }
  if (clock.pending.size > 0) left.push(`${clock.pending.size} timers`);
  return left;
}

function text(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
