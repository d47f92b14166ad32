/** Datadog's tracer, whose spans stay in this process. Leaves `globalThis.tracer`: `{ run(name, fn), spans(), forget() }`. */
process.env.DD_TRACE_STARTUP_LOGS = 'false';
process.env.DD_INSTRUMENTATION_TELEMETRY_ENABLED = 'false';
process.env.DD_REMOTE_CONFIGURATION_ENABLED = 'false';
process.env.DD_CRASHTRACKING_ENABLED = 'false';
const tracer = require('dd-trace').init({ flushInterval: 1, dbmPropagationMode: process.env.TRACER_OPTIONS });

const ended = [];
tracer._tracer._processor._exporter.export = (spans) => void ended.push(...spans);

globalThis.tracer = {
  forget: () => void (ended.length = 0),
  run: (name, fn) => tracer.trace('caller', { resource: name }, fn),
  async spans() {
    const callers = new Map(
      ended.filter(({ name }) => name === 'caller').map((span) => [String(span.span_id), span.resource]),
    );
    const others = ended.filter(({ name }) => name !== 'caller');
    return others.map((span) => ({
      parent: callers.get(String(span.parent_id)),
      name: span.name,
      text: span.type === 'sql' ? span.resource : undefined,
      failed: span.error === 1,
      ended: true,
      ms: span.duration / 1e6,
    }));
  },
};
