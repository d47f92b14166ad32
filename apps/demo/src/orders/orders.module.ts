import { Module } from '@nestjs/common';
import { ShippingModule } from '../shipping/shipping.module.js';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';

@Module({ imports: [ShippingModule], controllers: [OrdersController], providers: [OrdersService] })
export class OrdersModule {}
