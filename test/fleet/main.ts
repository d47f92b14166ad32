/**
 * `npm run fleet [-- --processes 20 --budget 100]`: real processes, see live-checks.ts; with `--cluster` on a cluster through
 * a fail-over, see cluster-checks.ts; `npm run fleet -- --simulate [--histories N] [--seed N]`: see simulation.ts.
 */
import { parseArgs } from 'node:util';
import { brokenClusterPromises, tryCluster } from './cluster-checks.js';
import { runSimulation } from './histories.js';
import { brokenPromises, tryFleet } from './live-checks.js';

const { values } = parseArgs({
  options: {
    processes: { type: 'string', default: '4' },
    budget: { type: 'string', default: '20' },
    cluster: { type: 'boolean', default: false },
    simulate: { type: 'boolean', default: false },
    histories: { type: 'string', default: '10000' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
  },
});
const log = (line: string): void => console.log(line);

function tell(report: object, broken: readonly string[]): void {
  console.log(JSON.stringify(report, null, 2));
  for (const promise of broken) console.error(`broken: ${promise}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}

if (values.simulate) {
  const broken = runSimulation(Number(values.histories), Number(values.seed), log);
  process.exitCode = broken === 0 ? 0 : 1;
} else {
  const processes = Number(values.processes);
  const trial = {
    processes,
    budget: Number(values.budget),
    checkMs: 5_000,
    loadMs: 10_000,
    atOnce: Math.max(1, Math.ceil(processes / 4)),
  };
  if (values.cluster) {
    const report = await tryCluster(trial, log);
    tell(report, brokenClusterPromises(report, 1_000));
  } else {
    const report = await tryFleet(trial, log);
    tell(report, brokenPromises(report));
  }
}
