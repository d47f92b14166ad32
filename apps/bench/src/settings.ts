import { parseArgs } from 'node:util';
import { WORKLOADS, type Workload } from './database/workload.js';

/** What is measured. */
export const SUBJECTS = [
  'database',
  'network',
  'pool',
  'http',
  'scale',
  'observability',
  'tracing',
  'checkouts',
] as const;
export type Subject = (typeof SUBJECTS)[number];

/** One thing to measure in the database. */
export interface Scenario {
  readonly workload: Workload;
  readonly concurrency: number;
  readonly poolSize: number;
  /** Operations asked for per second, however many aren't answered; left out: callers who wait for their answers. */
  readonly rate?: number;
  /** How much longer a round trip takes than within one machine, in milliseconds; left out: no longer. */
  readonly roundTripMs?: number;
}

/** What the command line asks for. */
export interface BenchSettings {
  readonly subject: Subject;
  readonly smoke: boolean;
  readonly scenarios: readonly Scenario[];
  /** Only candidates whose name contains one of these; empty: all. */
  readonly only: readonly string[];
  readonly sliceMs: number;
  readonly warmUpMs: number;
  readonly rounds: number;
  readonly seed: number;
  /** The other checkout of a comparison: its folder, or a revision. */
  readonly against: string;
  /** Where results are written; `undefined`: nowhere. */
  readonly folder: string | undefined;
}

export const HELP = `npm run bench -- [database|network|pool|http|scale|observability|tracing|checkouts] [options]

  database (the default)  this library and others against one PostgreSQL
  network                 the same through a proxy that adds 0.5, 1 and 5 ms to each round trip
  pool                    the engine alone against pg-pool, tarn and generic-pool
  http                    the HTTP client
  scale                   how cost grows with pools, waiters and metrics
  observability           what metrics, leak detection and the console cost
  tracing                 what traces cost, beside instrumentation-pg over pg.Pool
  checkouts               this checkout against another one: what a change costs

  --full                  every workload, 1, 64 and 512 callers, pools of 2, 10 and 20
  --smoke                 a short run that judges nothing and writes nothing
  --workload <names>      ${WORKLOADS.join(', ')}
  --concurrency <numbers> callers at once
  --rate <numbers>        operations asked for per second, instead of callers who wait for their answers
  --pool <numbers>        connections
  --rtt <numbers>         with network: what is added to a round trip, in milliseconds (0.5,1,5)
  --only <names>          candidates whose name contains one of these
  --slice <ms>            one candidate's turn (500)
  --rounds <number>       turns of each candidate (7)
  --against <checkout>    with checkouts: the folder of the other one, or a revision (HEAD)
  --seed <number>         another order of turns and keys
  --output <folder>       where results are written (docs/benchmarks; checkouts: nowhere); none: nowhere
`;

const DEFAULT_POOL = 10;
/** Every workload with many callers, and two with one and with very many: a quarter of an hour. */
const DEFAULT_SCENARIOS: readonly Scenario[] = [
  ...WORKLOADS.map((workload) => ({ workload, concurrency: 64, poolSize: DEFAULT_POOL })),
  { workload: 'select-by-key', concurrency: 1, poolSize: DEFAULT_POOL },
  { workload: 'four-table-join', concurrency: 1, poolSize: DEFAULT_POOL },
  { workload: 'select-by-key', concurrency: 512, poolSize: DEFAULT_POOL },
];

/** Where it shows how often a candidate waits for the server. */
const NETWORK_WORKLOADS: readonly Workload[] = ['select-by-key', 'transaction', 'transaction-at-once', 'batch'];

/** What a change of the hot path shows in. */
const HOT_PATHS: readonly Scenario[] = (['select-by-key', 'hundred-rows', 'insert', 'transaction'] as const).map(
  (workload) => ({ workload, concurrency: 64, poolSize: DEFAULT_POOL }),
);

function every(workloads: readonly Workload[], concurrencies: readonly number[], pools: readonly number[]): Scenario[] {
  return pools.flatMap((poolSize) =>
    workloads.flatMap((workload) => concurrencies.map((concurrency) => ({ workload, concurrency, poolSize }))),
  );
}

function listOf(value: string | undefined): string[] | undefined {
  return value?.split(',').map((part) => part.trim());
}

function numbersOf(name: string, value: string | undefined): number[] | undefined {
  const numbers = listOf(value)?.map(Number);
  if (numbers?.some((number) => !Number.isInteger(number) || number < 1)) {
    throw new RangeError(`--${name} takes whole numbers above 0, separated by commas; got ${value}`);
  }
  return numbers;
}

function roundTripsOf(value: string, smoke: boolean): number[] {
  const roundTrips = (listOf(value) ?? []).map(Number);
  if (roundTrips.some((ms) => !(ms > 0))) throw new RangeError(`--rtt takes milliseconds above 0; got ${value}`);
  return smoke ? roundTrips.slice(0, 1) : roundTrips;
}

function workloadsOf(value: string | undefined): Workload[] | undefined {
  const names = listOf(value);
  const unknown = names?.find((name) => !(WORKLOADS as readonly string[]).includes(name));
  if (unknown !== undefined) throw new RangeError(`there is no workload ${unknown}: ${WORKLOADS.join(', ')}`);
  return names as Workload[] | undefined;
}

/** Reads the command line; `undefined` when help is asked for. Throws RangeError or TypeError on a wrong one. */
export function readSettings(parameters: readonly string[]): BenchSettings | undefined {
  const { values, positionals } = parseArgs({
    args: [...parameters],
    allowPositionals: true,
    options: {
      full: { type: 'boolean', default: false },
      smoke: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      workload: { type: 'string' },
      concurrency: { type: 'string' },
      rate: { type: 'string' },
      pool: { type: 'string' },
      rtt: { type: 'string', default: '0.5,1,5' },
      only: { type: 'string' },
      slice: { type: 'string' },
      rounds: { type: 'string' },
      seed: { type: 'string' },
      against: { type: 'string', default: 'HEAD' },
      output: { type: 'string' },
    },
  });
  if (values.help) return undefined;
  const subject = (positionals[0] ?? 'database') as Subject;
  if (!SUBJECTS.includes(subject)) throw new RangeError(`there is nothing called ${subject}: ${SUBJECTS.join(', ')}`);
  const { smoke } = values;
  // What one checkout came to against another is no record that belongs into the documents.
  const output = values.output ?? (subject === 'checkouts' ? 'none' : 'docs/benchmarks');
  const number = (name: 'slice' | 'rounds' | 'seed', otherwise: number): number =>
    numbersOf(name, values[name])?.[0] ?? otherwise;
  const workloads = workloadsOf(values.workload);
  const concurrencies = numbersOf('concurrency', values.concurrency);
  const pools = numbersOf('pool', values.pool);
  const rates = numbersOf('rate', values.rate);
  const chosen = [workloads, concurrencies, pools, rates].some((given) => given !== undefined);
  let scenarios = subject === 'checkouts' ? HOT_PATHS : DEFAULT_SCENARIOS;
  if (values.full) scenarios = every(workloads ?? WORKLOADS, concurrencies ?? [1, 64, 512], pools ?? [2, 10, 20]);
  else if (chosen) scenarios = every(workloads ?? WORKLOADS, concurrencies ?? [64], pools ?? [DEFAULT_POOL]);
  else if (subject === 'network') scenarios = every(NETWORK_WORKLOADS, [64], [DEFAULT_POOL]);
  else if (smoke) scenarios = every(subject === 'checkouts' ? ['select-by-key'] : WORKLOADS, [8], [4]);
  if (rates !== undefined) scenarios = scenarios.flatMap((scenario) => rates.map((rate) => ({ ...scenario, rate })));
  if (subject === 'network') {
    const roundTrips = roundTripsOf(values.rtt, smoke);
    scenarios = roundTrips.flatMap((roundTripMs) => scenarios.map((scenario) => ({ ...scenario, roundTripMs })));
  }
  return {
    subject,
    smoke,
    scenarios,
    only: listOf(values.only) ?? [],
    sliceMs: number('slice', smoke ? 30 : 500),
    warmUpMs: smoke ? 0 : 2_000,
    rounds: number('rounds', smoke ? 1 : 7),
    seed: number('seed', 1),
    against: values.against,
    folder: smoke || output === 'none' ? undefined : output,
  };
}
