import { HttpModule } from '@nestjs/axios';
import { Module } from '@nestjs/common';
import { ParcelsController } from './parcels.controller.js';
import { ParcelsService } from './parcels.service.js';

@Module({
  imports: [
    HttpModule.registerAsync({
      useFactory: () => ({
        baseURL: process.env.CARRIER_URL,
        timeout: 3_000,
        headers: { 'x-api-key': process.env.CARRIER_KEY },
      }),
    }),
  ],
  controllers: [ParcelsController],
  providers: [ParcelsService],
})
export class AppModule {}
