import { isDeepStrictEqual } from 'node:util';
import { race, type Contestant } from '../race/race.js';
import { seededRandom } from '../race/random.js';
import type { Summary } from '../race/slice.js';
import { reportDatabase, titleOf } from '../report/database-report.js';
import type { BenchSettings, Scenario } from '../settings.js';
import { CANDIDATES, REFERENCE } from './candidates/index.js';
import { Participant } from './participant.js';
import { DistantServer } from './distant-server.js';
import { findPgbench, Pgbench } from './pgbench.js';
import { BenchServer } from './server.js';

/** The C client's name in tables. */
export const PGBENCH = 'pgbench -M prepared';

/** What one scenario came to, candidate by candidate. */
export interface ScenarioResult {
  readonly scenario: Scenario;
  readonly summaries: ReadonlyMap<string, Summary>;
}

/** Rows come with their columns in whatever order; what is compared is their content. */
function normalised(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(normalised);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, own]) => [key, normalised(own)]),
  );
}

/** Lets every candidate do the same few operations and refuses to go on unless all get, and write, the same. */
async function compareResults(participants: readonly Participant[], server: BenchServer): Promise<void> {
  let expected: { readonly name: string; readonly results: unknown } | undefined;
  for (const participant of participants) {
    await server.reset();
    const results = normalised({ read: await participant.sample(), written: await server.written() });
    expected ??= { name: participant.name, results };
    if (isDeepStrictEqual(results, expected.results)) continue;
    throw new Error(
      `${participant.name} gives other results than ${expected.name}:\n` +
        `${JSON.stringify(results)}\ninstead of\n${JSON.stringify(expected.results)}`,
    );
  }
  await server.reset();
}

function chosen(names: readonly string[], only: readonly string[]): string[] {
  if (only.length === 0) return [...names];
  return names.filter((name) => name === REFERENCE || only.some((part) => name.includes(part)));
}

async function measureScenario(
  scenario: Scenario,
  participants: readonly Participant[],
  pgbench: Pgbench | undefined,
  settings: BenchSettings,
  server: BenchServer,
): Promise<ScenarioResult> {
  await server.reset();
  const contestants: Contestant[] = participants.map((participant) => {
    // All of them meet the same keys, and as many slow queries in a row.
    let seed = settings.seed * 1_000;
    return { name: participant.name, slice: (durationMs) => participant.slice(scenario, durationMs, seed++) };
  });
  if (pgbench !== undefined) {
    const clients = Math.min(scenario.concurrency, scenario.poolSize);
    contestants.push({
      name: PGBENCH,
      slice: (durationMs) => pgbench.slice(scenario.workload, clients, durationMs),
    });
  }
  const { sliceMs, warmUpMs, rounds } = settings;
  const random = seededRandom(settings.seed);
  return { scenario, summaries: await race(contestants, { sliceMs, warmUpMs, rounds, random }) };
}

/** Whether two scenarios can be measured with the same connections. */
function isOf(one: Scenario, other: Scenario): boolean {
  return one.poolSize === other.poolSize && one.roundTripMs === other.roundTripMs;
}

function groupsOf(scenarios: readonly Scenario[]): Scenario[][] {
  const groups: Scenario[][] = [];
  for (const scenario of scenarios) {
    const group = groups.find(([first]) => isOf(first as Scenario, scenario));
    if (group === undefined) groups.push([scenario]);
    else group.push(scenario);
  }
  return groups;
}

/** Measures every candidate in every scenario and reports. */
export async function benchDatabase(settings: BenchSettings): Promise<void> {
  await using server = await BenchServer.start();
  const found = chosen([PGBENCH], settings.only).includes(PGBENCH) ? findPgbench() : undefined;
  if (found === undefined) process.stderr.write('pgbench is left out: not chosen, or not found\n');
  await using pgbench = found === undefined ? undefined : await Pgbench.create(found, server);
  const names = chosen(Object.keys(CANDIDATES), settings.only);
  const results: ScenarioResult[] = [];
  for (const [first] of groupsOf(settings.scenarios)) {
    const { poolSize, roundTripMs } = first as Scenario;
    await using distant = roundTripMs === undefined ? undefined : await DistantServer.before(server.port, roundTripMs);
    const participants = names.map((name) => new Participant(name, server));
    try {
      await Promise.all(participants.map((participant) => participant.open(poolSize, distant?.urlOf(server.url))));
      await compareResults(participants, server);
      for (const scenario of settings.scenarios.filter((other) => isOf(first as Scenario, other))) {
        process.stderr.write(`${titleOf(scenario)} …\n`);
        // The C client goes the short way, and waits for its answers.
        const program = roundTripMs === undefined && scenario.rate === undefined ? pgbench : undefined;
        results.push(await measureScenario(scenario, participants, program, settings, server));
      }
      await Promise.all(participants.map((participant) => participant.close()));
    } finally {
      await Promise.all(participants.map((participant) => participant.end()));
    }
  }
  await reportDatabase(results, settings, await server.version());
}
