import { readFileSync } from 'node:fs';
import { PoolOptionsError } from '../core/errors.js';
import { HttpClient } from './http-client.js';
import { httpOptionProblems, resolveHttpClientOptions, type HttpClientOptions } from './options.js';

describe('the options of an HTTP client', () => {
  it('have the documented defaults', () => {
    expect(resolveHttpClientOptions('default')).toEqual({
      baseUrl: undefined,
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
      maxResponseBytes: 0,
      leakDetectionMs: 30_000,
      redirects: 0,
      decompress: true,
      http2: false,
      interceptors: [],
    });
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
      "headers: \"bad name\" is not allowed; a header's name that isn't the connection's own",
    ]);
  });

  it('never show what may be secret', () => {
    const problems = httpOptionProblems({
      baseUrl: 'ftp://user:hunter2@host',
      headers: { authorization: 'Bearer hunter2\n' },
      tls: 'hunter2-key',
    });
    expect(problems).toHaveLength(3);
    expect(problems.slice(0, 2).join()).not.toContain('hunter2');
  });

  it('stand in the guide, every one of them', () => {
    const guide = readFileSync(new URL('../../../../docs/http-client.md', import.meta.url), 'utf8');
    const documented = [...guide.matchAll(/^\| `(\w+)` +\|/gm)].map(([, name]) => name);
    const resolved = resolveHttpClientOptions('guide');
    const names = Object.keys(resolved).map((name) => (name === 'redirects' ? 'redirect' : name));
    expect(documented).toEqual(expect.arrayContaining([...names, ...Object.keys(resolved.timeouts)]));
  });

  it('take a request’s own policy from the defaults where the client has none', () => {
    expect(resolveHttpClientOptions('none', { retry: false }).retry).toBe(false);
    expect(resolveHttpClientOptions('redirects', { redirect: true }).redirects).toBe(10);
    expect(resolveHttpClientOptions('redirects', { redirect: { max: 3 } }).redirects).toBe(3);
    expect(resolveHttpClientOptions('redirects', { redirect: {} }).redirects).toBe(10);
  });
});
