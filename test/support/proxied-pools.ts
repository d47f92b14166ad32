import { TcpProxy } from 'nestjs-pooling/testing';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabasePoolDependencies } from '#pooling/database/database-parts.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { createTestDatabase, type TestDatabase } from './database.js';
import { TrackedSockets } from './tracked-sockets.js';

/** Pools that reach one server through one proxy, for tests that break the way between them. */
export class ProxiedPools implements AsyncDisposable {
  readonly proxy: TcpProxy;
  readonly #url: string;
  readonly #open: DatabasePool[] = [];
  readonly #sockets = new TrackedSockets();

  private constructor(proxy: TcpProxy, url: string) {
    this.proxy = proxy;
    this.#url = url;
  }

  static async behind(serverUrl: string): Promise<ProxiedPools> {
    const url = new URL(serverUrl);
    const proxy = await TcpProxy.listen({ port: Number(url.port) });
    url.port = String(proxy.port);
    return new ProxiedPools(proxy, url.href);
  }

  /** A pool of two connections and no overflow, unless told otherwise. */
  create(options: DatabaseOptions = {}, dependencies: DatabasePoolDependencies = {}): DatabasePool {
    const pool = new DatabasePool(
      'proxied',
      { url: this.#url, connection: { stream: this.#sockets.make }, size: 2, maxOverflow: 0, ...options },
      dependencies,
    );
    this.#open.push(pool);
    return pool;
  }

  /** Sockets that the pools have made and that aren't closed: also those whose end the proxy swallows. */
  get openSockets(): number {
    return this.#sockets.open;
  }

  /** Mends the way to the server and closes what {@link create} made. */
  async reset(): Promise<void> {
    await this.proxy.forward();
    await Promise.all(this.#open.splice(0).map((pool) => pool.close({ deadlineMs: 0 })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.reset();
    await this.proxy.close();
  }
}

/** Opens `count` connections at once, however long that takes, and leaves them idle. */
export async function openIdle(pool: DatabasePool, count: number): Promise<void> {
  const clients = await Promise.all(Array.from({ length: count }, () => pool.connect({ timeoutMs: 60_000 })));
  for (const client of clients) client.release();
}

/** An empty database for the tests of one file, and pools that reach it through a proxy, mended after each test. */
export function useProxiedDatabase(): { readonly database: TestDatabase; readonly pools: ProxiedPools } {
  let database: TestDatabase;
  let pools: ProxiedPools;
  beforeAll(async () => {
    database = await createTestDatabase();
    pools = await ProxiedPools.behind(database.url);
  });
  afterEach(() => pools.reset());
  afterAll(async () => {
    await pools[Symbol.asyncDispose]();
    await database.drop();
  });
  return {
    get database() {
      return database;
    },
    get pools() {
      return pools;
    },
  };
}
