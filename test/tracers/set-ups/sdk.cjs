/**
 * OpenTelemetry's SDK alone: the library's own spans. Leaves `globalThis.tracer`: `{ run(name, fn), spans(), forget() }`. The
 * parent of a span is the nearest caller's.
 */
const { context, trace, SpanKind, SpanStatusCode } = require('@opentelemetry/api');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

const open = new Set();
const ended = [];
const callers = new Map();
const parents = new Map();
new NodeTracerProvider({
  spanProcessors: [
    {
      onStart(span) {
        open.add(span);
        parents.set(span.spanContext().spanId, span.parentSpanContext?.spanId);
      },
      onEnd(span) {
        if (!open.delete(span)) throw new Error(`${span.name} has ended twice`);
        ended.push(span);
      },
      forceFlush: async () => {},
      shutdown: async () => {},
    },
  ],
}).register();
const own = trace.getTracer('test');

function callerOf(spanId) {
  for (let id = parents.get(spanId); id !== undefined; id = parents.get(id)) {
    if (callers.has(id)) return callers.get(id);
  }
  return undefined;
}

globalThis.tracer = {
  forget() {
    ended.length = 0;
    callers.clear();
    parents.clear();
  },
  run(name, fn) {
    const span = own.startSpan(name);
    callers.set(span.spanContext().spanId, name);
    return context.with(trace.setSpan(context.active(), span), async () => {
      try {
        return await fn();
      } finally {
        span.end();
      }
    });
  },
  async spans() {
    return [...ended, ...open]
      .filter((span) => !callers.has(span.spanContext().spanId))
      .map((span) => ({
        parent: callerOf(span.spanContext().spanId),
        name: span.name,
        scope: span.instrumentationScope.name,
        client: span.kind === SpanKind.CLIENT,
        attributes: Object.keys(span.attributes),
        text: span.attributes['db.query.text'],
        failed: span.status.code === SpanStatusCode.ERROR,
        ended: !open.has(span),
        ms: span.duration[0] * 1e3 + span.duration[1] / 1e6,
      }));
  },
};
