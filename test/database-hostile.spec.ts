import { runDatabaseHostile } from './hostile/database-hostile.js';

/** `HOSTILE_SEED=…` replays what a failure named. */
const SEED = Number(process.env.HOSTILE_SEED ?? 20_261_128);

it(`a server that lies reaches no caller, ends no process and keeps nobody waiting (seed ${SEED})`, async () => {
  const report = await runDatabaseHostile({ seed: SEED, exchanges: 1_500 });
  expect(report.exchanges).toBeGreaterThanOrEqual(1_500);
  expect(report.answered).toBeGreaterThan(500);
  expect(Object.values(report.failed).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(20);
  expect(Object.keys(report.mutations).length).toBeGreaterThan(8);
}, 120_000);
