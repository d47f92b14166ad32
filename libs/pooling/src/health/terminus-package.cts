/* Loads Terminus with `require`, as `database/pg-package.cts` loads pg. */
import type { LoadedPackage } from '../core/optional-package.js' with { 'resolution-mode': 'import' };

export function loadTerminus(): LoadedPackage<object> {
  try {
    return { module: require('@nestjs/terminus') as object };
  } catch (error) {
    return { error };
  }
}
