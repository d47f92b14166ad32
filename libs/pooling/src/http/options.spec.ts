import { readFileSync } from 'node:fs';
import { PoolOptionsError } from '../core/errors.js';
import { HttpClient } from './http-client.js';
import { httpOptionProblems, resolveHttpClientOptions, type HttpClientOptions } from './options.js';

const NAMES = Object.keys(resolveHttpClientOptions('default')).map((name) =>
  name === 'redirects' ? 'redirect' : name,
);

describe('the options of an HTTP client', () => {
  it('have the documented defaults', () => {
    expect(resolveHttpClientOptions('default')).toEqual({
      baseUrl: undefined,
      allowOtherOrigins: false,
      headers: {},
      limit: 100,
      limitPerHost: 20,
      maxSockets: 256,
      maxWaiting: 10_000,
      keepAliveMs: 15_000,
      maxSocketAgeMs: 300_000,
      dnsCacheTtlMs: 300_000,
      tls: {},
      timeouts: { totalMs: 30_000, acquireMs: 0, connectMs: 10_000, headersMs: 0, readMs: 20_000 },
      retry: {
        attempts: 2,
        methods: ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'],
        statusCodes: [429, 502, 503, 504],
        budget: 0.1,
      },
      maxRetryAfterMs: 60_000,
      maxResponseBytes: undefined,
      leakDetectionMs: 30_000,
      redirects: 0,
      decompress: true,
      http2: false,
      interceptors: [],
    });
  });

  it('may all be undefined, which says nothing', () => {
    const unsaid = Object.fromEntries(NAMES.map((name) => [name, undefined]));
    const inner = {
      timeouts: { totalMs: undefined, readMs: undefined },
      retry: { attempts: undefined, budget: undefined },
    };
    for (const options of [unsaid, inner]) {
      expect(resolveHttpClientOptions('default', options)).toEqual(resolveHttpClientOptions('default'));
    }
  });

  it('are copied and frozen', () => {
    const headers = { a: '1' };
    const options = { headers, timeouts: { totalMs: 5 }, retry: { attempts: 1 } };
    const resolved = resolveHttpClientOptions('frozen', options);
    headers.a = '2';
    options.timeouts.totalMs = 6;
    expect(resolved).toMatchObject({ headers: { a: '1' }, timeouts: { totalMs: 5, connectMs: 10_000 } });
    for (const part of [resolved, resolved.headers, resolved.timeouts, resolved.retry, resolved.tls]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  it('are refused all at once, by path, value and what is allowed', () => {
    const wrong = {
      baseUrl: 'example.com',
      limit: -1,
      limitPerHost: 1.5,
      maxSockets: 0,
      maxWaitting: 3,
      timeouts: { totalMs: '30s', connect: 5 },
      retry: { attempts: 99, statusCodes: [200], budget: 2 },
      headers: { 'bad name': 'x', connection: 'close', ok: 'line\nbreak' },
      redirect: { max: 0 },
      interceptors: ['not one'],
    } as unknown as HttpClientOptions;
    let thrown: unknown;
    try {
      new HttpClient('billing', wrong);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(PoolOptionsError);
    expect((thrown as PoolOptionsError).details['problems']).toEqual([
      'maxWaitting: no such option; did you mean maxWaiting?',
      'baseUrl: "example.com" is not allowed; an http:// or https:// URL without query and fragment',
      'headers.ok: a string is not allowed; a string without line breaks, or an array of them',
      'limit: -1 is not allowed; an integer ≥ 0',
      'limitPerHost: 1.5 is not allowed; an integer ≥ 0',
      'maxSockets: 0 is not allowed; an integer ≥ 1',
      'timeouts.connect: no such option; did you mean connectMs?',
      'timeouts.totalMs: "30s" is not allowed; milliseconds from 0 to 2147483647 (0: no limit)',
      'retry.attempts: 99 is not allowed; an integer from 0 to 20',
      'retry.statusCodes[0]: 200 is not allowed; an integer from 400 to 599',
      'retry.budget: 2 is not allowed; a number from 0 to 1',
      'redirect.max: 0 is not allowed; an integer from 1 to 100',
      'interceptors[0]: "not one" is not allowed; a function',
    ]);
  });

  it('name a header that the connection is in charge of', () => {
    expect(httpOptionProblems({ headers: { 'Transfer-Encoding': 'chunked', 'bad name': 'x', fine: 'y' } })).toEqual([
      "headers: \"Transfer-Encoding\" is not allowed; a header's name that isn't the connection's own",
      "headers: a name of 8 characters that is not shown is not allowed; a header's name that isn't the connection's own",
    ]);
  });

  it.each([
    { baseUrl: 'ftp://user:hunter2@host' },
    { baseUrl: 'https://host/path?key=hunter2' },
    { baseUrl: 'hooks.example/hunter2' },
    { baseUrl: 'https://host/#hunter2' },
    { headers: { authorization: 'Bearer hunter2\n' } },
    { headers: { 'authorization: Bearer hunter2': '' } },
    { headers: 'authorization: Bearer hunter2' },
    { headers: ['hunter2'] },
    { headers: [['authorization', 'hunter2\n']] },
    { tls: 'hunter2-key' },
    { tls: ['hunter2-key'] },
  ])('never show what may be secret: %o', (options) => {
    const problems = httpOptionProblems(options);
    expect(problems).toHaveLength(1);
    expect(problems[0]).not.toContain('hunter2');
    expect(problems[0]).toContain(Object.keys(options)[0]);
  });

  it('stand in the guide, every one of them', () => {
    const guide = readFileSync(new URL('../../../../docs/http-client.md', import.meta.url), 'utf8');
    const documented = [...guide.matchAll(/^\| `(\w+)` +\|/gm)].map(([, name]) => name);
    const resolved = resolveHttpClientOptions('guide');
    const names = Object.keys(resolved).map((name) => (name === 'redirects' ? 'redirect' : name));
    expect(documented).toEqual(expect.arrayContaining([...names, ...Object.keys(resolved.timeouts)]));
  });

  it('are those that an object has itself: what it inherits is nobody’s option', () => {
    const inherited = Object.create({ limit: 3, headers: { 'x-a': '1' }, baseUrl: 'nonsense' }) as HttpClientOptions;
    expect(resolveHttpClientOptions('inherited', inherited)).toEqual(resolveHttpClientOptions('inherited', {}));
    Object.assign(Object.prototype, { limit: 3, totalMs: 5, budget: 1, max: 7, 'x-polluted': 'yes' });
    try {
      const resolved = resolveHttpClientOptions('polluted', { timeouts: {}, retry: {}, redirect: {}, headers: {} });
      expect(resolved).toMatchObject({ limit: 100, redirects: 10 });
      expect(resolved.timeouts.totalMs).toBe(30_000);
      expect((resolved.retry as { budget: number }).budget).toBe(0.1);
      expect(Object.keys(resolved.headers)).toEqual([]);
    } finally {
      for (const name of ['limit', 'totalMs', 'budget', 'max', 'x-polluted']) {
        delete (Object.prototype as Record<string, unknown>)[name];
      }
    }
  });

  it('take headers in every form that has names and values', () => {
    for (const headers of [
      { 'X-A': '1', 'x-b': ['2', '3'] },
      new Map<string, string | string[]>([
        ['X-A', '1'],
        ['x-b', ['2', '3']],
      ]),
      [
        ['X-A', '1'],
        ['x-b', '2'],
        ['X-B', '3'],
      ],
    ] as NonNullable<HttpClientOptions['headers']>[]) {
      expect(resolveHttpClientOptions('forms', { headers }).headers).toEqual({
        'x-a': '1',
        'x-b': ['2', '3'],
      });
    }
    expect(resolveHttpClientOptions('forms', { headers: new Headers({ 'X-A': '1' }) }).headers).toEqual({ 'x-a': '1' });
  });

  it('take a request’s own policy from the defaults where the client has none', () => {
    expect(resolveHttpClientOptions('none', { retry: false }).retry).toBe(false);
    expect(resolveHttpClientOptions('redirects', { redirect: true }).redirects).toBe(10);
    expect(resolveHttpClientOptions('redirects', { redirect: { max: 3 } }).redirects).toBe(3);
    expect(resolveHttpClientOptions('redirects', { redirect: {} }).redirects).toBe(10);
  });
});
