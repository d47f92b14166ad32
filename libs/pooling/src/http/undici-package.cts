/* Loads undici with `require`, as `database/pg-package.cts` loads pg. */
import type { LoadedPackage } from '../core/optional-package.js' with { 'resolution-mode': 'import' };

export function loadUndici(): LoadedPackage<object> {
  try {
    return { module: require('undici') as object };
  } catch (error) {
    return { error };
  }
}

/** The version that is installed; `0.0.0` where there is none. */
export function undiciVersion(): string {
  try {
    return (require('undici/package.json') as { readonly version: string }).version;
  } catch {
    return '0.0.0';
  }
}
