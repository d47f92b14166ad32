import type { Kysely } from 'kysely';
import { TcpProxy } from 'nestjs-pooling/testing';
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabasePoolDependencies } from '#pooling/database/database-parts.js';
import { createKysely, type CreateKyselyOptions } from '#pooling/database/kysely/kysely.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import type { TestDatabase } from '#test/support/database.js';
import { noneLost, slotsOf, type Slots } from '#test/support/slots.js';

export { rejection } from '#test/support/outcomes.js';

/** The tables of the tests. */
export interface Tables {
  entry: { id: number; name: string };
}

/** The size of every pool here: small, so that one lost slot is noticed at once. */
export const SIZE = 2;

/** What {@link KyselyLaboratory.slots} finds when nothing is lost. */
export const NONE_LOST: Slots = Object.freeze(noneLost(SIZE));

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
      { url: url.href, size: SIZE, maxOverflow: 0, acquireTimeoutMs: 20_000, ...given.options },
      given.dependencies,
    );
    return new KyselyLaboratory(proxy, pool, createKysely<Tables>(pool, given.kysely));
  }

  /** {@link NONE_LOST} when every slot of the pool is there. */
  slots(): Promise<Slots> {
    return slotsOf(this.pool);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.close({ deadlineMs: 0 });
    await this.proxy.close();
  }
}
