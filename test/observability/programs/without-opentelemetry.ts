/** An application where `@opentelemetry/api` can't be found. */
import 'reflect-metadata';
import { register } from 'node:module';
import { MessageChannel } from 'node:worker_threads';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PoolingModule, PoolRegistry } from 'nestjs-pooling';

const hooks = `
  let port;
  export function initialize(data) { port = data; }
  export function resolve(specifier, context, next) {
    if (specifier !== '@opentelemetry/api') return next(specifier, context);
    port.postMessage('asked');
    throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
  }
`;
const { port1, port2 } = new MessageChannel();
let asked = false;
port1.on('message', () => (asked = true)).unref();
register(`data:text/javascript,${encodeURIComponent(hooks)}`, { data: port2, transferList: [port2] });

@Module({ imports: [PoolingModule.forRoot({ http: false })] })
class ApplicationModule {}

const application = await NestFactory.create(ApplicationModule, { logger: ['warn', 'error'] });
await application.listen(0, '127.0.0.1');
const { rows } = await application.get(PoolRegistry).database().query('select 1');
console.log(`asked for the API: ${asked}, rows: ${rows.length}`);
await application.close();
