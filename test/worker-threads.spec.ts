import { Worker } from 'node:worker_threads';
import type { ThreadTask } from '#test/support/programs/pool-in-a-thread.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

const PROGRAM = new URL('./support/programs/pool-in-a-thread.ts', import.meta.url);
const TYPESCRIPT = new URL('./support/typescript.mjs', import.meta.url).href;

/** A thread that has begun, what it has said so far, and its end. */
interface Thread {
  readonly worker: Worker;
  readonly said: readonly unknown[];
  readonly ended: Promise<number>;
}

function start(task: ThreadTask): Thread {
  const worker = new Worker(PROGRAM, { workerData: task, execArgv: ['--import', TYPESCRIPT] });
  const said: unknown[] = [];
  worker.on('message', (message) => said.push(message));
  const ended = new Promise<number>((resolve, reject) => worker.once('error', reject).once('exit', resolve));
  return { worker, said, ended };
}

describe('pools in worker threads', { timeout: 120_000 }, () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.query('create table written (thread int not null, n int not null)');
  });
  afterAll(() => database.drop());
  afterEach(() => database.query('truncate written'));

  it('have transactions of their own, and let their threads end once they are closed', async () => {
    const threads = [1, 2, 3].map((thread) => start({ url: database.url, thread, end: 'close' }));
    expect(await Promise.all(threads.map(({ ended }) => ended))).toEqual([0, 0, 0]);
    for (const { said } of threads) {
      expect(said).toEqual(['committed', 'rolled back', { transaction: false, rows: 1 }]);
    }
    expect(await database.query('select thread, n from written order by thread, n')).toEqual(
      [1, 2, 3].flatMap((thread) => [1, 2].map((n) => ({ thread, n }))),
    );
  });

  it('end with a thread that is terminated, whatever runs on their connections', async () => {
    const { worker, said, ended } = start({ url: database.url, thread: 7, end: 'hang' });
    await vi.waitFor(() => expect(said).toContain('hangs'), 60_000);
    await worker.terminate();
    expect(await ended).toBe(1);
    // The server finds out when it has something to say.
    await database.query("select pg_cancel_backend(pid) from pg_stat_activity where application_name = 'thread 7'");
    await vi.waitFor(async () => {
      expect(await database.query("select pid from pg_stat_activity where application_name = 'thread 7'")).toEqual([]);
    }, 20_000);
  });
});
