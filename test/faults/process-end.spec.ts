import { inject } from 'vitest';
import { runTypeScript } from '#test/support/child.js';

it('a process whose pools are closed ends by itself, whatever they have met: no timer and no socket is left', async () => {
  const child = runTypeScript(new URL('./programs/ends-by-itself.ts', import.meta.url), {
    env: { DATABASE_URL: inject('databaseUrl') },
  });
  onTestFinished(() => void child.process.kill('SIGKILL'));
  const [, left] = await child.prints(/left (.*)/);
  const closedAt = performance.now();
  expect(await child.ended).toEqual({ code: 0, signal: null });
  expect(performance.now() - closedAt).toBeLessThan(20_000);
  expect(child.output()).toContain('refused ERR_POOL_CLOSED ERR_POOL_CONNECT_FAILED ERR_POOL_QUERY_TIMEOUT');
  expect(JSON.parse(left as string)).toEqual([]);
});

describe('a process that forgot to close its application', () => {
  async function run(what: string): Promise<{ output: string; ended: unknown; ms: number }> {
    const child = runTypeScript(new URL('./programs/forgets-to-close.ts', import.meta.url), {
      env: { DATABASE_URL: inject('databaseUrl'), WHAT: what },
    });
    onTestFinished(() => void child.process.kill('SIGKILL'));
    await child.prints(/used/);
    const usedAt = performance.now();
    const ended = await child.ended;
    return { output: child.output(), ended, ms: performance.now() - usedAt };
  }

  it('ends by itself: idle connections, taken-back deadlines and background work don’t hold it', async () => {
    const { output, ended, ms } = await run('idle');
    expect(output).toContain('used [[{"one":1}],{"one":1}]');
    expect(ended).toEqual({ code: 0, signal: null });
    expect(ms).toBeLessThan(30_000);
  });

  it('lives for as long as an acquire waits', async () => {
    const { output, ended } = await run('waiting');
    expect(output).toContain('refused ERR_POOL_SUSPENDED');
    expect(ended).toEqual({ code: 0, signal: null });
  });
});
