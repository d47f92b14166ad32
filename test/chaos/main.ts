/** `npm run chaos -- --seed N --minutes M [--pipelining | --cluster]`: see database-chaos.ts and cluster-chaos.ts. */
import { parseArgs } from 'node:util';
import { runClusterChaos } from './cluster-chaos.js';
import { runDatabaseChaos } from './database-chaos.js';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    minutes: { type: 'string', default: '1' },
    pipelining: { type: 'boolean', default: false },
    cluster: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed);
const minutes = Number(values.minutes);
console.log(`chaos: seed ${seed}, ${minutes} min`);
const startedAt = performance.now();
const log = (line: string): void => console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1)} s: ${line}`);
const run = { seed, durationMs: minutes * 60_000, ...(values.verbose ? { log } : undefined) };
const report = values.cluster
  ? await runClusterChaos(run)
  : await runDatabaseChaos({ ...run, ...(values.pipelining ? { pool: { pipelining: {} } } : undefined) });
console.log(JSON.stringify(report, null, 2));
