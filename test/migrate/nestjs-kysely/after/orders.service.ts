import { Injectable } from '@nestjs/common';
import type { Kysely } from 'kysely';
import { InjectDb } from 'nestjs-pooling';
import type { Database } from './database.js';

export interface Order {
  id: number;
  item: string;
}

@Injectable()
export class OrdersService {
  constructor(@InjectDb() private readonly db: Kysely<Database>) {}

  list(): Promise<Order[]> {
    return this.db.selectFrom('orders').select(['id', 'item']).orderBy('id').execute();
  }

  create(items: string[]): Promise<number> {
    return this.db.transaction().execute(async (transaction) => {
      for (const item of items) await transaction.insertInto('orders').values({ item }).execute();
      return items.length;
    });
  }
}
