/** Records the spans of OpenTelemetry's SDK, for set-ups that leave `globalThis.tracer`. */
const { context, trace, SpanKind, SpanStatusCode } = require('@opentelemetry/api');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

/**
 * Registers a provider and leaves `globalThis.tracer`: `{ run(name, fn), spans(), forget() }`. With `own`, the library's own
 * spans are looked at: their parent is the nearest caller's, since they stand in each other, and their attributes are told.
 */
exports.recordSpans = ({ own }) => {
  const open = new Set();
  const ended = [];
  const callers = new Map();
  const parents = new Map();
  const provider = new NodeTracerProvider({
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
  });
  provider.register();
  const tracer = trace.getTracer('test');

  function callerOf(spanId) {
    let id = parents.get(spanId);
    while (own && id !== undefined && !callers.has(id)) id = parents.get(id);
    return callers.get(id);
  }

  globalThis.tracer = {
    forget() {
      ended.length = 0;
      callers.clear();
      parents.clear();
    },
    run(name, fn) {
      const span = tracer.startSpan(name);
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
          ...(own ? { attributes: Object.keys(span.attributes) } : undefined),
          text: span.attributes['db.query.text'],
          failed: span.status.code === SpanStatusCode.ERROR,
          ended: !open.has(span),
          ms: span.duration[0] * 1e3 + span.duration[1] / 1e6,
        }));
    },
  };
  return provider;
};
