/** Sentry, whose transactions stay in this process. Leaves `globalThis.tracer`: `{ run(name, fn), spans(), forget() }`. */
const Sentry = require('@sentry/node');

const transactions = [];
Sentry.init({
  dsn: 'http://key@localhost/1',
  tracesSampleRate: 1,
  traceLifecycle: 'static',
  // Sentry drops what comes while this many are being processed; by default 64.
  transportOptions: { bufferSize: 100_000 },
  transport: () => ({ send: async () => ({}), flush: async () => true }),
  beforeSendTransaction(transaction) {
    transactions.push(transaction);
    return null;
  },
});

globalThis.tracer = {
  forget: () => void (transactions.length = 0),
  run: (name, fn) => Sentry.startSpan({ name, op: 'caller', forceTransaction: true }, fn),
  async spans() {
    await Sentry.flush(2_000);
    return transactions.flatMap(({ transaction, contexts, spans = [] }) =>
      spans.map((span) => ({
        parent: span.parent_span_id === contexts.trace.span_id ? transaction : undefined,
        name: span.op,
        text: span.op === 'db' ? span.description : undefined,
        failed: span.status !== undefined && span.status !== 'ok',
        ended: span.timestamp !== undefined,
        ms: (span.timestamp - span.start_timestamp) * 1e3,
      })),
    );
  },
};
