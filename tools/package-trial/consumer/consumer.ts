// Compiled by the oldest TypeScript that the package's types are for, and by the newest.
import { Injectable, Module } from '@nestjs/common';
import type { Kysely } from 'kysely';
import {
  createKysely,
  DatabasePool,
  HttpClient,
  InjectDb,
  InjectDbPool,
  InjectHttpClient,
  PoolingError,
  PoolingModule,
  retryTransaction,
} from 'nestjs-pooling';
import { PostgresServer, TcpProxy } from 'nestjs-pooling/testing';

interface Database {
  orders: { id: number; item: string };
}

@Injectable()
export class OrdersService {
  constructor(
    @InjectDb() private readonly db: Kysely<Database>,
    @InjectDbPool() private readonly pool: DatabasePool,
    @InjectHttpClient('carrier') private readonly carrier: HttpClient,
  ) {}

  async order(id: number): Promise<{ id: number; item: string; status: string }> {
    const order = await this.db.selectFrom('orders').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
    const { status } = await this.carrier.get(`/shipments/${id}`).json<{ status: string }>();
    return { ...order, status };
  }

  async count(): Promise<number> {
    const { rows } = await this.pool.query<{ n: number }>('select count(*)::int as n from orders');
    return rows[0]?.n ?? 0;
  }

  add(item: string): Promise<void> {
    return retryTransaction(this.db, async (trx) => {
      await trx.insertInto('orders').values({ id: 1, item }).execute();
    });
  }
}

@Module({
  imports: [
    PoolingModule.forRoot({ database: { preset: 'medium' } }),
    PoolingModule.forHttpClient({ name: 'carrier' }),
  ],
  providers: [OrdersService],
})
export class AppModule {}

export async function alone(): Promise<string | undefined> {
  const server = await PostgresServer.start();
  const proxy = await TcpProxy.listen({ port: server.port });
  const pool = new DatabasePool('alone', { url: server.url });
  try {
    await createKysely<Database>(pool).selectFrom('orders').selectAll().execute();
    // @ts-expect-error There is no such option: the types aren't `any`.
    new DatabasePool('wrong', { sice: 1 });
    return undefined;
  } catch (error) {
    return error instanceof PoolingError ? error.code : undefined;
  } finally {
    await pool.close();
    await proxy.close();
    await server.close();
  }
}
