/** `npm run fleet -- --help` tells; see live-checks.ts, cluster-checks.ts and simulation.ts. */
import { flag, number, readCommandLine, seed } from '../../tools/command-line.mjs';
import { brokenClusterPromises, tryCluster } from './cluster-checks.js';
import { runSimulation } from './histories.js';
import { brokenPromises, tryFleet } from './live-checks.js';

const { values } = readCommandLine({
  usage: 'npm run fleet -- [options]',
  about:
    'Processes that share a budget of connections, under load: killed, added, and replaced one after the other. Fails\n' +
    'where they have more connections together than they may, or where a request fails.',
  options: {
    processes: number('how many', { fallback: 4, least: 1 }),
    budget: number('the most connections of all of them', { fallback: 20, least: 2 }),
    cluster: flag('through a fail-over of a primary and two standbys instead'),
    simulate: flag('random histories of simulated fleets instead, without processes and servers'),
    histories: number('with --simulate: how many', { fallback: 10_000, least: 1 }),
    seed: seed(),
  },
  examples: ['npm run fleet -- --processes 20 --budget 100', 'npm run fleet -- --simulate --histories 1000 --seed 7'],
});
const log = (line: string): void => console.log(line);

function tell(report: object, broken: readonly string[]): void {
  console.log(JSON.stringify(report, null, 2));
  for (const promise of broken) console.error(`broken: ${promise}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}

if (values.simulate) {
  const broken = runSimulation(values.histories, values.seed, log);
  process.exitCode = broken === 0 ? 0 : 1;
} else {
  const { budget, processes } = values;
  const trial = {
    processes,
    budget,
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
