// Runs where one optional package isn't installed and all others are: `node without-one.mjs undici http`. The part that
// needs it says so at start; without that part, the application answers. With several packages: `kysely,pg database`.
import assert from 'node:assert/strict';
import { assertMissing, start } from './without.mjs';

const [names, part] = process.argv.slice(2);
const missing = names.split(',');
assertMissing(missing);

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
