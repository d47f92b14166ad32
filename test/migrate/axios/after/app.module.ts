import { Module } from '@nestjs/common';
import { PoolingModule } from 'nestjs-pooling';
import { ParcelsController } from './parcels.controller.js';
import { ParcelsService } from './parcels.service.js';

@Module({
  imports: [
    PoolingModule.forRoot({ database: false, http: false }),
    PoolingModule.forHttpClientAsync({
      name: 'carrier',
      useFactory: () => ({
        baseUrl: process.env.CARRIER_URL,
        timeouts: { totalMs: 3_000 },
        headers: { 'x-api-key': process.env.CARRIER_KEY },
      }),
    }),
  ],
  controllers: [ParcelsController],
  providers: [ParcelsService],
})
export class AppModule {}
