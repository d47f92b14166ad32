import * as kysely from 'kysely';
import { createKyselyOn } from './kysely-on-pool.js';

export type { CreateKyselyOptions } from './kysely-on-pool.js';

/** {@link createKyselyOn} with Kysely as it is imported. */
export const createKysely = createKyselyOn(kysely);
