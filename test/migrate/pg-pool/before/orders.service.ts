import { Inject, Injectable } from '@nestjs/common';
import type { Pool } from 'pg';
import { PG_POOL } from './database.module.js';

export interface Order {
  id: number;
  item: string;
}

@Injectable()
export class OrdersService {
  constructor(@Inject(PG_POOL) private readonly pool: Pool) {}

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
