import { Body, Controller, Get, Param, Post, UseInterceptors } from '@nestjs/common';
import { idParameter } from '../http/inputs.js';
import { ReadYourWrites } from '../http/read-your-writes.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { ShippingService, type ShippingStatus } from '../shipping/shipping.service.js';
import { newOrder, type NewOrder } from './orders.inputs.js';
import { OrdersService, type Order } from './orders.service.js';

@Controller('orders')
@UseInterceptors(ReadYourWrites)
export class OrdersController {
  constructor(
    private readonly orders: OrdersService,
    private readonly shipping: ShippingService,
  ) {}

  @Get(':id')
  byId(@Param('id', new ZodPipe(idParameter)) id: number): Promise<Order> {
    return this.orders.byId(id);
  }

  @Post()
  async place(@Body(new ZodPipe(newOrder)) order: NewOrder): Promise<Order> {
    return this.orders.byId(await this.orders.place(order));
  }

  @Get(':id/shipping')
  async shippingOf(@Param('id', new ZodPipe(idParameter)) id: number): Promise<ShippingStatus> {
    const trackingNumber = await this.orders.trackingNumberOf(id);
    return trackingNumber === null ? { status: 'not shipped yet' } : this.shipping.track(trackingNumber);
  }
}
