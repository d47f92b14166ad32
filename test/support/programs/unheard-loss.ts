/** Loses an idle and a borrowed connection while nobody listens to any event; `POOL` is `pg` or `database`. */
import pg from 'pg';
import { DatabasePool } from '#pooling/database/database-pool.js';

const url = process.env['DATABASE_URL'] as string;
const pool: pg.Pool =
  process.env['POOL'] === 'pg' ? new pg.Pool({ connectionString: url }) : new DatabasePool('unheard', { url });
const control = new pg.Client({ connectionString: url, application_name: 'control' });
await control.connect();
const [idle, borrowed] = await Promise.all([pool.connect(), pool.connect()]);
const processIds = [idle, borrowed].map((client) => (client as unknown as { processID: number }).processID);
idle.release();
await control.query('select pg_terminate_backend(pid) from unnest($1::int[]) pid', [processIds]);
// Both losses are seen by then: each answer goes the same way.
for (let turn = 0; turn < 5; turn++) await control.query('select pg_sleep(0.01)');
borrowed.release();
await pool.query('select 1');
await pool.end();
await control.end();
