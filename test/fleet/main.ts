/** `npm run fleet -- --simulate [--histories N] [--seed N]`: see simulation.ts. */
import { parseArgs } from 'node:util';
import { runSimulation } from './histories.js';

const { values } = parseArgs({
  options: {
    simulate: { type: 'boolean', default: false },
    histories: { type: 'string', default: '10000' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
  },
});
if (!values.simulate) throw new Error('say --simulate');
const failed = runSimulation(Number(values.histories), Number(values.seed), (line) => console.log(line));
process.exitCode = failed === 0 ? 0 : 1;
