/**
 * OpenTelemetry's instrumentation of pg and undici. `TRACER_OPTIONS`: `comments` adds sqlcommenter's comments.
 * Leaves `globalThis.tracer`.
 */
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
const { UndiciInstrumentation } = require('@opentelemetry/instrumentation-undici');
const { recordSpans } = require('./recorded-spans.cjs');

registerInstrumentations({
  tracerProvider: recordSpans({ own: false }),
  instrumentations: [
    new PgInstrumentation({ addSqlCommenterCommentToQueries: process.env.TRACER_OPTIONS === 'comments' }),
    new UndiciInstrumentation(),
  ],
});
