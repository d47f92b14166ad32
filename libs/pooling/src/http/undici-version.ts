import { createRequire } from 'node:module';

const { version } = createRequire(import.meta.url)('undici/package.json') as { readonly version: string };

/** Which undici is installed: 7 or 8. */
export const UNDICI_MAJOR = Number(version.split('.', 1)[0]);
