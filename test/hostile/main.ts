/**
 * `npm run hostile -- --seed N [--exchanges N] [--verbose]`: the database pool before a server that lies, see
 * database-hostile.ts; with `--http` the HTTP client, see http-hostile.ts.
 */
import { parseArgs } from 'node:util';
import { runDatabaseHostile } from './database-hostile.js';
import { runHttpHostile } from './http-hostile.js';

const { values } = parseArgs({
  options: {
    http: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    exchanges: { type: 'string', default: '20000' },
    verbose: { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed);
const exchanges = Number(values.exchanges);
console.log(`hostile: seed ${seed}, ${exchanges} exchanges`);
const log = (line: string): void => console.log(line);
if (values.http) {
  const report = await runHttpHostile({ seed, exchanges, log });
  console.log(JSON.stringify(report, null, 2));
  if (report.failures.length > 0) process.exitCode = 1;
} else {
  const report = await runDatabaseHostile({ seed, exchanges, ...(values.verbose ? { log } : undefined) });
  console.log(JSON.stringify(report, null, 2));
}
