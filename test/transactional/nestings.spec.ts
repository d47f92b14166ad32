import fc from 'fast-check';
import { Laboratory } from './laboratory.js';
import { calls, callsAtOnce, modelOf, outcomeOf } from './nestings.js';

/** `NESTINGS=10000 npx vitest run test/transactional/nestings.spec.ts` for many. */
const RUNS = Number(process.env['NESTINGS'] ?? 150);

describe.each([false, { depth: 16 }] as const)('with pipelining %o', (pipelining) => {
  it('rows and hooks of random nestings, with failures at any point, are what a model says', async () => {
    await using laboratory = await Laboratory.open({ size: 8, pipelining });
    await fc.assert(
      fc.asyncProperty(calls, async (call) => {
        expect(await outcomeOf(call, laboratory)).toEqual(modelOf(call));
        // After a failed statement a connection waits for the server to be ready before it is idle.
        await vi.waitFor(() => expect(laboratory.pool.statistics().inUse).toBe(0), { interval: 1 });
      }),
      { numRuns: RUNS },
    );
  }, 600_000);

  it('so are those of nestings of which everything is asked for at once', async () => {
    // Each call may hold a connection, and wait for that of another one in it.
    await using laboratory = await Laboratory.open({ size: 60, pipelining });
    await fc.assert(
      fc.asyncProperty(callsAtOnce, async (call) => {
        expect(await outcomeOf(call, laboratory, true)).toEqual(modelOf(call, true));
        await vi.waitFor(() => expect(laboratory.pool.statistics().inUse).toBe(0), { interval: 1, timeout: 10_000 });
      }),
      { numRuns: RUNS },
    );
  }, 600_000);
});
