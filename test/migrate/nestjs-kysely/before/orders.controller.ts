import { Body, Controller, Get, Post } from '@nestjs/common';
import { OrdersService, type Order } from './orders.service.js';

@Controller('orders')
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Get()
  list(): Promise<Order[]> {
    return this.orders.list();
  }

  @Post()
  async create(@Body() { items }: { items: string[] }): Promise<{ created: number }> {
    return { created: await this.orders.create(items) };
  }
}
