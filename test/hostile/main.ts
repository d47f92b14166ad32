/** `npm run hostile -- --http --seed N [--exchanges N]`: see http-hostile.ts. */
import { parseArgs } from 'node:util';
import { runHttpHostile } from './http-hostile.js';

const { values } = parseArgs({
  options: {
    http: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    exchanges: { type: 'string', default: '20000' },
  },
});
if (!values.http) throw new Error('hostile: say --http');
const seed = Number(values.seed);
console.log(`hostile: seed ${seed}, ${values.exchanges} exchanges`);
const report = await runHttpHostile({ seed, exchanges: Number(values.exchanges), log: (line) => console.log(line) });
console.log(JSON.stringify(report, null, 2));
if (report.failures.length > 0) process.exitCode = 1;
