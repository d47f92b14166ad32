import {
  context,
  propagation,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Span,
  type SpanContext,
} from '@opentelemetry/api';
import { NodeTracerProvider, type ReadableSpan } from '@opentelemetry/sdk-trace-node';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';

/** A span that has ended, as tests compare it. */
export interface RecordedSpan {
  readonly name: string;
  /** The name of the span that it is a child of. */
  readonly parent: string | undefined;
  readonly kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer';
  readonly attributes: Attributes;
  readonly failed: boolean;
  readonly message: string | undefined;
  readonly events: readonly string[];
  readonly links: readonly SpanContext[];
  readonly context: SpanContext;
  readonly ms: number;
}

const KINDS = ['internal', 'server', 'client', 'producer', 'consumer'] as const;

/** The names that the conventions know. */
const CONVENTIONAL: ReadonlySet<unknown> = new Set(
  Object.entries(conventions).flatMap(([name, value]) => (name.startsWith('ATTR_') ? [value] : [])),
);

/** Records the spans of this process, while it is in use: a provider of OpenTelemetry's SDK stands in the global place. */
export class SpanRecorder implements Disposable {
  readonly #ended: ReadableSpan[] = [];
  readonly #open = new Set<unknown>();
  readonly #names = new Map<string, string>();

  constructor() {
    new NodeTracerProvider({
      spanProcessors: [
        {
          onStart: (span) => {
            this.#open.add(span);
            this.#names.set(span.spanContext().spanId, span.name);
          },
          onEnd: (span) => {
            if (!this.#open.delete(span)) throw new Error(`${span.name} has ended twice`);
            this.#ended.push(span);
          },
          forceFlush: () => Promise.resolve(),
          shutdown: () => Promise.resolve(),
        },
      ],
    }).register();
  }

  /** Runs something within a span of its own. */
  async run<Result>(name: string, fn: (span: Span) => Promise<Result>): Promise<Result> {
    const span = trace.getTracer('test').startSpan(name);
    try {
      return await context.with(trace.setSpan(context.active(), span), fn, undefined, span);
    } finally {
      span.end();
    }
  }

  /** Runs something within a span that was not sampled, such as a request's that the sampler has left out. */
  unsampled<Result>(fn: () => Promise<Result>): Promise<Result> {
    const left = {
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      traceFlags: TraceFlags.NONE,
    };
    return context.with(trace.setSpanContext(context.active(), left), fn);
  }

  /** How many have begun and not ended. */
  get open(): number {
    return this.#open.size;
  }

  /** The library's own that have ended since the last call, in order of their end. */
  take(): RecordedSpan[] {
    const spans = this.#ended.filter(({ instrumentationScope: { name } }) => name === 'nestjs-pooling');
    this.#ended.length = 0;
    return spans.map((span) => ({
      name: span.name,
      parent: this.#names.get(span.parentSpanContext?.spanId ?? ''),
      kind: KINDS[span.kind] as RecordedSpan['kind'],
      attributes: { ...span.attributes },
      failed: span.status.code === SpanStatusCode.ERROR,
      message: span.status.message,
      events: span.events.map((event) => event.name),
      links: span.links.map((link) => link.context),
      context: span.spanContext(),
      ms: span.duration[0] * 1e3 + span.duration[1] / 1e6,
    }));
  }

  [Symbol.dispose](): void {
    trace.disable();
    context.disable();
    propagation.disable();
  }
}

/** Attributes of spans that neither the conventions nor this library have defined. */
export function unknownAttributes(spans: readonly RecordedSpan[]): string[] {
  const names = new Set(spans.flatMap(({ attributes }) => Object.keys(attributes)));
  return [...names].filter((name) => !CONVENTIONAL.has(name) && !name.startsWith('nestjs_pooling.'));
}
