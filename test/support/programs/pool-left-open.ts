/** A process with an idle pool, `POOL` being `pg` or `database`; `EXIT_ON_IDLE` set is pg's `allowExitOnIdle`. Ends the pool on SIGTERM. */
import pg from 'pg';
import { DatabasePool } from '#pooling/database/database-pool.js';

const url = process.env['DATABASE_URL'] as string;
const allowExitOnIdle = process.env['EXIT_ON_IDLE'] !== undefined;
const pool: pg.Pool =
  process.env['POOL'] === 'pg'
    ? new pg.Pool({ connectionString: url, idleTimeoutMillis: 0, allowExitOnIdle })
    : new DatabasePool('left open', { url, idleTimeoutMs: 0 });
await pool.query('select 1');
console.log('idle');
process.once('SIGTERM', () => void pool.end());
