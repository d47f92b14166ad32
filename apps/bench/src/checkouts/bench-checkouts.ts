import { Participant } from '../database/participant.js';
import { BenchServer } from '../database/server.js';
import { OWN_ENGINE } from '../pool/engine.js';
import { Child } from '../race/child.js';
import { cpuPerOperation, duel, ratioCells, type DuelResult } from '../race/duel.js';
import { seededRandom } from '../race/random.js';
import { median, quantile, type Slice } from '../race/slice.js';
import { environment, environmentLine } from '../report/environment.js';
import { writeResults } from '../report/files.js';
import { figure, table } from '../report/format.js';
import type { BenchSettings, Scenario } from '../settings.js';
import { Checkout } from './checkout.js';

/**
 * Two processes of the same program differ by a few per cent, because the compiler optimises each in its own way: each
 * comparison is made by so many pairs of processes.
 */
const PAIRS = 4;
/** What of the library takes part in the database's workloads, besides what `--only` asks for. */
const CANDIDATES = ['nestjs-pooling', 'nestjs-pooling, kept queries', 'nestjs-pooling, pipelining'];
const HTTP_CALLERS = 50;
const OWN_CLIENT = 'nestjs-pooling';

const CROWD = 64;

/** One thing that both checkouts did. */
interface Comparison {
  readonly what: string;
  /** Of each pair of processes. */
  readonly duels: readonly DuelResult[];
}

/** One of the two sides of a pair. */
interface Side {
  slice(durationMs: number): Promise<Slice>;
  end(): Promise<void>;
}

class Comparer {
  readonly #settings: BenchSettings;
  readonly #random: () => number;
  readonly #pairs: number;
  readonly comparisons: Comparison[] = [];

  constructor(settings: BenchSettings) {
    this.#settings = settings;
    this.#random = seededRandom(settings.seed);
    this.#pairs = settings.smoke ? 1 : PAIRS;
  }

  /** Lets fresh pairs of processes take turns. `open` makes the process of one side. */
  async compare(what: string, open: (own: boolean) => Promise<Side>): Promise<void> {
    process.stderr.write(`${what} …\n`);
    const { sliceMs, warmUpMs, rounds } = this.#settings;
    const duels: DuelResult[] = [];
    for (let pair = 0; pair < this.#pairs; pair++) {
      const sides: Side[] = [];
      try {
        for (const own of [true, false]) sides.push(await open(own));
        const [own, other] = sides as [Side, Side];
        for (const side of sides) await side.slice(Math.max(warmUpMs, 1));
        duels.push(
          await duel(
            () => own.slice(sliceMs),
            () => other.slice(sliceMs),
            { rounds, random: this.#random },
          ),
        );
      } finally {
        await Promise.all(sides.map((side) => side.end()));
      }
    }
    this.comparisons.push({ what, duels });
  }
}

function report(comparisons: readonly Comparison[]): string {
  const rows = comparisons.map(({ what, duels }) => {
    const microseconds = (side: 'own' | 'other'): string =>
      figure(median(duels.flatMap((result) => result[side].map(cpuPerOperation))));
    const rates = duels.flatMap(({ own, other }) => own.map((each, round) => rateOf(each) / rateOf(other[round])));
    // Each pair counts once: rounds of one pair have its processes in common.
    const pairs = duels.map(({ ratios }) => median(ratios));
    const spread = `${quantile(pairs, 0).toFixed(3)}–${quantile(pairs, 1).toFixed(3)}`;
    return [what, microseconds('other'), microseconds('own'), median(pairs).toFixed(3), spread, ratioCells(rates)[0]];
  });
  return table(['what', 'CPU before, µs', 'CPU now, µs', 'CPU ratio', 'of the pairs', 'rate ratio'], rows);
}

function rateOf(slice: Slice | undefined): number {
  return slice === undefined ? NaN : slice.operations / slice.elapsedMs;
}

async function compareDatabase(comparer: Comparer, other: Checkout, settings: BenchSettings): Promise<void> {
  await using server = await BenchServer.start();
  let seed = settings.seed * 1_000;
  const side = async (own: boolean, name: string, scenario: Scenario): Promise<Side> => {
    const participant = new Participant(name, server, own ? undefined : other.program('database/worker.js'));
    await participant.open(scenario.poolSize);
    return {
      slice: (durationMs) => participant.slice(scenario, durationMs, seed++),
      end: () => participant.end(),
    };
  };
  const { only } = settings;
  for (const scenario of settings.scenarios) {
    for (const name of CANDIDATES.filter((each) => only.length === 0 || only.some((part) => each.includes(part)))) {
      await server.reset();
      const what = `${scenario.workload}, ${scenario.concurrency} callers: ${name}`;
      await comparer.compare(what, (own) => side(own, name, scenario));
    }
  }
}

async function compareEngine(comparer: Comparer, other: Checkout): Promise<void> {
  for (const [what, question, ...parameters] of [
    ['the engine, one borrower', 'serial'],
    ['the engine, 64 borrowers', 'crowd', CROWD, 'microtask'],
  ] as const) {
    await comparer.compare(what, async (own) => {
      const program = own ? new URL('../pool/worker.js', import.meta.url) : other.program('pool/worker.js');
      const child = new Child(program, [OWN_ENGINE]);
      await child.ask('open', OWN_ENGINE);
      return { slice: (durationMs) => child.ask(question, durationMs, ...parameters), end: () => child.end() };
    });
  }
}

async function compareHttp(comparer: Comparer, other: Checkout): Promise<void> {
  const server = new Child(new URL('../http/server.js', import.meta.url), ['server']);
  try {
    const port = await server.ask<number>('listen');
    await comparer.compare('HTTP, 50 callers', async (own) => {
      const program = own ? new URL('../http/worker.js', import.meta.url) : other.program('http/worker.js');
      const child = new Child(program, [OWN_CLIENT]);
      await child.ask('open', OWN_CLIENT, `http://127.0.0.1:${port}`);
      return { slice: (durationMs) => child.ask('slice', durationMs, HTTP_CALLERS), end: () => child.end() };
    });
  } finally {
    await server.end();
  }
}

/**
 * What a change costs: this checkout against another one, in pairs of fresh processes that take turns. The CPU time per
 * operation is what counts; the rate of two processes that share a machine with their server says less.
 */
export async function benchCheckouts(settings: BenchSettings): Promise<void> {
  await using other = await Checkout.open(settings.against);
  const comparer = new Comparer(settings);
  await compareEngine(comparer, other);
  await compareHttp(comparer, other);
  await compareDatabase(comparer, other, settings);
  const { comparisons } = comparer;
  const machine = environment(['pg', 'kysely', 'undici']);
  const { rounds, sliceMs, smoke } = settings;
  const markdown =
    `This checkout against ${other.revision}: ${smoke ? 1 : PAIRS} pairs of processes for each line, ${rounds} rounds of ` +
    `${sliceMs} ms. Below 1: less CPU time now. ${environmentLine(machine)}.\n\n${report(comparisons)}`;
  process.stdout.write(`${markdown}\n`);
  await writeResults(settings.folder, {
    'checkouts.md': `# One checkout against another\n\n${markdown}`,
    'checkouts.json': JSON.stringify({ machine, against: other.revision, comparisons }, undefined, 2),
  });
}
