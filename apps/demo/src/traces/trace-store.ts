import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace-node';

/** A span, as the page shows it. */
export interface ShownSpan {
  readonly id: string;
  readonly parent: string | undefined;
  readonly name: string;
  readonly kind: string;
  /** Milliseconds since 1970. */
  readonly startsAt: number;
  readonly ms: number;
  readonly failed: boolean;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly { readonly name: string; readonly at: number }[];
  /** Traces that it leads to. */
  readonly links: readonly string[];
}

/** All spans of one request. */
export interface ShownTrace {
  readonly id: string;
  readonly spans: readonly ShownSpan[];
}

/** So many traces are kept, the newest ones. */
const MOST_TRACES = 200;

/** Keeps the newest traces in memory: a stand-in for what a real installation sends them to. */
export class TraceStore implements SpanProcessor {
  readonly #traces = new Map<string, ShownSpan[]>();

  onStart(): void {
    // What has begun is shown when it has ended.
  }

  onEnd(span: ReadableSpan): void {
    const { traceId } = span.spanContext();
    let spans = this.#traces.get(traceId);
    if (spans === undefined) {
      if (this.#traces.size >= MOST_TRACES) this.#traces.delete(this.#traces.keys().next().value as string);
      this.#traces.set(traceId, (spans = []));
    }
    spans.push(shown(span));
  }

  /** The newest first. */
  traces(): ShownTrace[] {
    return [...this.#traces].map(([id, spans]) => ({ id, spans })).toReversed();
  }

  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}

function shown(span: ReadableSpan): ShownSpan {
  return {
    id: span.spanContext().spanId,
    parent: span.parentSpanContext?.spanId,
    name: span.name,
    kind: SpanKind[span.kind].toLowerCase(),
    startsAt: milliseconds(span.startTime),
    ms: milliseconds(span.duration),
    failed: span.status.code === SpanStatusCode.ERROR,
    attributes: span.attributes,
    events: span.events.map(({ name, time }) => ({ name, at: milliseconds(time) })),
    links: span.links.map(({ context }) => context.traceId),
  };
}

function milliseconds([seconds, nanoseconds]: readonly [number, number]): number {
  return seconds * 1e3 + nanoseconds / 1e6;
}
