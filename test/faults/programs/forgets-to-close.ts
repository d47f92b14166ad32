/**
 * A process that starts an application, uses its database and its HTTP client, and never closes anything. `WHAT` is
 * `idle`, or `waiting`: then an acquire is still in the queue when everything else is done.
 */
import 'reflect-metadata';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PoolingModule } from '#pooling/module/pooling.module.js';
import { PoolRegistry } from '#pooling/module/pool-registry.js';

const upstream = createServer((_request, response) => response.end('{"one":1}'));
await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
upstream.unref();
const { port } = upstream.address() as AddressInfo;

@Module({
  imports: [
    PoolingModule.forRoot({
      database: { url: process.env['DATABASE_URL'] as string, leakDetectionMs: 60_000, acquireTimeoutMs: 60_000 },
      http: { baseUrl: `http://127.0.0.1:${port}` },
    }),
  ],
})
class ForgetfulModule {}

const application = await NestFactory.createApplicationContext(ForgetfulModule, { logger: false });
const registry = application.get(PoolRegistry);
const { rows } = await registry.database().query('select 1 as one');
const answer = await registry.http().get('/').json();
console.log(`used ${JSON.stringify([rows, answer])}`);
if (process.env['WHAT'] === 'waiting') {
  registry.database().suspend();
  const refused = await registry
    .database()
    .connect({ timeoutMs: 1_500 })
    .catch((error: { code?: unknown }) => error.code);
  console.log(`refused ${String(refused)}`);
}
