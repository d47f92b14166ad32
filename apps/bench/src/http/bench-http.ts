import { Child } from '../race/child.js';
import { duel, ratioCells, type DuelResult } from '../race/duel.js';
import { seededRandom } from '../race/random.js';
import { median, summarise, type Slice } from '../race/slice.js';
import { environment, environmentLine } from '../report/environment.js';
import { writeResults } from '../report/files.js';
import { figure, table } from '../report/format.js';
import type { BenchSettings } from '../settings.js';

/** What everything is compared with: bare undici, `agent.request()` and `body.json()`. */
const BASELINE = 'undici';
const OWN = 'nestjs-pooling';
/** What this library's client runs against, how many rounds, and what is promised of the ratio. */
const RIVALS: readonly { readonly name: string; readonly rounds: number; readonly atMost?: number }[] = [
  { name: BASELINE, rounds: 48, atMost: 0.85 },
  { name: '@nestjs/axios', rounds: 12, atMost: 0.2 },
  { name: 'global fetch', rounds: 12 },
  { name: 'node:http', rounds: 12 },
];
const CALLERS = 50;
const SLICE_MS = 200;
const WARM_UP_MS = 1_000;

/** Turns of this library's client and a rival's. */
interface Duel extends DuelResult {
  readonly rival: string;
  readonly atMost: number | undefined;
}

function clientsTable(duels: readonly Duel[]): string {
  const row = (name: string, slices: readonly Slice[]): string[] => {
    const { clientMicroseconds, perSecond } = summarise(slices);
    return [name, figure(clientMicroseconds), Math.round(perSecond).toLocaleString('en')];
  };
  const own = duels.flatMap((duel) => duel.own);
  return table(
    ['client', 'CPU µs per request', 'requests per second'],
    [row(OWN, own), ...duels.map(({ rival, other }) => row(rival, other))],
  );
}

function ratiosTable(duels: readonly Duel[]): string {
  const rows = duels.map(({ rival, ratios, atMost }) => [
    rival,
    ...ratioCells(ratios),
    String(ratios.length),
    atMost === undefined ? '' : atMost.toFixed(2),
  ]);
  return table(['against', 'ratio', 'quartiles', 'rounds', 'at most'], rows);
}

/**
 * CPU time per request of this library's HTTP client and others, in processes of their own that take short turns: what
 * drifts on the machine hits both alike. Ends with an error when a promised ratio isn't kept.
 */
export async function benchHttp(settings: BenchSettings): Promise<void> {
  const server = new Child(new URL('./server.js', import.meta.url), ['server']);
  const worker = new URL('./worker.js', import.meta.url);
  const sliceMs = settings.smoke ? settings.sliceMs : SLICE_MS;
  const names = [OWN, ...RIVALS.map(({ name }) => name)];
  const children = new Map(names.map((name) => [name, new Child(worker, [name])]));
  const slice = (name: string, durationMs: number): Promise<Slice> =>
    (children.get(name) as Child).ask<Slice>('slice', durationMs, CALLERS);
  try {
    const port = await server.ask<number>('listen');
    for (const [name, child] of children) {
      await child.ask('open', name, `http://127.0.0.1:${port}`);
      await slice(name, settings.smoke ? sliceMs : WARM_UP_MS);
    }
    const random = seededRandom(settings.seed);
    const duels: Duel[] = [];
    for (const { name: rival, rounds, atMost } of RIVALS) {
      const own = (): Promise<Slice> => slice(OWN, sliceMs);
      const other = (): Promise<Slice> => slice(rival, sliceMs);
      duels.push({ rival, atMost, ...(await duel(own, other, { rounds: settings.smoke ? 1 : rounds, random })) });
    }
    const machine = environment(['undici', 'axios', '@nestjs/axios']);
    const markdown =
      `GET of 78 bytes of JSON, ${CALLERS} callers over ${CALLERS} connections, turns of ${sliceMs} ms. ` +
      `${environmentLine(machine)}.\n\n${clientsTable(duels)}\n\n` +
      `CPU time per request of ${OWN} over that of another, round by round:\n\n${ratiosTable(duels)}`;
    process.stdout.write(`${markdown}\n`);
    await writeResults(settings.folder, {
      'http.md': `# The HTTP client\n\n${markdown}`,
      'http.json': JSON.stringify({ machine, duels }, undefined, 2),
    });
    const broken = duels.filter(({ ratios, atMost }) => atMost !== undefined && median(ratios) > atMost);
    if (!settings.smoke && broken.length > 0) {
      throw new Error(`more than promised: ${broken.map(({ rival }) => rival).join(', ')}`);
    }
  } finally {
    await Promise.all([server, ...children.values()].map((child) => child.end()));
  }
}
