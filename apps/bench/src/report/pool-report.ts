import type { EngineRace, LongQueue } from '../pool/bench-pool.js';
import { OWN_ENGINE, PG_POOL } from '../pool/engine.js';
import type { BenchSettings } from '../settings.js';
import { environment, environmentLine } from './environment.js';
import { writeResults } from './files.js';
import { figure, table } from './format.js';
import { barChart, lineChart } from './svg.js';

const PACKAGES = ['pg', 'pg-pool', 'tarn', 'generic-pool'];

function raceTable({ title, summaries }: EngineRace): string {
  const reference = summaries.get(PG_POOL)?.perSecond;
  const rows = [...summaries]
    .toSorted(([, one], [, other]) => other.perSecond - one.perSecond)
    .map(([name, summary]) => [
      summary.disturbed ? `${name} *` : name,
      figure(reference === undefined ? undefined : summary.perSecond / reference),
      figure(1e6 / summary.perSecond),
      `${figure(1e6 / summary.highPerSecond)}–${figure(1e6 / summary.lowPerSecond)}`,
      `${summary.quietSlices}/${summary.slices}`,
    ]);
  return `### ${title}\n\n${table(['engine', 'ratio', 'µs each', 'quartiles', 'quiet slices'], rows)}`;
}

function longQueueTable(longQueues: readonly LongQueue[]): string {
  const rows = longQueues.map(({ engine, waiters, drainMs, timeout }) => [
    engine,
    waiters.toLocaleString('en'),
    figure(drainMs),
    figure(timeout.longestStallMs),
    figure(timeout.fromFirstToLastMs),
    figure(timeout.cpuMs),
  ]);
  const head = ['engine', 'waiters', 'served in ms', 'timed out: longest stall ms', 'first to last ms', 'CPU ms'];
  return `### Long queues: served, and timed out all at once\n\n${table(head, rows)}`;
}

function queuePlot(races: readonly EngineRace[]): string {
  const long = races.filter(({ waiters }) => waiters !== undefined);
  const names = [...(long[0]?.summaries.keys() ?? [])];
  const lines = names.map((label) => ({
    label,
    points: long.map(({ waiters = 1, summaries }) => ({
      x: waiters,
      y: 1e6 / (summaries.get(label)?.perSecond ?? 1),
    })),
  }));
  return lineChart('Cost of one acquire and release as the queue grows', 'waiters', 'µs', lines);
}

/** Prints the tables; writes them with the figures and plots. */
export async function reportPool(
  races: readonly EngineRace[],
  longQueues: readonly LongQueue[],
  settings: BenchSettings,
): Promise<void> {
  const machine = environment(PACKAGES);
  const head =
    `The engine alone, 10 connections that exist in memory only; ratios are of throughput, against ${PG_POOL} in the ` +
    `same run. ${environmentLine(machine)}. ${settings.rounds} slices of ${settings.sliceMs} ms for each.`;
  const markdown = [head, ...races.map(raceTable), longQueueTable(longQueues)].join('\n\n');
  process.stdout.write(`${markdown}\n`);
  const serial = races[0] as EngineRace;
  const bars = [...serial.summaries].map(([label, summary]) => ({
    label,
    value: 1e6 / summary.perSecond,
    low: 1e6 / summary.highPerSecond,
    high: 1e6 / summary.lowPerSecond,
    own: label === OWN_ENGINE,
  }));
  const figures = {
    machine,
    reference: PG_POOL,
    races: races.map(({ title, waiters, summaries }) => ({ title, waiters, engines: Object.fromEntries(summaries) })),
    longQueues,
  };
  await writeResults(settings.folder, {
    'pool.md': `# The engine alone\n\n${markdown}`,
    'pool.json': JSON.stringify(figures, undefined, 2),
    'pool-serial.svg': barChart('One acquire and release, nobody waiting', ' µs', bars),
    'pool-queue.svg': queuePlot(races),
  });
}
