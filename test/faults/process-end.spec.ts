import { inject } from 'vitest';
import { runTypeScript } from '../support/child.js';

test('a process whose pools are closed ends by itself, whatever they have met: no timer and no socket is left', async () => {
  const child = runTypeScript(new URL('./programs/ends-by-itself.ts', import.meta.url), {
    env: { DATABASE_URL: inject('databaseUrl') },
  });
  onTestFinished(() => void child.process.kill('SIGKILL'));
  const [, left] = await child.prints(/left (.*)/);
  const closedAt = performance.now();
  expect(await child.ended).toEqual({ code: 0, signal: null });
  expect(performance.now() - closedAt).toBeLessThan(2_000);
  expect(child.output()).toContain('refused ERR_POOL_CLOSED ERR_POOL_CONNECT_FAILED ERR_POOL_QUERY_TIMEOUT');
  expect(JSON.parse(left as string)).toEqual([]);
});
