/**
 * `node --import ./test/support/typescript.mjs file.ts`: runs the repository's sources in a process of their own without
 * a build, so that no test ever meets a stale one.
 */
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
