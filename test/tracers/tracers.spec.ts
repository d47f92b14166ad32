import { Client } from 'pg';
import { runTypeScript } from '#test/support/child.js';
import { useTestDatabase } from '#test/support/database.js';
import type { SeenSpan } from './programs/traced-queries.js';

const database = useTestDatabase();

async function run(
  tracer: string,
  load: 'import' | 'require' | 'before' | 'after',
  options = '',
): Promise<{ problems: string[]; spans: SeenSpan[] }> {
  const setUp = (ending: string): string => new URL(`./set-ups/${tracer}.${ending}`, import.meta.url).pathname;
  const child = runTypeScript(new URL('./programs/traced-queries.ts', import.meta.url), {
    nodeOptions: load === 'import' ? ['--import', setUp('mjs')] : load === 'require' ? ['--require', setUp('cjs')] : [],
    env: { DATABASE_URL: database.url, TRACER: tracer, LOAD: load, TRACER_OPTIONS: options },
  });
  onTestFinished(() => void child.process.kill('SIGKILL'));
  const [, found] = await child.prints(/FOUND (.*)\n/);
  expect(await child.ended).toEqual({ code: 0, signal: null });
  return JSON.parse(found as string) as { problems: string[]; spans: SeenSpan[] };
}

const DEADLINE = 240_000;

/** How many queries each step of the program runs, and which of them fail, in order. */
const STEPS: Readonly<Record<string, readonly boolean[]>> = {
  simple: [false],
  values: [false, false, false, false],
  config: [false],
  callback: [false],
  slow: [false, false, false],
  ...Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`pipelined ${n}`, [false]])),
  ...Object.fromEntries(Array.from({ length: 6 }, (_, n) => [`pipelined failing ${n}`, [n % 2 === 0]])),
  transaction: [false, false, false],
  client: [false, false],
  cursor: [false],
  stream: [false],
  'kysely stream': [false],
  copy: [false],
  failing: [true],
  'failing stream': [true],
  'queued behind a lost one': [false, false, true, true, true],
  'failing prepared': [false, false, true],
  'timed out': [true],
  'timed out, prepared': [true],
  pg_cancel_backend: [true],
  'pg_cancel_backend, prepared': [false, false, true],
  pg_terminate_backend: [true],
  'pg_terminate_backend, prepared': [false, false, true],
};

function expectSpansOfAll(spans: readonly SeenSpan[], isQuery: (span: SeenSpan) => boolean): void {
  const queries = spans.filter(isQuery);
  expect(queries.filter(({ ended }) => !ended)).toEqual([]);
  const found = Object.fromEntries(
    Object.keys(STEPS).map((step) => [
      step,
      queries
        .filter(({ parent }) => parent === step)
        .map(({ failed }) => failed)
        .toSorted((one, other) => Number(one) - Number(other)),
    ]),
  );
  expect(found).toEqual(STEPS);
  // What nobody asked for, the pool's own checks and settings, has no span.
  expect(queries.filter(({ parent }) => parent === undefined)).toEqual([]);
  const slow = queries.filter(({ parent, text }) => parent === 'slow' && text?.includes('pg_sleep'));
  expect(slow.filter(({ ms }) => ms >= 195)).toHaveLength(2);
  for (const { ms } of queries.filter(({ parent }) => parent?.startsWith('timed out'))) {
    expect(ms).toBeGreaterThan(90);
    expect(ms).toBeLessThan(20_000);
  }
}

/** A tracer changes `pg` while that is loaded: one that comes later sees nothing, of any pool's, and must do no harm. */
function expectSpans(load: string, spans: readonly SeenSpan[], isQuery: (span: SeenSpan) => boolean): void {
  if (load === 'after') expect(spans.filter(isQuery)).toEqual([]);
  else expectSpansOfAll(spans, isQuery);
}

it.each([
  ['import', ''],
  ['import', 'comments'],
  ['require', 'comments'],
  ['before', 'comments'],
  ['after', ''],
] as const)(
  'OpenTelemetry, loaded by --%s with "%s", sees each query once, under its caller, as long as it took',
  async (load, options) => {
    const { problems, spans } = await run('opentelemetry', load, options);
    expect(problems).toEqual([]);
    expectSpans(load, spans, ({ name }) => name.startsWith('pg.query'));
  },
  DEADLINE,
);

it.each([
  ['import', ''],
  ['import', 'full'],
  ['require', ''],
  ['before', ''],
  ['after', ''],
] as const)(
  'Datadog, loaded by --%s with "%s", sees each query once, under its caller, as long as it took',
  async (load, options) => {
    const { problems, spans } = await run('datadog', load, options);
    expect(problems).toEqual([]);
    expectSpans(load, spans, ({ name }) => name === 'pg.query');
  },
  DEADLINE,
);

it.each(['import', 'require', 'before', 'after'] as const)(
  'Sentry, loaded by --%s, sees each query once, under its caller, as long as it took',
  async (load) => {
    const { problems, spans } = await run('sentry', load);
    expect(problems).toEqual([]);
    expectSpans(load, spans, ({ name, text }) => name === 'db' && text !== 'pg.connect');
  },
  DEADLINE,
);

/** The wrappers that work with the pg that is installed: with older ones two of them end no span of any pool's. */
function kindsOfWrapper(): string[] {
  const kinds = ['argument', 'spread', 'rebuilt', 'submit'];
  const client = new Client();
  const probe = { submit: () => {}, callback: undefined };
  client.query(probe as never, undefined as never, (() => {}) as never);
  // From some version on, pg takes the callback of a query of a class of its own as a third argument, too.
  if (probe.callback !== undefined) kinds.push('threeArguments');
  // Before, its queue has another name.
  if ('_queryQueue' in client) kinds.push('callbackOfQueue');
  return kinds;
}

it.each(kindsOfWrapper())(
  'a wrapper of the kind "%s" before query sees each query once, under its caller, as long as it took',
  async (kind) => {
    const { problems, spans } = await run('by-hand', 'after', kind);
    expect(problems).toEqual([]);
    expectSpansOfAll(spans, () => true);
  },
  DEADLINE,
);

/** `TRACER_QUERIES=10000` for the long form. */
const QUERIES = Number(process.env['TRACER_QUERIES'] ?? 2_500);

/** What the run of many may leave behind, in bytes: 0.6 to 1.2 MB were measured, after 2,500 queries as after 10,000. */
const MOST_GROWTH = 2_000_000;

it.each(['opentelemetry', 'datadog'])(
  'many queries under %s have a span each and leave nothing behind; each HTTP request has one, answered or refused',
  async (tracer) => {
    const setUp = new URL(`./set-ups/${tracer}.mjs`, import.meta.url).pathname;
    const child = runTypeScript(new URL('./programs/many-queries.ts', import.meta.url), {
      nodeOptions: ['--expose-gc', '--import', setUp],
      env: { DATABASE_URL: database.url, QUERIES: String(QUERIES) },
    });
    onTestFinished(() => void child.process.kill('SIGKILL'));
    const [, printed] = await child.prints(/FOUND (.*)\n/);
    const { queries, open, grownBytes, answered, requests } = JSON.parse(printed as string) as {
      queries: number;
      open: number;
      grownBytes: number;
      answered: string[];
      requests: object[];
    };
    expect({ queries, open }).toEqual({ queries: QUERIES, open: 0 });
    expect(grownBytes).toBeLessThan(MOST_GROWTH);
    expect(answered).toEqual([
      ...Array.from({ length: 5 }, () => 'answered'),
      ...Array.from({ length: 5 }, () => 'refused'),
    ]);
    if (tracer !== 'opentelemetry') return;
    const span = { parent: 'request', ended: true };
    expect(requests).toEqual([
      ...Array.from({ length: 5 }, () => ({ ...span, failed: false })),
      ...Array.from({ length: 5 }, () => ({ ...span, failed: true })),
    ]);
  },
  DEADLINE,
);

it(
  'without a tracer the same queries give the same answers',
  async () => {
    expect(await run('none', 'require')).toEqual({ problems: [], spans: [] });
  },
  DEADLINE,
);
