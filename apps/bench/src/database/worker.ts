import { answerParent } from '../race/child.js';
import { Meter } from '../race/meter.js';
import { seededRandom } from '../race/random.js';
import type { Slice } from '../race/slice.js';
import type { Candidate, CandidateOptions } from './candidate.js';
import { CANDIDATES } from './candidates/index.js';
import { operate, sample, type Workload } from './workload.js';

/** What a candidate's process is told to do for one slice. */
export interface SliceOrder {
  readonly workload: Workload;
  readonly concurrency: number;
  /** Operations asked for per second, however many aren't answered; left out: callers who wait for their answers. */
  readonly rate?: number | undefined;
  readonly durationMs: number;
  readonly seed: number;
  /** The server's processes that work for this candidate. */
  readonly backends: readonly number[];
  /** All of the server's processes. */
  readonly server: readonly number[];
}

let candidate: Candidate;
const meter = new Meter();

/** A caller that asks again as soon as it is answered, until the time is over. */
async function call({ workload }: SliceOrder, random: () => number): Promise<void> {
  for (let goOn = true; goOn;) {
    const startedAt = performance.now();
    const { timed, done } = operate(candidate, workload, random);
    await done;
    goOn = meter.ended(timed ? startedAt : undefined);
  }
}

/** Asks so many times a second. A latency counts from when the operation was due, so that what had to wait shows. */
async function callAtRate(order: SliceOrder, rate: number, random: () => number): Promise<void> {
  const startedAt = performance.now();
  const all = Math.round((rate * order.durationMs) / 1_000);
  const answered: Promise<unknown>[] = [];
  while (answered.length < all) {
    const due = Math.min(all, Math.ceil(((performance.now() - startedAt) * rate) / 1_000));
    while (answered.length < due) {
      const dueAt = startedAt + (answered.length * 1_000) / rate;
      const { timed, done } = operate(candidate, order.workload, random);
      answered.push(done.then(() => meter.ended(timed ? dueAt : undefined)));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(answered);
}

answerParent({
  open: async (name: string, options: CandidateOptions): Promise<void> => {
    const load = CANDIDATES[name];
    if (load === undefined) throw new Error(`no candidate is called ${name}`);
    candidate = await (await load())(options);
  },
  sample: () => sample(candidate),
  slice: async (order: SliceOrder): Promise<Slice> => {
    const random = seededRandom(order.seed);
    const { rate } = order;
    // What was asked for at a rate is measured to the last answer.
    meter.start(rate === undefined ? order.durationMs : Infinity, order.backends, order.server);
    if (rate === undefined) await Promise.all(Array.from({ length: order.concurrency }, () => call(order, random)));
    else await callAtRate(order, rate, random);
    return meter.result();
  },
  close: () => candidate.close(),
});
