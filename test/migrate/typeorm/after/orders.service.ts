import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import type { Repository } from 'typeorm';
import { Order } from './order.entity.js';

export type { Order };

@Injectable()
export class OrdersService {
  constructor(@InjectRepository(Order) private readonly orders: Repository<Order>) {}

  list(): Promise<Order[]> {
    return this.orders.find({ order: { id: 'ASC' } });
  }

  create(items: string[]): Promise<number> {
    return this.orders.manager.transaction(async (manager) => {
      for (const item of items) await manager.insert(Order, { item });
      return items.length;
    });
  }
}
