/** An application where `@opentelemetry/api` can't be found. */
import 'reflect-metadata';
import NodeModule from 'node:module';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PoolingModule, PoolRegistry } from 'nestjs-pooling';

/** How Node finds what is required; its types don't tell. */
interface Resolver {
  _resolveFilename(specifier: string, parent: { readonly filename?: string } | undefined, ...rest: unknown[]): string;
}
const resolver = NodeModule as unknown as Resolver;
const found = resolver._resolveFilename;
let asked = false;
resolver._resolveFilename = function (specifier, parent, ...rest) {
  // prom-client brings one for itself, where others don't find it.
  if (specifier !== '@opentelemetry/api' || parent?.filename?.includes('prom-client') === true) {
    return found.call(this, specifier, parent, ...rest);
  }
  asked = true;
  throw Object.assign(new Error(`Cannot find module '${specifier}'`), { code: 'MODULE_NOT_FOUND' });
};

@Module({ imports: [PoolingModule.forRoot({ http: false })] })
class ApplicationModule {}

const application = await NestFactory.create(ApplicationModule, { logger: ['warn', 'error'] });
await application.listen(0, '127.0.0.1');
const { rows } = await application.get(PoolRegistry).database().query('select 1');
console.log(`asked for the API: ${asked}, rows: ${rows.length}`);
await application.close();
