/** `npm run hostile -- --help` tells; see database-hostile.ts and http-hostile.ts. */
import { flag, number, readCommandLine, seed as seedOption } from '../../tools/command-line.mjs';
import { runDatabaseHostile } from './database-hostile.js';
import { runHttpHostile } from './http-hostile.js';

const { values } = readCommandLine({
  usage: 'npm run hostile -- [options]',
  about:
    'The database pool before a PostgreSQL whose messages are changed, cut and made up on their way. Fails where an answer\n' +
    'reaches somebody else, or where anything hangs.',
  options: {
    http: flag('the HTTP client before such servers instead'),
    exchanges: number('how many queries, transactions and cursors, or requests', { fallback: 20_000, least: 1 }),
    seed: seedOption(),
    verbose: flag('tells each change of a message; with --http that is always told'),
  },
  examples: ['npm run hostile -- --seed 7 --exchanges 2000', 'npm run hostile -- --http'],
});
const { seed, exchanges } = values;
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
