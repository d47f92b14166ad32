import { PostgresServer } from '../../../../libs/pooling/src/testing/postgres-server.js';
import { Child } from '../race/child.js';
import { environment, environmentLine } from '../report/environment.js';
import { writeResults } from '../report/files.js';
import { figure, table } from '../report/format.js';
import { lineChart } from '../report/svg.js';
import type { BenchSettings } from '../settings.js';
import type { ScaleFigures } from './worker.js';

const POOLS = [1, 10, 100, 1_000];
const SMOKE_POOLS = [1, 10];

const COLUMNS: readonly (readonly [keyof ScaleFigures, string])[] = [
  ['idleCpuMs', 'idle CPU, ms per s'],
  ['acquireMicroseconds', 'acquire and release, µs'],
  ['acquireWhileScrapedMicroseconds', 'the same while scraped, µs'],
  ['statisticsMicroseconds', 'statistics(), µs'],
  ['scrapeMs', 'scrape, ms'],
  ['scrapeKiB', 'scrape, KiB'],
];

/** Measures how an application's costs grow with the number of its pools, and what metrics cost. */
export async function benchScale(settings: BenchSettings): Promise<void> {
  await using server = await PostgresServer.start({ authentication: 'trust' });
  const results: { readonly pools: number; readonly figures: ScaleFigures }[] = [];
  for (const pools of settings.smoke ? SMOKE_POOLS : POOLS) {
    process.stderr.write(`${pools.toLocaleString('en')} pools …\n`);
    const child = new Child(new URL('./worker.js', import.meta.url), [`${pools} pools`], ['--expose-gc']);
    try {
      results.push({ pools, figures: await child.ask<ScaleFigures>('measure', server.url, pools) });
    } finally {
      await child.end();
    }
  }
  const machine = environment(['@nestjs/core', 'prom-client']);
  const [first] = results;
  const heapPerPool = (pools: number, heapKiB: number): number | undefined =>
    first === undefined || pools === first.pools
      ? undefined
      : (heapKiB - first.figures.heapKiB) / (pools - first.pools);
  const rows = results.map(({ pools, figures }) => [
    pools.toLocaleString('en'),
    figure(heapPerPool(pools, figures.heapKiB)),
    ...COLUMNS.map(([column]) => figure(figures[column])),
  ]);
  const markdown =
    `One application with this many pools, each of two connections and not yet used but one. ${environmentLine(machine)}.\n\n` +
    table(['pools', 'heap for one more pool, KiB', ...COLUMNS.map(([, title]) => title)], rows);
  process.stdout.write(`${markdown}\n`);
  const lines = COLUMNS.filter(([column]) => column === 'scrapeMs' || column === 'acquireMicroseconds').map(
    ([column, label]) => ({ label, points: results.map(({ pools, figures }) => ({ x: pools, y: figures[column] })) }),
  );
  await writeResults(settings.folder, {
    'scale.md': `# Cost against the number of pools\n\n${markdown}`,
    'scale.json': JSON.stringify({ machine, results }, undefined, 2),
    'scale.svg': lineChart('Cost as the number of pools grows', 'pools', 'µs, ms', lines),
  });
}
