import zlib from 'node:zlib';
import { atLeast, optionalPackage, type OptionalPackage } from '../core/optional-package.js';
import { loadUndici, undiciVersion } from './undici-package.cjs';

type Undici = typeof import('undici');

const OLDEST = '7.30.0';
/** undici 8 needs a Node that has zstd. */
const INSTALL = 'zstdCompress' in zlib ? 'undici' : 'undici@7';

const version = undiciVersion();

/** undici: an application with `http: false` needs none. */
export const undiciPackage: OptionalPackage<Undici> = atLeast(
  optionalPackage<Undici>('undici', loadUndici(), INSTALL),
  version,
  OLDEST,
  INSTALL,
);

/** What undici exports. */
export const undici: Undici = undiciPackage.module;

/** Which undici is installed: 7 or 8. */
export const UNDICI_MAJOR = Number(version.split('.', 1)[0]);
