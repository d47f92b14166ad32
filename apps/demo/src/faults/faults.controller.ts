import { Controller, HttpCode, Post } from '@nestjs/common';
import { sql, type Kysely } from 'kysely';
import { InjectDb, InjectDbPool, type DatabasePool } from 'nestjs-pooling';
import type { PoolClient } from 'pg';
import type { Shop } from '../database/schema.js';

const SLOW_SECONDS = 2;

/** Mistakes that handlers make with connections, to watch what the logs, the metrics and the console say of them. */
@Controller('faults')
export class FaultsController {
  readonly #kept: PoolClient[] = [];

  constructor(
    @InjectDbPool() private readonly pool: DatabasePool,
    @InjectDb() private readonly db: Kysely<Shop>,
  ) {}

  /** Keeps its connection: others will wait for it in vain. */
  @Post('leak')
  @HttpCode(200)
  async forgetToRelease(): Promise<{ orders: number | undefined }> {
    const client = await this.pool.connect();
    this.#kept.push(client);
    const { rows } = await client.query<{ orders: number }>('SELECT count(*)::int AS orders FROM orders');
    return { orders: rows[0]?.orders };
  }

  /** Drops its connection without giving it back: the garbage collector finds it. */
  @Post('drop')
  @HttpCode(200)
  async dropConnection(): Promise<{ products: number | undefined }> {
    const client = await this.pool.connect();
    const { rows } = await client.query<{ products: number }>('SELECT count(*)::int AS products FROM products');
    return { products: rows[0]?.products };
  }

  /** A transaction on each connection that does nothing for a while: others wait for its end. */
  @Post('slow-transactions')
  @HttpCode(200)
  async holdConnections(): Promise<{ held: number }> {
    const { size, maxOverflow } = this.pool.bounds;
    const held = size + maxOverflow;
    const hold = (): Promise<unknown> =>
      this.db.transaction().execute((trx) => sql`SELECT pg_sleep(${SLOW_SECONDS})`.execute(trx));
    await Promise.all(Array.from({ length: held }, hold));
    return { held };
  }

  /** Gives back what was kept. */
  @Post('release')
  @HttpCode(200)
  release(): { released: number } {
    const clients = this.#kept.splice(0);
    for (const client of clients) client.release();
    return { released: clients.length };
  }
}
