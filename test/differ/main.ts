/** `npm run differ -- --help` tells; see differ.ts. */
import { PostgresServer } from 'nestjs-pooling/testing';
import { findPgBouncer, preparesByItself, PgBouncer, versionOf } from '#test/pgbouncer/pgbouncer.js';
import { flag, number, readCommandLine, seed as seedOption } from '../../tools/command-line.mjs';
import { runDiffer } from './differ.js';

const { values } = readCommandLine({
  usage: 'npm run differ -- [options]',
  about:
    'Random queries, types and parameters, here and with plain pg, directly and through a PgBouncer from 1.21 on where there\n' +
    'is one. Fails where their rows or errors differ.',
  options: {
    cases: number('how many', { fallback: 10_000, least: 1 }),
    seed: seedOption(),
    only: number('this case alone: a difference names it'),
    'without-pgbouncer': flag('also where there is one'),
  },
  examples: ['npm run differ -- --cases 1000', 'npm run differ -- --seed 7 --only 421'],
});
const { seed } = values;
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
    cases: values.cases,
    url: server.url,
    bouncerUrl: bouncer?.url,
    only: values.only,
    log: (line) => console.log(line),
  });
  console.log(JSON.stringify({ ...report, differences: report.differences.length }, null, 2));
  if (report.differences.length > 0) process.exitCode = 1;
} finally {
  await bouncer?.[Symbol.asyncDispose]();
  await server.close();
}
