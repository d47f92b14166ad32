/** What the tests of `npm run test:pipelining` get for `database/options/database-defaults.ts`. */
import * as usual from '#pooling/database/options/database-defaults.js';

export const { DATABASE_PRESETS, PRE_PING_DEFAULTS } = usual;
export const DATABASE_DEFAULTS: typeof usual.DATABASE_DEFAULTS = Object.freeze({
  ...usual.DATABASE_DEFAULTS,
  pipelining: {},
});
