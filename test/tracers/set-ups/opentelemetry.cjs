/**
 * OpenTelemetry's instrumentation of pg and undici. `TRACER_OPTIONS`: `comments` adds sqlcommenter's comments.
 * Leaves `globalThis.tracer`: `{ run(name, fn), spans(), forget() }`.
 */
const { context, trace, SpanKind, SpanStatusCode } = require('@opentelemetry/api');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
const { UndiciInstrumentation } = require('@opentelemetry/instrumentation-undici');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

const open = new Set();
const ended = [];
const ids = new Map();
const provider = new NodeTracerProvider({
  spanProcessors: [
    {
      onStart: (span) => void open.add(span),
      onEnd(span) {
        open.delete(span);
        ended.push(span);
      },
      forceFlush: async () => {},
      shutdown: async () => {},
    },
  ],
});
provider.register();
registerInstrumentations({
  tracerProvider: provider,
  instrumentations: [
    new PgInstrumentation({ addSqlCommenterCommentToQueries: process.env.TRACER_OPTIONS === 'comments' }),
    new UndiciInstrumentation(),
  ],
});
const own = trace.getTracer('test');

globalThis.tracer = {
  forget() {
    ended.length = 0;
    ids.clear();
  },
  run(name, fn) {
    const span = own.startSpan(name);
    ids.set(span.spanContext().spanId, name);
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
      .filter((span) => !ids.has(span.spanContext().spanId))
      .map((span) => ({
        parent: ids.get(span.parentSpanContext?.spanId),
        name: span.name,
        scope: span.instrumentationScope.name,
        client: span.kind === SpanKind.CLIENT,
        text: span.attributes['db.query.text'],
        failed: span.status.code === SpanStatusCode.ERROR,
        ended: !open.has(span),
        ms: span.duration[0] * 1e3 + span.duration[1] / 1e6,
      }));
  },
};
