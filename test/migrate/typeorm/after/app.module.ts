import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { getDbPoolToken, PoolingModule, type DatabasePool } from 'nestjs-pooling';
import { Order } from './order.entity.js';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';
import { driverOn } from './typeorm-driver.js';

@Module({
  imports: [
    PoolingModule.forRoot({ database: { size: 10, maxOverflow: 0 }, http: false }),
    TypeOrmModule.forRootAsync({
      inject: [getDbPoolToken()],
      useFactory: (pool: DatabasePool) => ({
        type: 'postgres',
        driver: driverOn(pool),
        retryAttempts: 0,
        installExtensions: false,
        autoLoadEntities: true,
      }),
    }),
    TypeOrmModule.forFeature([Order]),
  ],
  controllers: [OrdersController],
  providers: [OrdersService],
})
export class AppModule {}
