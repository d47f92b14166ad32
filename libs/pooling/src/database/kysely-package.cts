/* Loads Kysely with `require`, as `pg-package.cts` loads pg. */
import type { LoadedPackage } from '../core/optional-package.js' with { 'resolution-mode': 'import' };

export function loadKysely(): LoadedPackage<object> {
  try {
    return { module: require('kysely') as object };
  } catch (error) {
    return { error };
  }
}
