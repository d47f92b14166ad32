/* Loads what publishes metrics with `require`, as `database/pg-package.cts` loads pg. */
import type { LoadedPackage } from '../core/optional-package.js' with { 'resolution-mode': 'import' };

export function loadPrometheusClient(): LoadedPackage<object> {
  try {
    return { module: require('prom-client') as object };
  } catch (error) {
    return { error };
  }
}

export function loadNestPrometheus(): LoadedPackage<object> {
  try {
    return { module: require('@willsoto/nestjs-prometheus') as object };
  } catch (error) {
    return { error };
  }
}

export function loadOpenTelemetry(): LoadedPackage<object> {
  try {
    return { module: require('@opentelemetry/api') as object };
  } catch (error) {
    return { error };
  }
}
