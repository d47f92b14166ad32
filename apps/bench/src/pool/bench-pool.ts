import { Child } from '../race/child.js';
import { race, type Contestant } from '../race/race.js';
import { seededRandom } from '../race/random.js';
import { median, type Slice, type Summary } from '../race/slice.js';
import { reportPool } from '../report/pool-report.js';
import type { BenchSettings } from '../settings.js';
import { ENGINES, OWN_ENGINE } from './engine.js';
import type { MassTimeout } from './worker.js';

/** What one way of using the engines came to. */
export interface EngineRace {
  readonly title: string;
  /** The length of the queue, where that is what changes. */
  readonly waiters?: number;
  readonly summaries: ReadonlyMap<string, Summary>;
}

/** What the engines do with very long queues. */
export interface LongQueue {
  readonly engine: string;
  readonly waiters: number;
  readonly drainMs: number;
  readonly timeout: MassTimeout;
}

const QUEUE_LENGTHS = [1, 10, 100, 1_000, 10_000, 30_000, 100_000];
const SMOKE_QUEUE_LENGTHS = [1, 100];
const LONG_QUEUES = [10_000, 50_000, 100_000];
const SMOKE_LONG_QUEUES = [1_000];
/** Longer queues are this library's alone: the others' time grows with the square of the length, into minutes. */
const LONGEST_OF_OTHERS = 50_000;
/** Races with a longer queue have fewer rounds: the others need seconds only to empty it. */
const LONG_QUEUE = 10_000;
const LONG_QUEUE_ROUNDS = 3;
/** Connections of an engine: with one borrower more, one waits. */
const SIZE = 10;

type Engines = ReadonlyMap<string, Child>;

function contestants(engines: Engines, question: string, ...parameters: unknown[]): Contestant[] {
  return [...engines].map(([name, child]) => ({
    name,
    slice: (durationMs) => child.ask<Slice>(question, durationMs, ...parameters),
  }));
}

async function measureRaces(engines: Engines, settings: BenchSettings): Promise<EngineRace[]> {
  const { sliceMs, warmUpMs, rounds } = settings;
  const run = async (title: string, entrants: Contestant[], waiters?: number): Promise<EngineRace> => {
    process.stderr.write(`${title} …\n`);
    const random = seededRandom(settings.seed);
    const long = (waiters ?? 0) > LONG_QUEUE;
    const turns = long ? Math.min(rounds, LONG_QUEUE_ROUNDS) : rounds;
    const summaries = await race(entrants, { sliceMs, warmUpMs: long ? 0 : warmUpMs, rounds: turns, random });
    return { title, summaries, ...(waiters === undefined ? {} : { waiters }) };
  };
  const races = [
    await run('one borrower, acquire and release', contestants(engines, 'serial')),
    await run('64 borrowers, held for a microtask', contestants(engines, 'crowd', 64, 'microtask')),
    await run('64 borrowers, held for a turn of the event loop', contestants(engines, 'crowd', 64, 'turn')),
  ];
  for (const waiters of settings.smoke ? SMOKE_QUEUE_LENGTHS : QUEUE_LENGTHS) {
    const entrants = contestants(engines, 'crowd', waiters + SIZE, 'microtask');
    races.push(await run(`a queue of ${waiters.toLocaleString('en')}`, entrants, waiters));
  }
  return races;
}

async function measureLongQueues(engines: Engines, settings: BenchSettings): Promise<LongQueue[]> {
  const results: LongQueue[] = [];
  for (const waiters of settings.smoke ? SMOKE_LONG_QUEUES : LONG_QUEUES) {
    for (const [engine, child] of engines) {
      if (engine !== OWN_ENGINE && waiters > LONGEST_OF_OTHERS) continue;
      process.stderr.write(`${engine}: ${waiters.toLocaleString('en')} waiters served, and timed out …\n`);
      const drains: number[] = [];
      const timeouts: MassTimeout[] = [];
      for (let round = 0; round < (settings.smoke || waiters > LONG_QUEUE ? 1 : 3); round++) {
        drains.push(await child.ask<number>('drain', waiters));
        timeouts.push(await child.ask<MassTimeout>('massTimeout', waiters));
      }
      const medianOf = (value: (timeout: MassTimeout) => number): number => median(timeouts.map(value));
      results.push({
        engine,
        waiters,
        drainMs: median(drains),
        timeout: {
          longestStallMs: medianOf(({ longestStallMs }) => longestStallMs),
          fromFirstToLastMs: medianOf(({ fromFirstToLastMs }) => fromFirstToLastMs),
          cpuMs: medianOf(({ cpuMs }) => cpuMs),
        },
      });
    }
  }
  return results;
}

/** Measures the engine alone, with connections that exist in memory only, against other pools. */
export async function benchPool(settings: BenchSettings): Promise<void> {
  const names = Object.keys(ENGINES).filter(
    (name) => settings.only.length === 0 || settings.only.some((part) => name.includes(part)),
  );
  const program = new URL('./worker.js', import.meta.url);
  const engines = new Map(names.map((name) => [name, new Child(program, [name])]));
  try {
    for (const [name, child] of engines) await child.ask('open', name);
    const races = await measureRaces(engines, settings);
    const longQueues = await measureLongQueues(engines, settings);
    await reportPool(races, longQueues, settings);
  } finally {
    await Promise.all([...engines.values()].map((child) => child.end()));
  }
}
