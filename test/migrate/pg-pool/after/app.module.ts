import { Module } from '@nestjs/common';
import { PoolingModule } from 'nestjs-pooling';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';

@Module({
  imports: [
    PoolingModule.forRoot({
      database: {
        size: 10,
        maxOverflow: 0,
        idleTimeoutMs: 30_000,
        acquireTimeoutMs: 5_000,
        statementTimeoutMs: 10_000,
      },
      http: false,
    }),
  ],
  controllers: [OrdersController],
  providers: [OrdersService],
})
export class AppModule {}
