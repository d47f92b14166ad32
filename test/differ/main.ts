/** `npm run differ -- --seed N [--cases N] [--only N]`: see differ.ts. */
import { parseArgs } from 'node:util';
import { PostgresServer } from 'nestjs-pooling/testing';
import { findPgBouncer, preparesByItself, PgBouncer, versionOf } from '#test/pgbouncer/pgbouncer.js';
import { runDiffer } from './differ.js';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    cases: { type: 'string', default: '10000' },
    only: { type: 'string' },
    'without-pgbouncer': { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed);
const program = values['without-pgbouncer'] ? undefined : findPgBouncer();
const prepares = program !== undefined && preparesByItself(versionOf(program));
console.log(
  `differ: seed ${seed}, ${prepares ? `with PgBouncer ${versionOf(program)}` : 'NOT through PgBouncer, from 1.21 on'}`,
);
const server = await PostgresServer.start({ authentication: 'trust', maxConnections: 60 });
const bouncer = prepares ? await PgBouncer.start(program, server.url, 1) : undefined;
try {
  const report = await runDiffer({
    seed,
    cases: Number(values.cases),
    url: server.url,
    bouncerUrl: bouncer?.url,
    only: values.only === undefined ? undefined : Number(values.only),
    log: (line) => console.log(line),
  });
  console.log(JSON.stringify({ ...report, differences: report.differences.length }, null, 2));
  if (report.differences.length > 0) process.exitCode = 1;
} finally {
  await bouncer?.[Symbol.asyncDispose]();
  await server.close();
}
