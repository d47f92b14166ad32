import { Controller, HttpCode, Post } from '@nestjs/common';
import { InjectDbPool, type DatabasePool } from 'nestjs-pooling';
import type { PoolClient } from 'pg';

/** Mistakes that handlers make with connections, to watch what the logs, the metrics and the console say of them. */
@Controller('faults')
export class FaultsController {
  readonly #kept: PoolClient[] = [];

  constructor(@InjectDbPool() private readonly pool: DatabasePool) {}

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

  /** Gives back what was kept. */
  @Post('release')
  @HttpCode(200)
  release(): { released: number } {
    const clients = this.#kept.splice(0);
    for (const client of clients) client.release();
    return { released: clients.length };
  }
}
