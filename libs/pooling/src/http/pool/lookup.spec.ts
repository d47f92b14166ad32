import type { LookupAddress } from 'node:dns';
import { answerJson, CountingServer } from '#test/support/http-server.js';
import { ManualClock, settle } from '../../testing/manual-clock.js';
import { HttpClient } from '../http-client.js';
import { LookupCache, type ResolveAll } from './lookup.js';

type Callback = Parameters<ResolveAll>[2];

/** A resolver that is answered by hand. */
class HandResolver {
  readonly asked: { hostname: string; callback: Callback }[] = [];
  readonly resolve: ResolveAll = (hostname, _options, callback) => void this.asked.push({ hostname, callback });

  answer(...addresses: string[]): void {
    this.asked.shift()?.callback(
      null,
      addresses.map((address) => ({ address, family: 4 })),
    );
  }

  fail(code = 'EAI_AGAIN'): void {
    this.asked.shift()?.callback(Object.assign(new Error(code), { code }), []);
  }
}

function ask(cache: LookupCache, hostname = 'api.test'): Promise<string[]> {
  return new Promise((resolve, reject) => {
    cache.lookup(hostname, { all: true }, (error, addresses) => {
      if (error) reject(error);
      else resolve((addresses as LookupAddress[]).map(({ address }) => address));
    });
  });
}

describe('the DNS cache', () => {
  let clock: ManualClock;
  let resolver: HandResolver;
  let cache: LookupCache;

  beforeEach(() => {
    clock = new ManualClock();
    resolver = new HandResolver();
    cache = new LookupCache(10_000, clock, resolver.resolve);
  });

  it('asks once for concurrent lookups of one name', async () => {
    const asking = Array.from({ length: 100 }, () => ask(cache));
    expect(resolver.asked).toHaveLength(1);
    resolver.answer('10.0.0.1');
    expect(await Promise.all(asking)).toEqual(Array.from({ length: 100 }, () => ['10.0.0.1']));
  });

  it('keeps an answer for its time, and asks again afterwards', async () => {
    const first = ask(cache);
    resolver.answer('10.0.0.1');
    await first;
    await clock.advance(9_999);
    expect(await ask(cache)).toEqual(['10.0.0.1']);
    await clock.advance(1);
    const next = ask(cache);
    resolver.answer('10.0.0.2');
    expect(await next).toEqual(['10.0.0.2']);
  });

  it('starts with another address each time', async () => {
    const first = ask(cache);
    resolver.answer('a', 'b', 'c');
    expect(await first).toEqual(['a', 'b', 'c']);
    expect(await ask(cache)).toEqual(['b', 'c', 'a']);
    expect(await ask(cache)).toEqual(['c', 'a', 'b']);
    expect(await ask(cache)).toEqual(['a', 'b', 'c']);
  });

  it('answers with the stale address when a lookup fails, and asks again only after a while', async () => {
    const first = ask(cache);
    resolver.answer('10.0.0.1');
    await first;
    await clock.advance(10_000);
    const stale = ask(cache);
    resolver.fail();
    expect(await stale).toEqual(['10.0.0.1']);
    expect(await ask(cache)).toEqual(['10.0.0.1']);
    expect(resolver.asked).toHaveLength(0);
    await clock.advance(5_000);
    const fresh = ask(cache);
    resolver.answer('10.0.0.2');
    expect(await fresh).toEqual(['10.0.0.2']);
  });

  it('answers with the stale address when a lookup takes too long, and takes the late answer from then on', async () => {
    const first = ask(cache);
    resolver.answer('10.0.0.1');
    await first;
    await clock.advance(10_000);
    const stale = ask(cache);
    await clock.advance(1_000);
    expect(await stale).toEqual(['10.0.0.1']);
    resolver.answer('10.0.0.2');
    expect(await ask(cache)).toEqual(['10.0.0.2']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('does not keep a failure', async () => {
    const first = ask(cache);
    resolver.fail('ENOTFOUND');
    await expect(first).rejects.toMatchObject({ code: 'ENOTFOUND' });
    const next = ask(cache);
    resolver.answer('10.0.0.1');
    expect(await next).toEqual(['10.0.0.1']);
  });

  it('calls an empty answer what it is', async () => {
    const asking = ask(cache);
    resolver.answer();
    await expect(asking).rejects.toMatchObject({ code: 'ENOTFOUND', hostname: 'api.test' });
  });

  it('asks again at once when a connection to the address failed', async () => {
    const first = ask(cache);
    resolver.answer('10.0.0.1');
    await first;
    cache.suspect('api.test');
    const next = ask(cache);
    resolver.answer('10.0.0.2');
    expect(await next).toEqual(['10.0.0.2']);
  });

  it('keeps nothing when the time is 0, and still asks once for concurrent lookups', async () => {
    cache = new LookupCache(0, clock, resolver.resolve);
    const asking = [ask(cache), ask(cache)];
    expect(resolver.asked).toHaveLength(1);
    resolver.answer('10.0.0.1');
    await Promise.all(asking);
    const next = ask(cache);
    expect(resolver.asked).toHaveLength(1);
    resolver.answer('10.0.0.1');
    await next;
  });

  it('gives one address to whom asks for one', async () => {
    const answered = new Promise((resolve) => {
      cache.lookup('api.test', {}, (error, address, family) => resolve({ error, address, family }));
    });
    resolver.answer('10.0.0.1', '10.0.0.2');
    expect(await answered).toEqual({ error: null, address: '10.0.0.1', family: 4 });
  });

  it('remembers a bounded number of names', async () => {
    const answering: ResolveAll = (_hostname, _options, callback) =>
      callback(null, [{ address: '10.0.0.1', family: 4 }]);
    let lookups = 0;
    cache = new LookupCache(10_000, clock, (...given) => {
      lookups++;
      answering(...given);
    });
    for (let at = 0; at < 1_001; at++) await ask(cache, `host-${at}.test`);
    await ask(cache, 'host-1000.test');
    expect(lookups).toBe(1_001);
    await ask(cache, 'host-0.test');
    expect(lookups).toBe(1_002);
    await settle();
  });
});

describe('an HTTP client behind a DNS name', () => {
  function resolving(addresses: () => string[], counted: { lookups: number }): ResolveAll {
    return (_hostname, _options, callback) => {
      counted.lookups++;
      setTimeout(
        () =>
          callback(
            null,
            addresses().map((address) => ({ address, family: 4 })),
          ),
        5,
      );
    };
  }

  it('looks a name up once for a hundred concurrent first requests', async () => {
    await using server = await CountingServer.listen((_request, response) => answerJson(response, {}));
    const counted = { lookups: 0 };
    await using client = new HttpClient('once', {}, { resolve: resolving(() => ['127.0.0.1'], counted) });
    await Promise.all(Array.from({ length: 100 }, () => client.get(`http://api.test:${server.port}/`)));
    expect(counted.lookups).toBe(1);
    expect(client.statistics()).toMatchObject({ opened: 20 });
  });

  describe('that fails over', () => {
    let clock: ManualClock;
    let old: CountingServer;
    let moved: CountingServer;
    let client: HttpClient;
    let address: string;
    const ask = (): Promise<unknown> => client.get(`http://api.test:${moved.port}/`).json();

    beforeEach(async () => {
      clock = new ManualClock();
      old = await CountingServer.listen((_request, response) => answerJson(response, 'old'));
      moved = await CountingServer.listen((_request, response) => answerJson(response, 'new'), old.port, '127.0.0.2');
      for (const { server } of [old, moved]) server.keepAliveTimeout = 0;
      address = '127.0.0.1';
      const options = { dnsCacheTtlMs: 10_000, maxSocketAgeMs: 4_000 };
      const resolve = resolving(() => [address], { lookups: 0 });
      client = new HttpClient('fail-over', options, { clock, resolve, random: () => 0 });
      await ask();
      address = '127.0.0.2';
    });
    afterEach(async () => {
      await client.close();
      await old.close();
      await moved.close();
    });

    it('uses the new address for new sockets once the answer has expired, though the old one still answers', async () => {
      await clock.advance(4_000);
      expect(await ask()).toBe('old');
      await clock.advance(6_001);
      expect(await ask()).toBe('new');
    });

    it('uses the new address in the same request when the old one refuses', async () => {
      const { port } = old;
      await old.close();
      await vi.waitFor(() => expect(client.statistics().idle).toBe(0));
      expect(await client.get(`http://api.test:${port}/`).json()).toBe('new');
      expect(client.statistics()).toMatchObject({ retries: 1, connectErrors: 1 });
    });
  });
});
