import { PostgresServer } from 'nestjs-pooling/testing';
import { runTypeScript } from '#test/support/child.js';

const RESTARTS = 50;

it(`Kysely over a DatabasePool survives ${RESTARTS} of ${RESTARTS} server restarts under load`, async () => {
  await using server = await PostgresServer.start({ authentication: 'trust' });
  const child = runTypeScript(new URL('./programs/kysely-under-restarts.ts', import.meta.url), {
    env: { DATABASE_URL: server.url },
  });
  /** How many queries have succeeded by the child's latest word. */
  const succeeded = (): number => Number(child.output().match(/succeeded (\d+)(?![\s\S]*succeeded)/)?.[1] ?? 0);
  const progress = async (): Promise<void> => {
    const target = succeeded() + 50;
    await vi.waitFor(() => expect(succeeded(), child.output().slice(-500)).toBeGreaterThan(target), { interval: 10 });
  };
  for (let restart = 0; restart < RESTARTS; restart++) {
    await progress();
    await server.restart(restart % 2 === 0 ? 'fast' : 'immediate');
    expect(child.process.exitCode, child.output().slice(-2_000)).toBeNull();
  }
  await progress();
  child.process.kill('SIGTERM');
  expect(await child.ended, child.output().slice(-2_000)).toEqual({ code: 0, signal: null });
  const end = JSON.parse(child.output().match(/end (\{.*\})/)?.[1] ?? '{}') as Record<string, number>;
  expect(end).toMatchObject({ waiting: 0, inUse: 0, size: 0 });
  // Ten in flight at most, each time.
  expect(end.failed).toBeLessThanOrEqual(RESTARTS * 15);
}, 300_000);
