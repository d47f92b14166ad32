/* Loads OpenTelemetry's API with `require`, as `database/pg-package.cts` loads pg. */
import type { LoadedPackage } from '../core/optional-package.js' with { 'resolution-mode': 'import' };

export function loadOpenTelemetryApi(): LoadedPackage<object> {
  try {
    return { module: require('@opentelemetry/api') as object };
  } catch (error) {
    return { error };
  }
}
