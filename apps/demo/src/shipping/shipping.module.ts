import { Module } from '@nestjs/common';
import { PoolingModule, type HttpClientOptions } from 'nestjs-pooling';
import { SETTINGS, type RunningSettings } from '../settings.module.js';
import { ShippingService } from './shipping.service.js';

@Module({
  imports: [
    PoolingModule.forHttpClientAsync({
      name: 'carrier',
      inject: [SETTINGS],
      // A person waits for the answer: better a clear failure after two seconds than a late success.
      useFactory: ({ carrierUrl }: RunningSettings): HttpClientOptions => ({
        baseUrl: carrierUrl,
        timeouts: { totalMs: 2_000, connectMs: 500 },
        retry: { attempts: 1 },
      }),
    }),
  ],
  providers: [ShippingService],
  exports: [ShippingService],
})
export class ShippingModule {}
