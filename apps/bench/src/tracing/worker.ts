import { context, trace } from '@opentelemetry/api';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  NodeTracerProvider,
  type Sampler,
} from '@opentelemetry/sdk-trace-node';
import { CUSTOMERS } from '../database/schema.js';
import { answerParent } from '../race/child.js';
import { Meter } from '../race/meter.js';
import { seededRandom } from '../race/random.js';
import type { Slice } from '../race/slice.js';
import type { Querying, Subjects } from './subjects.js';

/** The process's tracer. */
export type ProcessTracer = 'none' | 'samples nothing' | 'records';

/** Who asks, and who traces it; `untraced`: the process has the tracer, and the pool makes no spans. */
export type Tracing = `${ProcessTracer}, ${'untraced' | 'traced'}` | 'pg.Pool' | 'pg.Pool, instrumented';

const CALLERS = 16;

// Before pg is loaded: it is wrapped while it loads, and unwrapped again whenever the instrumentation is off.
const instrumentation = new PgInstrumentation();
registerInstrumentations({ instrumentations: [instrumentation] });
const { openSubjects } = await import('./subjects.js');

/** Spans are made, kept for a while, and dropped in batches. */
function provider(sampler: Sampler): NodeTracerProvider {
  const exporter = {
    export: (_spans: unknown, done: (result: { code: number }) => void) => done({ code: 0 }),
    shutdown: () => Promise.resolve(),
  };
  const processor = new BatchSpanProcessor(exporter);
  return new NodeTracerProvider({ sampler, spanProcessors: [processor] });
}

function use(tracing: Tracing): void {
  instrumentation.disable();
  trace.disable();
  context.disable();
  if (tracing.startsWith('none')) return;
  provider(tracing.startsWith('samples nothing') ? new AlwaysOffSampler() : new AlwaysOnSampler()).register();
  if (tracing !== 'pg.Pool, instrumented') return;
  instrumentation.setTracerProvider(trace.getTracerProvider());
  instrumentation.enable();
}

let subjects: Subjects | undefined;
const meter = new Meter();

async function call(query: Querying, random: () => number): Promise<void> {
  for (let goOn = true; goOn;) {
    await query(1 + Math.floor(random() * CUSTOMERS));
    goOn = meter.ended(undefined);
  }
}

answerParent({
  open: async (url: string): Promise<void> => {
    subjects = openSubjects(url);
  },
  slice: async (tracing: Tracing, durationMs: number, seed: number): Promise<Slice> => {
    if (subjects === undefined) throw new Error('nothing was opened');
    use(tracing);
    subjects.trace(tracing.endsWith(', traced'));
    const query = tracing.startsWith('pg.Pool') ? subjects.others : subjects.own;
    const random = seededRandom(seed);
    meter.start(durationMs, [], []);
    // Each caller is a request, whose span the application's server has begun.
    const callers = Array.from({ length: CALLERS }, () => {
      const request = trace.setSpan(context.active(), trace.getTracer('bench').startSpan('request'));
      return context.with(request, () => call(query, random));
    });
    await Promise.all(callers);
    return meter.result();
  },
});
