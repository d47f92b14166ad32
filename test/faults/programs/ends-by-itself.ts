/**
 * A process that meets the faults which arm timers and open sockets, closes its pools, and has nothing left to do.
 * Prints what Node still holds then; the process must end by that alone.
 */
import { DatabasePool } from '#pooling/database/database-pool.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';

const url = process.env['DATABASE_URL'] as string;
const nowhere = new URL(url);
nowhere.port = '1';

const options: DatabaseOptions = {
  size: 3,
  minIdle: 2,
  keepAliveMs: 20,
  idleTimeoutMs: 60_000,
  leakDetectionMs: 60_000,
  queryTimeoutMs: 100,
  acquireTimeoutMs: 60_000,
};
const pool = new DatabasePool('ending', { url, ...options });
const unreachable = new DatabasePool('unreachable', { url: nowhere.href, ...options });

const refusals: unknown[] = [];
const refused = (error: { code?: unknown }): void => void refusals.push(error.code);

pool.start();
await pool.query('select 1');
await pool.query('select pg_sleep(5)').catch(refused);
await pool.query('select pg_terminate_backend(pg_backend_pid())').catch(() => undefined);
await pool.ping();
const waiting = unreachable.connect().catch(refused);
await unreachable.ping({ timeoutMs: 5_000 }).catch(refused);
const leaked = await pool.connect();
await leaked.query('begin');
await Promise.all([pool.close({ deadlineMs: 50 }), unreachable.close()]);
await waiting;
// What a stream does at its very end is the next turn's.
await new Promise((resolve) => setImmediate(resolve));
const left = process.getActiveResourcesInfo().filter((resource) => /Timeout|TCP|TLS|DNS|GetAddrInfo/.test(resource));
console.log(
  `refused ${refusals
    .map(String)
    .toSorted((one, other) => one.localeCompare(other))
    .join(' ')}`,
);
console.log(`left ${JSON.stringify(left)}`);
