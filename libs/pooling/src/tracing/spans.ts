import { isMissingPackage } from '../core/optional-package.js';
import type { SpanSink } from '../core/span-sink.js';
import { loadOpenTelemetryApi } from './opentelemetry-package.cjs';
import { OpenTelemetrySpans, type OpenTelemetryApi } from './opentelemetry-spans.js';
import { resolveTracing, type ResolvedTracing, type Tracing } from './tracing-options.js';

/** Spans whose options may change. */
export interface ConfigurableSpans extends SpanSink {
  /** `undefined`: no spans from now on. */
  configure(options: ResolvedTracing | undefined): void;
}

/**
 * Makes spans for pools and clients that are made without Nest: pass the result to them as `spans`. `undefined` where
 * OpenTelemetry's API isn't installed, which an application without an SDK doesn't need. `tracing` is what `forRoot` takes.
 *
 * ```ts
 * const spans = spansFor('native');
 * const pool = new DatabasePool('orders', { url: process.env.ORDERS_URL }, { spans });
 * const http = new HttpClient('billing', {}, { spans });
 * ```
 */
export function spansFor(tracing: Tracing = 'auto'): ConfigurableSpans | undefined {
  const loaded = loadOpenTelemetryApi();
  if ('module' in loaded) return new OpenTelemetrySpans(loaded.module as OpenTelemetryApi, resolveTracing(tracing));
  if (isMissingPackage(loaded.error, '@opentelemetry/api')) return undefined;
  throw loaded.error;
}
