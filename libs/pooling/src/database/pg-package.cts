/*
 * Loads `pg` with `require`: it may not be installed, a bundler has to see its name, and Jest can't `import()`. CommonJS
 * for that alone.
 */
import type { LoadedPackage } from '../core/optional-package.js' with { 'resolution-mode': 'import' };

export function loadPg(): LoadedPackage<object> {
  try {
    return { module: require('pg') as object };
  } catch (error) {
    return { error };
  }
}

export function loadPgUtils(): LoadedPackage<object> {
  try {
    return { module: require('pg/lib/utils.js') as object };
  } catch (error) {
    return { error };
  }
}

export type TextParser = (text: string) => unknown;

/** The parsers that pg begins with: what a type has now may be another one. */
export function loadTextParsers(): { init(register: (dataTypeId: number, parser: TextParser) => void): void } {
  return require('pg-types/lib/textParsers.js') as ReturnType<typeof loadTextParsers>;
}

export function loadPgCursor(): LoadedPackage<object> {
  try {
    return { module: require('pg-cursor') as object };
  } catch (error) {
    return { error };
  }
}
