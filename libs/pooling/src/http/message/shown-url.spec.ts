import { inspect } from 'node:util';
import { CountingServer } from '#test/support/http-server.js';
import type { HttpStatusError } from '../../core/errors.js';
import { HttpClient } from '../http-client.js';
import type { HttpLeakReport } from '../exchange/body-watch.js';
import { shownRequestUrl, shownUrl } from './shown-url.js';

describe('a URL as it is shown', () => {
  it.each([
    ['https://host/a/b?token=secret', 'https://host/a/b'],
    ['https://host/a#token=secret', 'https://host/a'],
    ['https://user:secret@host/a', 'https://host/a'],
    ['https://user:sec@ret@host:bad/a', 'https://host:bad/a'],
    ['https:\\\\user:secret@host\\a', 'https:\\\\host\\a'],
    ['//user:secret@host/a', '//host/a'],
    ['/mail/user@host?x', '/mail/user@host'],
    ['https://host/mail/user@host', 'https://host/mail/user@host'],
    ['https://host/a\r\nforged: line\u001b[2J', 'https://host/a\\r\\nforged: line\\x1b[2J'],
    ['', ''],
  ])('%j is %j', (url, shown) => {
    expect(shownUrl(url)).toBe(shown);
  });

  it('is bounded', () => {
    expect(shownUrl(`https://host/${'x'.repeat(100_000)}`)).toMatch(/^https:\/\/host\/x{187}… \(100013 characters\)$/);
  });

  it('hides the same in the target of a proxy', () => {
    const origin = 'http://proxy:3128';
    expect(shownRequestUrl({ origin, path: 'http://user:secret@host/a?token=secret' })).toBe(
      'http://proxy:3128 http://host/a',
    );
    expect(shownRequestUrl({ origin, path: '/a?token=secret' })).toBe('http://proxy:3128/a');
  });
});

describe('what a client says of a request', () => {
  const path = `/${'long/'.repeat(1_000)}?token=secret`;

  /** Whether errors and reports show the path, and only so much of it, and nothing of the query. */
  function expectShort(text: string): void {
    expect(text).toContain('/long/long/');
    expect(text).not.toContain('secret');
    expect(text.length).toBeLessThan(1_500);
  }

  it('is short and without its query, in every report and error', async () => {
    const reports: HttpLeakReport[] = [];
    await using server = await CountingServer.listen((request, response) => {
      if (request.method === 'PUT') return;
      if (request.method === 'DELETE') response.writeHead(500).end();
      else response.end('x'.repeat(request.method === 'POST' ? 1_000_000 : 1));
    });
    const onLeak = (report: HttpLeakReport): void => void reports.push(report);
    await using client = new HttpClient('short', { baseUrl: server.url, leakDetectionMs: 20 }, { onLeak });
    const reject = async (promise: Promise<unknown>): Promise<Error> => {
      try {
        await promise;
      } catch (error) {
        return error as Error;
      }
      throw new Error('it resolved');
    };
    const late = client.put(path, { timeouts: { totalMs: 30 } });
    expectShort(inspect(late));
    const tooLate = reject(late);
    const failed = await reject(client.delete(path).text());
    expectShort(failed.message);
    expectShort(inspect((failed as HttpStatusError).details));
    expectShort((await reject(client.get(path).json())).message);
    expectShort((await tooLate).message);
    const { body } = await client.stream(path, { method: 'POST' });
    const fetched = await client.fetch(path, { method: 'POST' });
    await vi.waitFor(() => expect(reports).toHaveLength(2));
    for (const { url } of reports) expectShort(url);
    body.destroy();
    await fetched.body?.cancel();
  });

  it.each(['http://user:secret@host:bad/a?token=secret', 'http://[::1/?token=secret', '//user:secret@ho st/'])(
    'has no secrets when the URL %j is invalid',
    async (url) => {
      await using client = new HttpClient('invalid', { baseUrl: 'http://127.0.0.1:1', allowOtherOrigins: true });
      await using bare = new HttpClient('bare');
      const asked = [client.get(url), client.fetch(url), client.stream(url), bare.get(url), bare.fetch(url)];
      for (const each of asked) {
        const error: unknown = await (each as Promise<unknown>).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(TypeError);
        expect(error).toMatchObject({ code: 'ERR_INVALID_URL', message: expect.stringMatching(/^Invalid URL: \S/) });
        expect(inspect(error)).not.toContain('secret');
      }
    },
  );
});
