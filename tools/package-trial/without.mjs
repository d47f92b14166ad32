// What the trials without optional packages share.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { NestFactory } from '@nestjs/core';
import { PoolingModule } from 'nestjs-pooling';

/** Proves that packages aren't installed. */
export function assertMissing(names) {
  for (const name of names) {
    assert.throws(() => createRequire(import.meta.url).resolve(name), { code: 'MODULE_NOT_FOUND' });
  }
}

/** Starts an application that has nothing but the module. */
export async function start(options) {
  class ApplicationModule {}
  Reflect.defineMetadata('imports', [PoolingModule.forRoot(options)], ApplicationModule);
  const application = await NestFactory.create(ApplicationModule, { logger: false, abortOnError: false });
  return application.listen(0, '127.0.0.1').then(() => application);
}
