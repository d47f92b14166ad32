import { setTimeout as pause } from 'node:timers/promises';
import { BenchServer } from '../database/server.js';
import { Child } from '../race/child.js';
import { seededRandom, shuffled } from '../race/random.js';
import { median, quantile, type Slice } from '../race/slice.js';
import { environment, environmentLine } from '../report/environment.js';
import { writeResults } from '../report/files.js';
import { figure, table } from '../report/format.js';
import type { BenchSettings } from '../settings.js';
import type { Watching } from './worker.js';

/** What is compared with what costs nothing, how it is described, and the most that it may cost. */
const WATCHED: readonly (readonly [watching: Watching, what: string, most: number | undefined])[] = [
  ['defaults', 'the defaults: health and metrics, scraped each second', 1.02],
  ['stacks', 'leak detection with stacks', 1.05],
  ['leaks', 'leak detection with stacks and the names of handlers', undefined],
  ['console', 'a console that nobody looks at', 1.02],
  ['ten consoles', 'ten consoles open', 1.02],
];
const SUBJECTS: readonly Watching[] = ['nothing', ...WATCHED.map(([watching]) => watching)];
const CONSOLES = 10;

/** CPU time per query of one configuration, against that of a process that watches nothing. */
interface Cost {
  readonly watching: Watching;
  readonly microseconds: number;
  /** From each round, whose slices ran one after the other: what disturbs the machine for longer disturbs all alike. */
  readonly ratios: readonly number[];
}

function microsecondsOf({ clientCpuMs = NaN, operations }: Slice): number {
  return (clientCpuMs * 1_000) / operations;
}

/** Reads the metrics each second, as Prometheus does. */
async function scrape(url: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await (await fetch(`${url}/metrics`, { signal })).text();
    await pause(1_000, undefined, { signal });
  }
}

/** Reads a stream of events from the outside, as a browser does. */
async function watch(url: string, signal: AbortSignal): Promise<void> {
  const { body } = await fetch(`${url}/pools/events`, { signal });
  for await (const _chunk of body ?? []) if (signal.aborted) return;
}

async function measure(settings: BenchSettings, child: Child): Promise<Cost[]> {
  const random = seededRandom(settings.seed);
  const rounds: Map<Watching, number>[] = [];
  for (let round = 0; round < settings.rounds; round++) {
    const microseconds = new Map<Watching, number>();
    for (const watching of shuffled([...SUBJECTS], random)) {
      const slice = await child.ask<Slice>('slice', watching, settings.sliceMs, settings.seed + round);
      microseconds.set(watching, microsecondsOf(slice));
    }
    rounds.push(microseconds);
  }
  const all = (watching: Watching): number[] => rounds.map((round) => round.get(watching) ?? NaN);
  const nothing = all('nothing');
  return SUBJECTS.map((watching) => {
    const own = all(watching);
    return { watching, microseconds: median(own), ratios: own.map((value, at) => value / (nothing[at] ?? NaN)) };
  });
}

function report(costs: readonly Cost[]): string {
  const nothing = costs.find(({ watching }) => watching === 'nothing');
  const rows = WATCHED.map(([watching, what, most]) => {
    const { microseconds = NaN, ratios = [] } = costs.find((cost) => cost.watching === watching) ?? {};
    const quartiles = `${quantile(ratios, 0.25).toFixed(3)} to ${quantile(ratios, 0.75).toFixed(3)}`;
    return [
      what,
      figure(microseconds),
      median(ratios).toFixed(3),
      quartiles,
      most === undefined ? '' : most.toFixed(2),
    ];
  });
  return table(
    ['watching', 'CPU time per query, µs', 'ratio', 'quartiles', 'at most'],
    [['nothing', figure(nothing?.microseconds), '1', '', ''], ...rows],
  );
}

/** Measures what it costs to watch: CPU time per query of one process under each configuration, in short turns. */
export async function benchObservability(settings: BenchSettings): Promise<void> {
  await using server = await BenchServer.start();
  const child = new Child(new URL('./worker.js', import.meta.url), ['observability']);
  const closing = new AbortController();
  try {
    for (const watching of SUBJECTS) {
      const url = await child.ask<string | undefined>('open', watching, server.url);
      if (watching === 'defaults') scrape(String(url), closing.signal).catch(() => {});
      if (watching !== 'ten consoles') continue;
      for (let viewer = 0; viewer < CONSOLES; viewer++) watch(String(url), closing.signal).catch(() => {});
    }
    for (const watching of SUBJECTS) {
      await child.ask('slice', watching, Math.max(settings.warmUpMs, 1), settings.seed);
    }
    const costs = await measure(settings, child);
    const machine = environment(['@nestjs/core', 'pg', 'kysely'], { postgresql: await server.version() });
    const markdown =
      `Reading a customer by its key through Kysely: 16 callers, 10 connections, ${settings.rounds} rounds of ` +
      `${settings.sliceMs} ms for each. ${environmentLine(machine)}.\n\n${report(costs)}`;
    process.stdout.write(`${markdown}\n`);
    await writeResults(settings.folder, {
      'observability.md': `# What it costs to watch\n\n${markdown}`,
      'observability.json': JSON.stringify({ machine, costs }, undefined, 2),
    });
  } finally {
    // Who scrapes and who watches has nothing more to say.
    closing.abort();
    await child.end();
  }
}
