import { REFERENCE } from '../database/candidates/index.js';
import type { ScenarioResult } from '../database/bench-database.js';
import type { Summary } from '../race/slice.js';
import type { BenchSettings, Scenario } from '../settings.js';
import { environment, environmentLine } from './environment.js';
import { writeResults } from './files.js';
import { figure, table } from './format.js';
import { barChart } from './svg.js';

const PACKAGES = ['kysely', 'pg', 'postgres', 'drizzle-orm', 'knex', 'typeorm'];

/** This library's candidates begin with its name. */
const OWN = 'nestjs-pooling';

/** What a scenario is called in tables. */
export function titleOf({ workload, concurrency, poolSize, rate, roundTripMs }: Scenario): string {
  const distance = roundTripMs === undefined ? '' : `, ${roundTripMs} ms of round trip`;
  const callers = `${concurrency} ${concurrency === 1 ? 'caller' : 'callers'}`;
  return `${workload}, ${rate === undefined ? callers : `${rate} a second`}, pool of ${poolSize}${distance}`;
}

function rowOf(name: string, summary: Summary, reference: Summary | undefined): string[] {
  const ratio = reference === undefined ? undefined : summary.perSecond / reference.perSecond;
  return [
    summary.disturbed ? `${name} *` : name,
    figure(ratio),
    figure(summary.perSecond),
    `${figure(summary.lowPerSecond)}–${figure(summary.highPerSecond)}`,
    figure(summary.p50Ms),
    figure(summary.p99Ms),
    figure(summary.clientMicroseconds),
    figure(summary.serverMicroseconds),
    `${summary.quietSlices}/${summary.slices}`,
  ];
}

const HEAD = [
  'candidate',
  'ratio',
  'per second',
  'quartiles',
  'p50 ms',
  'p99 ms',
  'client CPU µs',
  'server CPU µs',
  'quiet slices',
];

function markdownOf({ scenario, summaries }: ScenarioResult): string {
  const reference = summaries.get(REFERENCE);
  const rows = [...summaries]
    .toSorted(([, one], [, other]) => other.perSecond - one.perSecond)
    .map(([name, summary]) => rowOf(name, summary, reference));
  return `### ${titleOf(scenario)}\n\n${table(HEAD, rows)}`;
}

function plotOf({ scenario, summaries }: ScenarioResult): string {
  const unit = summaries.get(REFERENCE)?.perSecond ?? 1;
  const bars = [...summaries].map(([label, { perSecond, lowPerSecond, highPerSecond }]) => ({
    label,
    value: perSecond / unit,
    low: lowPerSecond / unit,
    high: highPerSecond / unit,
    own: label.startsWith(OWN),
  }));
  return barChart(`${titleOf(scenario)}: throughput against ${REFERENCE}`, '×', bars);
}

function fileOf({ workload, concurrency, poolSize, rate, roundTripMs }: Scenario): string {
  const distance = roundTripMs === undefined ? '' : `-r${roundTripMs}`;
  return `database-${workload}-${rate === undefined ? `c${concurrency}` : `s${rate}`}-p${poolSize}${distance}.svg`;
}

/** Prints the tables; writes them with the figures and plots. */
export async function reportDatabase(
  results: readonly ScenarioResult[],
  settings: BenchSettings,
  serverVersion: string,
): Promise<void> {
  const machine = environment(PACKAGES, { PostgreSQL: serverVersion });
  const head =
    `Throughput against \`${REFERENCE}\` in the same run. ${environmentLine(machine)}. ` +
    `${settings.rounds} slices of ${settings.sliceMs} ms for each. ` +
    'A `*` marks results for which fewer than two slices were quiet.';
  const markdown = [head, ...results.map(markdownOf)].join('\n\n');
  process.stdout.write(`${markdown}\n`);
  const figures = {
    machine,
    sliceMs: settings.sliceMs,
    rounds: settings.rounds,
    reference: REFERENCE,
    results: results.map(({ scenario, summaries }) => ({ ...scenario, candidates: Object.fromEntries(summaries) })),
  };
  await writeResults(settings.folder, {
    [`${settings.subject}.md`]: `# ${settings.subject === 'network' ? 'Database, over a network' : 'Database'}\n\n${markdown}`,
    [`${settings.subject}.json`]: JSON.stringify(figures, undefined, 2),
    ...Object.fromEntries(results.map((result) => [fileOf(result.scenario), plotOf(result)])),
  });
}
