import type { Kysely } from 'kysely';
import { TcpProxy } from 'nestjs-pooling/testing';
import { DatabasePool, type DatabasePoolDependencies } from '../../libs/pooling/src/database/database-pool.js';
import { createKysely, type CreateKyselyOptions } from '../../libs/pooling/src/database/kysely.js';
import type { DatabaseOptions } from '../../libs/pooling/src/database/options.js';
import type { TestDatabase } from '../support/database.js';

/** The tables of the tests. */
export interface Tables {
  entry: { id: number; name: string };
}

/** The size of every pool here: small, so that one lost slot is noticed at once. */
export const SIZE = 2;

/** What became of the slots of a pool that nobody uses. */
export interface Slots {
  /** How many could be had at once and ran a statement. */
  readonly usable: number;
  readonly inUse: number;
  readonly waiting: number;
  /** Connections that were opened, and are neither open nor counted as closed. */
  readonly unaccounted: number;
  /** Leases that never came back. */
  readonly held: number;
}

/** What {@link KyselyLaboratory.slots} finds when nothing is lost. */
export const NONE_LOST: Slots = Object.freeze({ usable: SIZE, inUse: 0, waiting: 0, unaccounted: 0, held: 0 });

/** A pool, Kysely on it, and a proxy between it and the server. */
export class KyselyLaboratory implements AsyncDisposable {
  readonly proxy: TcpProxy;
  readonly pool: DatabasePool;
  readonly db: Kysely<Tables>;

  private constructor(proxy: TcpProxy, pool: DatabasePool, db: Kysely<Tables>) {
    this.proxy = proxy;
    this.pool = pool;
    this.db = db;
  }

  static async open(
    database: TestDatabase,
    given: {
      readonly options?: DatabaseOptions;
      readonly dependencies?: DatabasePoolDependencies;
      readonly kysely?: CreateKyselyOptions;
    } = {},
  ): Promise<KyselyLaboratory> {
    const url = new URL(database.url);
    const proxy = await TcpProxy.listen({ port: Number(url.port) });
    url.port = String(proxy.port);
    const pool = new DatabasePool(
      'kysely',
      { url: url.href, size: SIZE, maxOverflow: 0, acquireTimeoutMs: 5_000, ...given.options },
      given.dependencies,
    );
    return new KyselyLaboratory(proxy, pool, createKysely<Tables>(pool, given.kysely));
  }

  /** Takes all slots of the pool at once, and compares its counters: {@link NONE_LOST} when every slot is there. */
  async slots(): Promise<Slots> {
    const { pool } = this;
    const clients = await Promise.all(Array.from({ length: SIZE }, () => pool.connect({ timeoutMs: 5_000 })));
    for (const client of clients) await client.query('select 1');
    for (const client of clients) client.release();
    const { inUse, waiting, size, opened, closed, acquired, released } = pool.statistics();
    const gone = Object.values(closed).reduce((sum, count) => sum + count, 0);
    return { usable: clients.length, inUse, waiting, unaccounted: opened - gone - size, held: acquired - released };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.close({ deadlineMs: 0 });
    await this.proxy.close();
  }
}

/** How a promise was rejected; fails the test when it wasn't. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  return promise.then(
    (value) => {
      throw new Error(`resolved with ${JSON.stringify(value)}`);
    },
    (error: unknown) => error as Error,
  );
}
