import { importKyselyWith } from './database/kysely/kysely-module.js';

// For applications that import this library; those that require it require Kysely as well.
importKyselyWith(async () => {
  try {
    return { module: await import('kysely') };
  } catch (error) {
    return { error };
  }
});
