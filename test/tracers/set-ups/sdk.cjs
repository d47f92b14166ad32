/** OpenTelemetry's SDK alone: the library's own spans. Leaves `globalThis.tracer`. */
const { recordSpans } = require('./recorded-spans.cjs');

recordSpans({ own: true });
