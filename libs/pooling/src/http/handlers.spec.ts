import { AsyncLocalStorage } from 'node:async_hooks';
import { Readable } from 'node:stream';
import { Agent, interceptors, RetryAgent, type Dispatcher } from 'undici';
import { CountingServer } from '#test/support/http-server.js';
import { HttpClient, type HttpClientDependencies } from './http-client.js';
import type { HttpClientOptions } from './options.js';
import { UNDICI_MAJOR } from './undici.js';

/** Answers with a status, a body and trailers; `/early` with an interim answer before. */
function answering(statusCode = 200): Promise<CountingServer> {
  return CountingServer.listen((request, response) => {
    if (request.url === '/early') response.writeEarlyHints({ link: '</style.css>' });
    response.writeHead(statusCode, { 'content-type': 'text/plain' });
    response.end('answer');
  });
}

const thrown = (callback: string): Error => new Error(`thrown in ${callback}`);

/** A handler of the new kind that notes what it is told, and throws in one callback. */
function newHandler(bad: string): { readonly handler: Dispatcher.DispatchHandler; readonly told: Promise<string[]> } {
  const calls: string[] = [];
  let settle: (calls: string[]) => void = () => {};
  const told = new Promise<string[]>((resolve) => (settle = resolve));
  const call = (name: string): void => {
    calls.push(name);
    if (name === bad) throw thrown(name);
  };
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart: () => call('onRequestStart'),
    onResponseStart: () => call('onResponseStart'),
    onResponseData: () => call('onResponseData'),
    onResponseEnd: () => {
      if (bad !== 'onResponseEnd') settle(calls);
      call('onResponseEnd');
    },
    onResponseError: (_controller, error) => {
      calls.push(`error: ${error.message}`);
      settle(calls);
    },
  };
  return { handler, told };
}

/** The same of the old kind. */
function oldHandler(bad: string): { readonly handler: Dispatcher.DispatchHandler; readonly told: Promise<string[]> } {
  const calls: string[] = [];
  let settle: (calls: string[]) => void = () => {};
  const told = new Promise<string[]>((resolve) => (settle = resolve));
  const call = (name: string): boolean => {
    calls.push(name);
    if (name === bad) throw thrown(name);
    return true;
  };
  const handler = {
    onConnect: () => call('onConnect'),
    onHeaders: () => call('onHeaders'),
    onData: () => call('onData'),
    onComplete: () => {
      if (bad !== 'onComplete') settle(calls);
      call('onComplete');
    },
    onError: (error: Error) => {
      calls.push(`error: ${error.message}`);
      settle(calls);
    },
  } as unknown as Dispatcher.DispatchHandler;
  return { handler, told };
}

async function settled(client: HttpClient): Promise<void> {
  await vi.waitFor(() => expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0, connecting: 0 }));
  expect(await client.close({ deadlineMs: 1_000 })).toMatchObject({ graceful: true });
}

describe('a handler that throws', () => {
  const each = [
    ...['onRequestStart', 'onResponseStart', 'onResponseData', 'onResponseEnd'].map((bad) => ({
      bad,
      make: newHandler,
    })),
    ...['onConnect', 'onHeaders', 'onData', 'onComplete'].map((bad) => ({ bad, make: oldHandler })),
  ];

  it.each(each)('in $bad is told so in its error callback, once, and the socket is free', async ({ bad, make }) => {
    await using server = await answering();
    const client = new HttpClient('throws', { limit: 1, timeouts: { totalMs: 60_000 } });
    const { handler, told } = make(bad);
    client.dispatcher.dispatch({ origin: server.url, path: '/', method: 'GET' }, handler);
    const calls = await told;
    expect(calls.at(-1)).toBe(`error: thrown in ${bad}`);
    expect(calls.filter((call) => call.startsWith('error'))).toHaveLength(1);
    expect(await client.get(server.url).text()).toBe('answer');
    await settled(client);
  });

  it('in an interim answer is told so, too', async () => {
    await using server = await answering();
    const client = new HttpClient('interim', { timeouts: { totalMs: 60_000 } });
    const { handler, told } = newHandler('onResponseStart');
    client.dispatcher.dispatch({ origin: server.url, path: '/early', method: 'GET' }, handler);
    expect(await told).toEqual(['onRequestStart', 'onResponseStart', 'error: thrown in onResponseStart']);
    await settled(client);
  });

  it('where it is told of an error ends nothing but itself: a warning says so', async () => {
    await using server = await CountingServer.listen((request) => request.socket.destroy());
    const client = new HttpClient('warned', { limit: 1 });
    const warning = new Promise<Error>((resolve) => process.once('warning', resolve));
    client.dispatcher.dispatch(
      { origin: server.url, path: '/', method: 'POST' },
      { onRequestStart: () => {}, onResponseError: () => expect.fail('thrown in onResponseError') },
    );
    expect((await warning).message).toContain('thrown in onResponseError');
    await settled(client);
  });

  it('where an upgrade is handed to it loses the socket and is told', async () => {
    await using server = await CountingServer.listen(() => {});
    server.server.on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    });
    const client = new HttpClient('upgrade', { limit: 1 });
    const error = new Promise<Error>((resolve) => {
      client.dispatcher.dispatch(
        { origin: server.url, path: '/', method: 'GET', upgrade: 'echo' },
        {
          onRequestStart: () => {},
          onRequestUpgrade: () => expect.fail('thrown in onRequestUpgrade'),
          onResponseError: (_controller, reason) => resolve(reason),
        },
      );
    });
    expect((await error).message).toContain('thrown in onRequestUpgrade');
    await settled(client);
  });

  it('needs none of its callbacks but the one for errors', async () => {
    await using server = await answering();
    const client = new HttpClient('sparse');
    const failed: Error[] = [];
    const handler = { onError: (error: Error) => failed.push(error) } as unknown as Dispatcher.DispatchHandler;
    client.dispatcher.dispatch({ origin: server.url, path: '/', method: 'GET' }, handler);
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ inUse: 0, idle: 1 }));
    expect(failed).toEqual([]);
    await settled(client);
  });
});

describe('undici’s retries', () => {
  const options = { maxRetries: 2, minTimeout: 1, maxTimeout: 2 };

  it.each([500, 503])('over the dispatcher end with an error after %i, and not with silence', async (statusCode) => {
    await using server = await answering(statusCode);
    const client = new HttpClient('agent', { timeouts: { totalMs: 60_000 } });
    const agent = new RetryAgent(client.dispatcher, options);
    await expect(agent.request({ origin: server.url, path: '/', method: 'GET' })).rejects.toMatchObject({ statusCode });
    const attempts = server.requests;
    const composed = client.dispatcher.compose(interceptors.retry(options));
    await expect(composed.request({ origin: server.url, path: '/', method: 'GET' })).rejects.toMatchObject({
      statusCode,
    });
    const plain = new Agent();
    const theirs = new RetryAgent(plain, options);
    await expect(theirs.request({ origin: server.url, path: '/', method: 'GET' })).rejects.toMatchObject({
      statusCode,
    });
    await plain.close();
    expect(server.requests).toBe(3 * attempts);
    await settled(client);
  });

  it.each([500, 503])('as interceptors of a client reject its callers after %i', async (statusCode) => {
    await using server = await answering(statusCode);
    const client = new HttpClient('composed', {
      interceptors: [interceptors.retry(options)],
      retry: false,
      timeouts: { totalMs: 60_000 },
    });
    await expect(client.get(server.url)).rejects.toMatchObject({ statusCode });
    await expect(client.stream(server.url)).rejects.toMatchObject({ statusCode });
    await expect(client.fetch(server.url)).rejects.toMatchObject({ cause: { statusCode } });
    await settled(client);
  });

  it('succeed when the server recovers', async () => {
    let failures = 0;
    await using server = await CountingServer.listen((_request, response) => {
      response.statusCode = failures++ % 2 === 0 ? 503 : 200;
      response.end('answer');
    });
    const client = new HttpClient('recovers', { interceptors: [interceptors.retry(options)], retry: false });
    expect(await client.get(server.url).text()).toBe('answer');
    const agent = new RetryAgent(client.dispatcher, options);
    const { body } = await agent.request({ origin: server.url, path: '/', method: 'GET' });
    expect(await body.text()).toBe('answer');
    await settled(client);
  });
});

describe('an interceptor that throws', () => {
  /** An interceptor whose handler throws in one callback, and passes the others on. */
  function throwing(bad: string): Dispatcher.DispatcherComposeInterceptor {
    return (dispatch) => (options, handler) => {
      const wrapped = new Proxy(handler, {
        get: (target, name) => {
          if (name === bad) return () => expect.fail(`thrown in ${bad}`);
          const value: unknown = Reflect.get(target, name);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
      return dispatch(options, wrapped);
    };
  }

  it.each(['onRequestStart', 'onResponseStart', 'onResponseData', 'onResponseEnd'])(
    'in %s rejects whoever made the request',
    async (bad) => {
      await using server = await answering();
      const client = new HttpClient('bad', { interceptors: [throwing(bad)], limit: 1, timeouts: { totalMs: 0 } });
      await expect(client.get(server.url)).rejects.toThrow(`thrown in ${bad}`);
      await settled(client);
    },
  );

  it('where it is told of an error rejects with that', async () => {
    await using server = await CountingServer.listen((request) => request.socket.destroy());
    const client = new HttpClient('bad error', {
      interceptors: [throwing('onResponseError')],
      retry: false,
      timeouts: { totalMs: 0 },
    });
    await expect(client.get(server.url)).rejects.toThrow('thrown in onResponseError');
    await settled(client);
  });
});

describe('the asynchronous context of a request', () => {
  const request = new AsyncLocalStorage<string>();

  function named(name: string, seen: string[], done: () => void): Dispatcher.DispatchHandler {
    const note = (what: string): void => void seen.push(`${what} in ${request.getStore() ?? 'none'} for ${name}`);
    return {
      onRequestStart: () => note('onRequestStart'),
      onResponseStart: () => note('onResponseStart'),
      onResponseData: () => note('onResponseData'),
      onResponseEnd: () => {
        note('onResponseEnd');
        done();
      },
      onResponseError: (_controller, error) => {
        note(`onResponseError ${error.message}`);
        done();
      },
    };
  }

  it('is that of the request in every callback of a handler, also when it waited for another', async () => {
    await using server = await answering();
    await using client = new HttpClient('context', { limit: 1 });
    const seen: string[] = [];
    await Promise.all(
      Array.from({ length: 5 }, (_, at) =>
        request.run(`r${at}`, () => {
          return new Promise<void>((done) => {
            client.dispatcher.dispatch({ origin: server.url, path: '/', method: 'GET' }, named(`r${at}`, seen, done));
          });
        }),
      ),
    );
    expect(seen).toHaveLength(20);
    for (const line of seen) expect(line).toMatch(/ in (r\d) for \1$/);
  });

  it('is that of the request where a time-out, a leak or a body is about it', async () => {
    const seen: string[] = [];
    const note = (what: string): void => void seen.push(`${what}: ${request.getStore() ?? 'none'}`);
    await using server = await CountingServer.listen((incoming, response) => {
      if (incoming.url === '/body') incoming.resume().on('end', () => response.end());
      if (incoming.url === '/leak') response.end(Buffer.alloc(1_000_000));
    });
    const dependencies: HttpClientDependencies = { onLeak: () => note('leak') };
    await using timed = new HttpClient('timed', { timeouts: { totalMs: 0, readMs: 60 } });
    const options: HttpClientOptions = { leakDetectionMs: 20, timeouts: { totalMs: 0, readMs: 0 } };
    await using client = new HttpClient('context', options, dependencies);
    async function* parts(): AsyncGenerator<Buffer> {
      for (let at = 0; at < 40; at++) {
        note('body');
        yield Buffer.alloc(65_536);
      }
    }
    const handler = named('late', [], () => {});
    const late = request.run('first', () => {
      return new Promise<void>((resolve) => {
        handler.onResponseError = () => {
          note('time-out');
          resolve();
        };
        timed.dispatcher.dispatch({ origin: server.url, path: '/silent', method: 'GET' }, handler);
      });
    });
    const leaking = await request.run('second', () => client.stream(`${server.url}/leak`));
    await request.run('third', () => client.put(`${server.url}/body`, { body: parts }));
    await request.run('fourth', () => client.put(`${server.url}/body`, { body: parts() }));
    await late;
    await vi.waitFor(() => expect(seen).toContain('leak: second'));
    leaking.body.destroy();
    expect(new Set(seen)).toEqual(new Set(['time-out: first', 'leak: second', 'body: third', 'body: fourth']));
  });
});

describe('what a handler hears of the request as it is sent', () => {
  const body = (): Dispatcher.DispatchOptions['body'] => Readable.from(['first', 'second'], { objectMode: false });
  const options = { path: '/', method: 'POST' } as const;

  /** What a dispatcher tells a handler, and where it was asked to: with its own words for start, answer and end. */
  function sent(dispatcher: Dispatcher, origin: string, kind: 'old' | 'new', bad = ''): Promise<string[]> {
    const calls: string[] = [];
    const storage = new AsyncLocalStorage<string>();
    return new Promise((resolve) => {
      const call = (name: string): true => {
        calls.push(storage.getStore() === 'asker' ? name : `${name} elsewhere`);
        if (name === 'end' || name.startsWith('error')) resolve(calls);
        if (name === bad) throw thrown(name);
        return true;
      };
      const sending = {
        onBodySent: (chunk: Buffer) => call(`body ${chunk.toString()}`),
        onRequestSent: () => call('sent'),
        onResponseStarted: () => call('answer begins'),
      };
      const modern = {
        ...sending,
        onRequestStart: () => call('start'),
        onResponseStart: () => call('answer'),
        onResponseData: () => {},
        onResponseEnd: () => call('end'),
        onResponseError: (_controller: unknown, error: Error) => call(`error: ${error.message}`),
      };
      const old = {
        ...sending,
        onConnect: () => call('start'),
        onHeaders: () => call('answer'),
        onData: () => true,
        onComplete: () => call('end'),
        onError: (error: Error) => call(`error: ${error.message}`),
      };
      const handler = (kind === 'old' ? old : modern) as unknown as Dispatcher.DispatchHandler;
      storage.run('asker', () => dispatcher.dispatch({ ...options, origin, body: body() }, handler));
    });
  }

  // undici 8 knows new handlers alone, and undici 7 tells only old ones.
  const kind = UNDICI_MAJOR >= 8 ? 'new' : 'old';
  const all = ['start', 'body first', 'body second', 'sent', 'answer begins', 'answer', 'end'];

  it('is what undici’s own agent tells', async () => {
    await using server = await answering();
    await using client = new HttpClient('sending');
    const agent = new Agent();
    expect(await sent(agent, server.url, kind)).toEqual(all);
    for (const each of ['old', 'new'] as const) expect(await sent(client.dispatcher, server.url, each)).toEqual(all);
    await agent.close();
    expect(client.statistics()).toMatchObject({ inUse: 0, idle: 1 });
  });

  it.each(['body first', 'sent', 'answer begins'])('ends with the error that it throws at "%s"', async (bad) => {
    await using server = await answering();
    await using client = new HttpClient('throwing');
    for (const each of ['old', 'new'] as const) {
      const calls = await sent(client.dispatcher, server.url, each, bad);
      expect(calls.at(-1)).toBe(`error: thrown in ${bad}`);
      expect(calls).not.toContain('end');
    }
    await vi.waitFor(() => expect(client.statistics().inUse).toBe(0));
  });

  it('goes on once the handler takes more, aborted or paused', async () => {
    await using server = await answering();
    await using client = new HttpClient('pausing');
    const events: string[] = [];
    await new Promise<void>((resolve) => {
      let go: Dispatcher.DispatchController | undefined;
      client.dispatcher.dispatch({ ...options, origin: server.url, body: body() }, {
        onBodySent: () => {},
        onRequestStart: (controller: Dispatcher.DispatchController) => void (go = controller),
        onResponseStart: () => {
          go?.pause();
          events.push('paused');
          setTimeout(() => {
            events.push('resumed');
            go?.resume();
          }, 20);
        },
        onResponseData: () => void events.push('data'),
        onResponseEnd: () => resolve(),
        onResponseError: () => resolve(),
      } as unknown as Dispatcher.DispatchHandler);
    });
    expect(events).toEqual(['paused', 'resumed', 'data']);
    const failure = await new Promise<Error>((resolve) => {
      client.dispatcher.dispatch({ ...options, origin: server.url, body: body() }, {
        onRequestSent: () => {},
        onRequestStart: (controller: Dispatcher.DispatchController) => controller.abort(new Error('enough')),
        onResponseError: (_controller: unknown, error: Error) => resolve(error),
      } as unknown as Dispatcher.DispatchHandler);
    });
    expect(failure.message).toBe('enough');
  });
});
