import { BenchServer } from '../database/server.js';
import { Child } from '../race/child.js';
import { seededRandom, shuffled } from '../race/random.js';
import { median, quantile, type Slice } from '../race/slice.js';
import { environment, environmentLine } from '../report/environment.js';
import { writeResults } from '../report/files.js';
import { figure, table } from '../report/format.js';
import type { BenchSettings } from '../settings.js';
import type { Tracing } from './worker.js';

/** What is compared with what, and the most that it may cost of it. */
const ROWS: readonly (readonly [tracing: Tracing, basis: Tracing, what: string, most: number | undefined])[] = [
  ['none, traced', 'none, untraced', 'spans without a tracer', 1.01],
  ['samples nothing, traced', 'samples nothing, untraced', 'spans for a tracer that samples nothing', 1.03],
  ['records, traced', 'records, untraced', 'spans for a tracer that records everything', undefined],
  ['pg.Pool, instrumented', 'pg.Pool', '`pg.Pool` with `instrumentation-pg`, which records everything', undefined],
];
const SUBJECTS: readonly Tracing[] = [
  'none, untraced',
  'none, traced',
  'samples nothing, untraced',
  'samples nothing, traced',
  'records, untraced',
  'records, traced',
  'pg.Pool',
  'pg.Pool, instrumented',
];

type Round = ReadonlyMap<Tracing, number>;

async function measure(settings: BenchSettings, child: Child): Promise<Round[]> {
  const random = seededRandom(settings.seed);
  const rounds: Round[] = [];
  for (let round = 0; round < settings.rounds; round++) {
    const microseconds = new Map<Tracing, number>();
    for (const tracing of shuffled([...SUBJECTS], random)) {
      const slice = await child.ask<Slice>('slice', tracing, settings.sliceMs, settings.seed + round);
      microseconds.set(tracing, ((slice.clientCpuMs ?? NaN) * 1_000) / slice.operations);
    }
    rounds.push(microseconds);
  }
  return rounds;
}

function report(rounds: readonly Round[]): string {
  const all = (tracing: Tracing): number[] => rounds.map((round) => round.get(tracing) ?? NaN);
  const rows = ROWS.map(([tracing, basis, what, most]) => {
    const own = all(tracing);
    const base = all(basis);
    const ratios = own.map((value, at) => value / (base[at] ?? NaN));
    const added = own.map((value, at) => value - (base[at] ?? NaN));
    const quartiles = `${quantile(ratios, 0.25).toFixed(3)} to ${quantile(ratios, 0.75).toFixed(3)}`;
    return [
      what,
      figure(median(base)),
      figure(median(own)),
      median(added).toFixed(2),
      median(ratios).toFixed(3),
      quartiles,
      most === undefined ? '' : most.toFixed(2),
    ];
  });
  return table(['', 'without, µs', 'with, µs', 'added, µs', 'ratio', 'quartiles', 'at most'], rows);
}

/** Measures what traces cost: CPU time per query of one process, with a tracer and without, in short turns. */
export async function benchTracing(settings: BenchSettings): Promise<void> {
  await using server = await BenchServer.start();
  const child = new Child(new URL('./worker.js', import.meta.url), ['tracing']);
  try {
    await child.ask('open', server.url);
    for (const tracing of SUBJECTS) {
      await child.ask('slice', tracing, Math.max(settings.warmUpMs, 1), settings.seed);
    }
    const rounds = await measure(settings, child);
    const packages = ['pg', '@opentelemetry/sdk-trace-node', '@opentelemetry/instrumentation-pg'];
    const machine = environment(packages, { postgresql: await server.version() });
    const markdown =
      `CPU time of reading a customer by its key: 16 callers, 10 connections, ${settings.rounds} rounds of ` +
      `${settings.sliceMs} ms for each, in one process. ${environmentLine(machine)}.\n\n${report(rounds)}`;
    process.stdout.write(`${markdown}\n`);
    await writeResults(settings.folder, {
      'tracing.md': `# What traces cost\n\n${markdown}`,
      'tracing.json': JSON.stringify(
        { machine, rounds: rounds.map((round) => Object.fromEntries(round)) },
        undefined,
        2,
      ),
    });
  } finally {
    await child.end();
  }
}
