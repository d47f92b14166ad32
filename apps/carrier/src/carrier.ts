import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { CarrierModule } from './carrier.module.js';

/** Starts the carrier on 127.0.0.1; port 0: a free one, which `getUrl()` then says. */
export async function startCarrier(port: number): Promise<INestApplication> {
  const carrier = await NestFactory.create(CarrierModule, { logger: ['error', 'warn'], abortOnError: false });
  await carrier.listen(port, '127.0.0.1');
  return carrier;
}
