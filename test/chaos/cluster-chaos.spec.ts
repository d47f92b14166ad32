import { runClusterChaos } from './cluster-chaos.js';

/** `CHAOS_SEED=…` replays what a failure named. */
const SEED = Number(process.env.CHAOS_SEED ?? 20_261_128);

it(`15 s of writes over a cluster whose servers come and go lose none that was acknowledged, and reads miss none of their own request (seed ${SEED})`, async () => {
  const report = await runClusterChaos({ seed: SEED, durationMs: 15_000, leastFaults: 5 });
  expect(report.written).toBeGreaterThan(100);
  expect(report.readBack).toBeGreaterThan(50);
  expect(Object.values(report.faults).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(3);
  expect(report.statistics).toMatchObject({ state: 'closed', size: 0, waiting: 0, connecting: 0 });
}, 300_000);
