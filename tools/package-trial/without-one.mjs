// Runs where one optional package isn't installed and all others are: `node without-one.mjs undici http`. The part that
// needs it says so at start; without that part, the application answers. With several packages: `kysely,pg database`.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { NestFactory } from '@nestjs/core';
import { PoolingModule } from 'nestjs-pooling';

const [names, part] = process.argv.slice(2);
const missing = names.split(',');
for (const name of missing) {
  assert.throws(() => createRequire(import.meta.url).resolve(name), { code: 'MODULE_NOT_FOUND' });
}

async function start(options) {
  class ApplicationModule {}
  Reflect.defineMetadata('imports', [PoolingModule.forRoot(options)], ApplicationModule);
  const application = await NestFactory.create(ApplicationModule, { logger: false, abortOnError: false });
  return application.listen(0, '127.0.0.1').then(() => application);
}

// Nothing of this needs a server.
const database = { url: 'postgres://127.0.0.1:1/none', startup: 'lazy' };

await assert.rejects(start({ database }), ({ code, message }) => {
  assert.equal(code, 'ERR_POOL_OPTIONS_INVALID');
  const named = [...message.matchAll(/needs (\S+), which isn't installed: npm install (\S+)/g)].map(([, name]) => name);
  // Kysely's adapter is asked for when pg is there.
  assert.ok(named.length > 0 && named.every((name) => missing.includes(name)), message);
  return true;
});

const application = await start({ database, [part]: false });
const base = await application.getUrl();
const statusOf = async (path) => (await fetch(base + path)).status;
assert.equal(await statusOf('/health/live'), part === 'health' ? 404 : 200);
if (part === 'database') assert.equal(await statusOf('/health'), 200);
assert.equal(await statusOf('/metrics'), part === 'metrics' ? 404 : 200);
await application.close();

console.log(`and without ${missing.join(' and ')}`);
