import { Client } from 'pg';
import { runTypeScript, type Child } from '#test/support/child.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

/** An application in the middle of a job, whose first query waits until the test lets it go on. */
export interface HeldJob {
  readonly child: Child;
  /** Lets the job's first query end. */
  letGo(): Promise<void>;
  /** What jobs have written. */
  letters(): Promise<number>;
}

/** Runs a program of `programs` until its job waits for the lock that this holds. */
export async function holdJob(program: string, env: NodeJS.ProcessEnv): Promise<HeldJob> {
  const database: TestDatabase = await createTestDatabase();
  onTestFinished(() => database.drop());
  await database.query('create table letter (body text not null)');
  const lock = new Client({ connectionString: database.url, application_name: 'test support' });
  await lock.connect();
  onTestFinished(() => lock.end());
  await lock.query('select pg_advisory_lock(1)');
  const child = runTypeScript(new URL(`./programs/${program}.ts`, import.meta.url), {
    env: { NO_COLOR: '1', ...env, DATABASE_URL: database.url },
  });
  onTestFinished(() => void child.process.kill('SIGKILL'));
  await child.prints(/job: begins/);
  await vi.waitFor(async () => {
    const waiting = await database.query(
      `select from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`,
    );
    expect(waiting).toHaveLength(1);
  }, 30_000);
  return {
    child,
    async letGo() {
      await lock.query('select pg_advisory_unlock(1)');
    },
    async letters() {
      return (await database.query('select from letter')).length;
    },
  };
}
