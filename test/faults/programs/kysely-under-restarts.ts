/**
 * Kysely over a DatabasePool as an application uses it: 64 callers without pause, nothing listening to any event.
 * Prints what it has seen when its standard input ends; if anything is thrown outside a promise, the process dies.
 */
import { sql } from 'kysely';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { createKysely } from '#pooling/database/kysely/kysely.js';

const pool = new DatabasePool('survivor', { url: process.env.DATABASE_URL as string, size: 10, maxOverflow: 0 });
const db = createKysely<Record<string, never>>(pool);

let running = true;
const seen = { succeeded: 0, failed: 0, transactions: 0 };

async function caller(index: number): Promise<void> {
  while (running) {
    try {
      if (index % 4 === 0) {
        await db.transaction().execute(async (transaction) => {
          await sql`select 1`.execute(transaction);
          await sql`select pg_sleep(0.003)`.execute(transaction);
        });
        seen.transactions++;
      } else {
        await sql`select pg_sleep(0.002)`.execute(db);
      }
      seen.succeeded++;
    } catch {
      seen.failed++;
    }
  }
}

const callers = Array.from({ length: 64 }, (_, index) => caller(index));
const report = setInterval(() => console.log(`succeeded ${seen.succeeded} failed ${seen.failed}`), 20);

process.once('SIGTERM', () => {
  running = false;
  clearInterval(report);
  void Promise.all(callers).then(async () => {
    await db.destroy();
    const { waiting, inUse, size } = pool.statistics();
    console.log(`end ${JSON.stringify({ ...seen, waiting, inUse, size })}`);
  });
});
