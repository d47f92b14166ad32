import { Child } from './race/child.js';
import { seededRandom, shuffled } from './race/random.js';
import { median, quantile, summarise, type Slice } from './race/slice.js';

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

/** Turns of this library's client and a rival's, each right after the other, so that both meet the same machine. */
interface Duel {
  readonly rival: string;
  readonly own: readonly Slice[];
  readonly other: readonly Slice[];
  /** CPU per request, own over other, round by round. */
  readonly ratios: readonly number[];
  readonly atMost: number | undefined;
}

function cpuPerRequest({ clientCpuMs, operations }: Slice): number {
  return ((clientCpuMs as number) * 1_000) / operations;
}

function report(duels: readonly Duel[]): string {
  const lines = [
    `GET of 78 bytes of JSON, ${CALLERS} callers over ${CALLERS} connections, turns of ${SLICE_MS} ms`,
    '',
    '| client | CPU per request | requests per second |',
    '|---|---:|---:|',
  ];
  const row = (name: string, slices: readonly Slice[]): void => {
    const { clientMicroseconds = NaN, perSecond } = summarise(slices);
    lines.push(`| ${name} | ${clientMicroseconds.toFixed(1)} µs | ${Math.round(perSecond).toLocaleString('en')} |`);
  };
  row(
    OWN,
    duels.flatMap(({ own }) => own),
  );
  for (const { rival, other } of duels) row(rival, other);
  lines.push('', `CPU per request of ${OWN} over that of another, round by round: median [quartiles]`);
  for (const { rival, ratios, atMost } of duels) {
    const quartiles = `[${quantile(ratios, 0.25).toFixed(3)}–${quantile(ratios, 0.75).toFixed(3)}]`;
    const kept = atMost === undefined ? '' : `; at most ${atMost}: ${median(ratios) <= atMost ? 'kept' : 'NOT KEPT'}`;
    lines.push(`- ${rival}: ${median(ratios).toFixed(3)} ${quartiles}, ${ratios.length} rounds${kept}`);
  }
  return `${lines.join('\n')}\n`;
}

/**
 * CPU time per request of this library's HTTP client and others, in processes of their own that take short turns: what
 * drifts on the machine hits both alike. Prints a table, and whether the promised ratios are kept.
 */
export async function benchHttp(): Promise<void> {
  const server = new Child(new URL('./http/server.js', import.meta.url), ['server']);
  const worker = new URL('./http/worker.js', import.meta.url);
  const names = [OWN, ...RIVALS.map(({ name }) => name)];
  const children = new Map(names.map((name) => [name, new Child(worker, [name])]));
  const slice = (name: string, durationMs: number): Promise<Slice> =>
    (children.get(name) as Child).ask<Slice>('slice', durationMs, CALLERS);
  try {
    const port = await server.ask<number>('listen');
    for (const [name, child] of children) {
      await child.ask('open', name, `http://127.0.0.1:${port}`);
      await slice(name, WARM_UP_MS);
    }
    const random = seededRandom(1);
    const duels: Duel[] = [];
    for (const { name: rival, rounds, atMost } of RIVALS) {
      const slices = new Map<string, Slice[]>([
        [OWN, []],
        [rival, []],
      ]);
      for (let round = 0; round < rounds; round++) {
        for (const name of shuffled([OWN, rival], random)) slices.get(name)?.push(await slice(name, SLICE_MS));
      }
      const [own, other] = [...slices.values()] as [Slice[], Slice[]];
      const ratios = own.map((each, round) => cpuPerRequest(each) / cpuPerRequest(other[round] as Slice));
      duels.push({ rival, own, other, ratios, atMost });
    }
    process.stdout.write(report(duels));
    if (duels.some(({ ratios, atMost }) => atMost !== undefined && median(ratios) > atMost)) process.exitCode = 1;
  } finally {
    await Promise.all([server, ...children.values()].map((child) => child.end()));
  }
}
