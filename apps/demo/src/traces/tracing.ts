import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { TraceStore } from './trace-store.js';

/** Sets up OpenTelemetry's SDK. To be called before the application is made. */
export function startTracing(): TraceStore {
  const store = new TraceStore();
  new NodeTracerProvider({ spanProcessors: [store] }).register();
  return store;
}
