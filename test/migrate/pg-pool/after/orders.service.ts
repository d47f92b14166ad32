import { Injectable } from '@nestjs/common';
import { InjectDbPool, type DatabasePool } from 'nestjs-pooling';

export interface Order {
  id: number;
  item: string;
}

@Injectable()
export class OrdersService {
  constructor(@InjectDbPool() private readonly pool: DatabasePool) {}

  async list(): Promise<Order[]> {
    return (await this.pool.query<Order>('select id, item from orders order by id')).rows;
  }

  async create(items: string[]): Promise<number> {
    const client = await this.pool.connect();
    try {
      await client.query('begin');
      for (const item of items) await client.query('insert into orders (item) values ($1)', [item]);
      await client.query('commit');
      return items.length;
    } catch (error) {
      await client.query('rollback');
      throw error;
    } finally {
      client.release();
    }
  }
}
