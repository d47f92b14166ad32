import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { answerParent } from '../race/child.js';
import { Meter } from '../race/meter.js';
import type { Slice } from '../race/slice.js';
import { ENGINES, type Engine } from './engine.js';

/** Connections of the engine. */
const SIZE = 10;
/** The clock is looked at after so many operations. */
const BATCH = 64;

let name: string;
let engine: Engine;
const meter = new Meter();

async function serial(durationMs: number): Promise<Slice> {
  meter.start(durationMs, [], []);
  for (const endsAt = performance.now() + durationMs; performance.now() < endsAt;) {
    for (let count = 0; count < BATCH; count++) engine.release(await engine.acquire());
    meter.count(BATCH);
  }
  return meter.result();
}

/** Borrowers that come back at once; with more of them than connections, the rest stands in the queue. */
async function crowd(durationMs: number, borrowers: number, hold: 'microtask' | 'turn'): Promise<Slice> {
  let stopped = false;
  let started = false;
  let served = 0;
  const everybodyIn = new Promise<void>((resolve) => {
    setImmediate(() => resolve());
  });
  const borrow = async (): Promise<void> => {
    while (!stopped) {
      const held = await engine.acquire();
      if (!started) await everybodyIn;
      if (hold === 'turn') await nextTurn();
      else await Promise.resolve();
      served++;
      if (served % BATCH === 0 && started && performance.now() >= endsAt && !stopped) {
        stopped = true;
        meter.count(served);
        slice = meter.result();
      }
      engine.release(held);
    }
  };
  let endsAt = Infinity;
  let slice: Slice | undefined;
  const all = Promise.all(Array.from({ length: borrowers }, borrow));
  await everybodyIn;
  meter.start(durationMs, [], []);
  endsAt = performance.now() + durationMs;
  started = true;
  await all;
  return slice as unknown as Slice;
}

/** How long it takes until a queue of this length is served, in milliseconds. */
async function drain(waiters: number): Promise<number> {
  const held = await Promise.all(Array.from({ length: SIZE }, () => engine.acquire()));
  const queue = Array.from({ length: waiters }, async () => engine.release(await engine.acquire()));
  await nextTurn();
  const startedAt = performance.now();
  for (const own of held) engine.release(own);
  await Promise.all(queue);
  return performance.now() - startedAt;
}

/** What became of many acquires that timed out together. */
export interface MassTimeout {
  /** The longest time during which the event loop did nothing else, in milliseconds. */
  readonly longestStallMs: number;
  /** From the first rejection to the last one, in milliseconds. */
  readonly fromFirstToLastMs: number;
  readonly cpuMs: number;
}

/** How long before its time-outs the last acquire begins to wait, in milliseconds. */
const QUIET_MS = 1_000;

async function massTimeout(waiters: number): Promise<MassTimeout> {
  // Long enough for everybody to be in the queue before the first one has to leave it.
  const timeoutMs = QUIET_MS + waiters / 50;
  const crowded = ENGINES[name]?.({ size: SIZE, timeoutMs }) as Engine;
  await Promise.all(Array.from({ length: SIZE }, () => crowded.acquire()));
  let first = 0;
  let last = 0;
  const refused = (): void => {
    last = performance.now();
    if (first === 0) first = last;
  };
  const enqueuedAt = performance.now();
  const queue = Array.from({ length: waiters }, () => crowded.acquire().then(undefined, refused));
  await pause(Math.max(0, enqueuedAt + timeoutMs - 200 - performance.now()));
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  const cpu = process.cpuUsage();
  await Promise.all(queue);
  await pause(20);
  const { user, system } = process.cpuUsage(cpu);
  delays.disable();
  return { longestStallMs: delays.max / 1e6, fromFirstToLastMs: last - first, cpuMs: (user + system) / 1_000 };
}

answerParent({
  open: (engineName: string): void => {
    name = engineName;
    engine = ENGINES[name]?.({ size: SIZE }) as Engine;
  },
  serial,
  crowd,
  drain,
  massTimeout,
});
