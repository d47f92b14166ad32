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

answerParent({
  open: async (name: string, options: CandidateOptions): Promise<void> => {
    const load = CANDIDATES[name];
    if (load === undefined) throw new Error(`no candidate is called ${name}`);
    candidate = await (await load())(options);
  },
  sample: () => sample(candidate),
  slice: async (order: SliceOrder): Promise<Slice> => {
    const random = seededRandom(order.seed);
    meter.start(order.durationMs, order.backends, order.server);
    await Promise.all(Array.from({ length: order.concurrency }, () => call(order, random)));
    return meter.result();
  },
  close: () => candidate.close(),
});
