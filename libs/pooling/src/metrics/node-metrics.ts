import type { Metric } from 'prom-client';
import { prometheusClient } from './prometheus.js';

let metrics: readonly Metric[] | undefined;

/**
 * prom-client's metrics of the Node process. They are collected once per process, in a registry of their own: in the default
 * one they would clash with an application's `PrometheusModule.register()`, which collects them as well.
 */
export function nodeMetrics(): readonly Metric[] {
  if (metrics === undefined) {
    const registry = new prometheusClient.Registry();
    prometheusClient.collectDefaultMetrics({ register: registry });
    // The declared type is plain data, but the metrics themselves are returned, which `registerMetric` takes.
    metrics = registry.getMetricsAsArray() as unknown as readonly Metric[];
  }
  return metrics;
}
