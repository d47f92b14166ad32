/** Runs before each file of tests of `npm run test:pipelining`, which would prove nothing with the usual defaults. */
import { resolveDatabaseOptions } from '#pooling/database/options/options.js';

const { pipelining } = resolveDatabaseOptions('pipelining', { url: 'postgres://127.0.0.1/postgres' });
if (pipelining === false) throw new Error('the options of databases take their defaults from another file now');
