import { runDatabaseChaos } from './database-chaos.js';

/** `CHAOS_SEED=…` replays what a failure named. */
const SEED = Number(process.env.CHAOS_SEED ?? 20_261_123);

it(`30 s of load and random faults break no invariant (seed ${SEED})`, async () => {
  const report = await runDatabaseChaos({ seed: SEED, durationMs: 30_000 });
  expect(report.succeeded).toBeGreaterThan(500);
  expect(report.committed).toBeGreaterThan(50);
  expect(Object.values(report.faults).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(20);
  expect(report.statistics).toMatchObject({ state: 'closed', size: 0, waiting: 0, connecting: 0 });
}, 120_000);
