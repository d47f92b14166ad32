import { parentPort, workerData } from 'node:worker_threads';
import { sql } from 'kysely';
import { afterCommit, createKysely, currentTransaction, DatabasePool, transactional } from 'nestjs-pooling';

/** What a thread is told to do. */
export interface ThreadTask {
  readonly url: string;
  readonly thread: number;
  readonly end: 'close' | 'hang';
}

const { url, thread, end } = workerData as ThreadTask;
const say = (said: unknown): void => parentPort?.postMessage(said);
const pool = new DatabasePool({ url, size: 2, applicationName: `thread ${thread}`, leakDetectionMs: 10_000 });
const db = createKysely<{ written: { thread: number; n: number } }>(pool);

await transactional(db, async () => {
  await Promise.all([1, 2].map((n) => db.insertInto('written').values({ thread, n }).execute()));
  afterCommit(() => say('committed'));
});
await transactional(db, async () => {
  await db.insertInto('written').values({ thread, n: 3 }).execute();
  throw new Error('rolled back');
}).catch((error: Error) => say(error.message));
say({ transaction: currentTransaction(db) !== undefined, rows: (await pool.query('select 1')).rowCount });
if (end === 'close') await pool.close();
else {
  const hanging = sql`select pg_sleep(600)`.execute(db);
  say('hangs');
  await hanging;
}
