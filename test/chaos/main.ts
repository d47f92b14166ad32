/** `npm run chaos -- --help` tells; see database-chaos.ts and cluster-chaos.ts. */
import { flag, number, readCommandLine, seed as seedOption } from '../../tools/command-line.mjs';
import { runClusterChaos } from './cluster-chaos.js';
import { runDatabaseChaos } from './database-chaos.js';

const { values } = readCommandLine({
  usage: 'npm run chaos -- [options]',
  about:
    'Load and random faults on a database pool before a real PostgreSQL: servers that stop, connections that are\n' +
    'cut and fall silent. Prints what has happened, and fails with the first promise that was broken.',
  options: {
    seed: seedOption(),
    minutes: number('how long it goes on, in minutes', { fallback: 1, whole: false }),
    pipelining: flag('with queries that share connections'),
    cluster: flag('a primary and two standbys instead: killed, frozen, promoted, demoted, taken back'),
    verbose: flag('tells each fault'),
  },
  examples: ['npm run chaos -- --minutes 10 --seed 7', 'npm run chaos -- --cluster --verbose'],
});
const { seed, minutes } = values;
console.log(`chaos: seed ${seed}, ${minutes} min`);
const startedAt = performance.now();
const log = (line: string): void => console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1)} s: ${line}`);
const run = { seed, durationMs: minutes * 60_000, ...(values.verbose ? { log } : undefined) };
const report = values.cluster
  ? await runClusterChaos(run)
  : await runDatabaseChaos({ ...run, ...(values.pipelining ? { pool: { pipelining: {} } } : undefined) });
console.log(JSON.stringify(report, null, 2));
