// Runs where nothing but Nest is installed: what is switched off needs no package, and what isn't says which one.
import assert from 'node:assert/strict';
import * as pooling from 'nestjs-pooling';
import { assertMissing, start } from './without.mjs';

const { DatabasePool, HttpClient } = pooling;

assertMissing(['kysely', 'pg', 'undici', '@nestjs/terminus', '@willsoto/nestjs-prometheus', 'prom-client']);

const application = await start({ database: false, http: false, health: false, metrics: false, console: {} });
assert.equal((await fetch(`${await application.getUrl()}/pools`)).status, 200);
await application.close();

await assert.rejects(start({}), ({ code, message }) => {
  assert.equal(code, 'ERR_POOL_OPTIONS_INVALID');
  for (const line of [
    /database: needs pg, which isn't installed: npm install pg \(or set database: false\)/,
    /http: needs undici, which isn't installed: npm install undici(?:@7)? \(or set http: false\)/,
    /health: needs @nestjs\/terminus, which isn't installed: npm install @nestjs\/terminus \(or set health: false\)/,
    /metrics: needs @willsoto\/nestjs-prometheus, which isn't installed: npm install @willsoto\/nestjs-prometheus /,
    /metrics: needs prom-client, which isn't installed: npm install prom-client /,
  ]) {
    assert.match(message, line);
  }
  return true;
});
assert.throws(() => new DatabasePool('reports'), /reports: .*\n.*needs pg, which isn't installed: npm install pg/);
assert.throws(() => new HttpClient('carrier'), /carrier: .*\n.*needs undici, which isn't installed/);
assert.throws(
  () => pooling.createKysely({ name: 'reports' }),
  /reports: .*\n.*createKysely: needs kysely, which isn't installed: npm install kysely/,
);
assert.equal(pooling.recommendPoolSize({ concurrentRequests: 100, queriesPerRequest: 3 }), 50);

console.log('and without its optional packages');
