import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { run } from '#test/support/tools.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BENCH = 'dist/apps/bench/apps/bench/src/main.js';
const nest = createRequire(import.meta.url).resolve('@nestjs/cli/bin/nest.js');

/** The first cells of the rows of Markdown tables, without the mark of a disturbed measurement. */
function candidatesIn(markdown: string): string[] {
  return [...markdown.matchAll(/^\| (?!-)([^|]+?)(?: \*)? \|/gm)].map((match) => match[1] as string);
}

/** The candidates that a short form of the benchmark tells of. */
async function shortForm(...subject: string[]): Promise<string[]> {
  const { stdout } = await run(process.execPath, [BENCH, ...subject, '--smoke'], { cwd: ROOT });
  return candidatesIn(stdout);
}

/** How often each is among them. */
function countsOf(names: readonly string[], among: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, among.filter((one) => one === name).length]));
}

// What the short forms measure is judged by nobody: they show that every candidate still does the same work.
describe('the short form of the benchmark', { timeout: 120_000 }, () => {
  beforeAll(async () => void (await run(process.execPath, [nest, 'build', 'bench'], { cwd: ROOT })), 120_000);

  it('runs every candidate on every workload, after all have got the same rows', async () => {
    const { CANDIDATES } = await import('../apps/bench/src/database/candidates/index.js');
    const { WORKLOADS } = await import('../apps/bench/src/database/workload.js');
    const names = Object.keys(CANDIDATES);
    const counts = countsOf(names, await shortForm());
    expect(counts).toEqual(Object.fromEntries(names.map((name) => [name, WORKLOADS.length])));
  });

  it('runs every engine', async () => {
    const { ENGINES } = await import('../apps/bench/src/pool/engine.js');
    const names = Object.keys(ENGINES);
    const counts = countsOf(names, await shortForm('pool'));
    // Three ways to borrow, two short queues and a long one.
    expect(counts).toEqual(Object.fromEntries(names.map((name) => [name, 6])));
  });

  it('runs every HTTP client', async () => {
    const names = ['nestjs-pooling', 'undici', '@nestjs/axios', 'global fetch', 'node:http'];
    expect(await shortForm('http')).toEqual(expect.arrayContaining(names));
  });

  it('measures applications with one pool and with ten', async () => {
    expect(await shortForm('scale')).toEqual(['pools', '1', '10']);
  });

  it('compares this checkout with another one, here with itself', async () => {
    const what = ['the engine, one borrower', 'HTTP, 50 callers', 'select-by-key, 8 callers: nestjs-pooling'];
    expect(await shortForm('checkouts', '--against', '.')).toEqual(expect.arrayContaining(what));
  });

  it('measures over a longer way', async () => {
    const candidates = await shortForm(
      'network',
      '--workload',
      'batch',
      '--concurrency',
      '8',
      '--only',
      'kept queries',
    );
    expect(candidates).toEqual(expect.arrayContaining(['kysely over pg.Pool', 'nestjs-pooling, kept queries']));
  });

  it('asks at a rate, however much is unanswered', async () => {
    const candidates = await shortForm('--workload', 'mixed', '--rate', '200', '--only', 'kept queries');
    expect(candidates).toEqual(expect.arrayContaining(['kysely over pg.Pool', 'nestjs-pooling, kept queries']));
  });

  it('measures what watching costs', async () => {
    expect(await shortForm('observability')).toContain('ten consoles open');
  });
});
