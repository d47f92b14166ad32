import type { PostgresCursorConstructor } from 'kysely';
import { loadPgCursor } from '../pg-package.cjs';

/** The class of the installed pg-cursor. Loaded when somebody streams, because nothing else needs it. */
export function installedCursor(): PostgresCursorConstructor {
  const loaded = loadPgCursor();
  if ('module' in loaded) return loaded.module as PostgresCursorConstructor;
  throw new Error('streaming needs the package pg-cursor: npm install pg-cursor', { cause: loaded.error });
}
