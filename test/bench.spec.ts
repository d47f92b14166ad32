import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BENCH = 'dist/apps/bench/apps/bench/src/main.js';
const nest = createRequire(import.meta.url).resolve('@nestjs/cli/bin/nest.js');

/** Runs a program of the repository's to its end and gives what it prints; rejects when it fails. */
function run(program: string, ...parameters: string[]): Promise<string> {
  const child = spawn(process.execPath, [program, ...parameters], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve(printed);
      else reject(new Error(`${program} ${parameters.join(' ')} ended with ${signal ?? code}:\n${printed}${errors}`));
    });
  });
}

/** The first cells of the rows of Markdown tables, without the mark of a disturbed measurement. */
function candidatesIn(markdown: string): string[] {
  return [...markdown.matchAll(/^\| (?!-)([^|]+?)(?: \*)? \|/gm)].map((match) => match[1] as string);
}

/** How often each is among them. */
function countsOf(names: readonly string[], among: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, among.filter((one) => one === name).length]));
}

// What the short forms measure is judged by nobody: they show that every candidate still does the same work.
describe('the short form of the benchmark', { timeout: 120_000 }, () => {
  beforeAll(async () => void (await run(nest, 'build', 'bench')), 120_000);

  it('runs every candidate on every workload, after all have got the same rows', async () => {
    const { CANDIDATES } = await import('../apps/bench/src/database/candidates/index.js');
    const { WORKLOADS } = await import('../apps/bench/src/database/workload.js');
    const names = Object.keys(CANDIDATES);
    const counts = countsOf(names, candidatesIn(await run(BENCH, '--smoke')));
    expect(counts).toEqual(Object.fromEntries(names.map((name) => [name, WORKLOADS.length])));
  });

  it('runs every engine', async () => {
    const { ENGINES } = await import('../apps/bench/src/pool/engine.js');
    const names = Object.keys(ENGINES);
    const counts = countsOf(names, candidatesIn(await run(BENCH, 'pool', '--smoke')));
    // Three ways to borrow, two short queues and a long one.
    expect(counts).toEqual(Object.fromEntries(names.map((name) => [name, 6])));
  });

  it('runs every HTTP client', async () => {
    const names = ['nestjs-pooling', 'undici', '@nestjs/axios', 'global fetch', 'node:http'];
    expect(candidatesIn(await run(BENCH, 'http', '--smoke'))).toEqual(expect.arrayContaining(names));
  });

  it('measures applications with one pool and with ten', async () => {
    expect(candidatesIn(await run(BENCH, 'scale', '--smoke'))).toEqual(['pools', '1', '10']);
  });

  it('measures what watching costs', async () => {
    expect(candidatesIn(await run(BENCH, 'observability', '--smoke'))).toContain('ten consoles open');
  });
});
