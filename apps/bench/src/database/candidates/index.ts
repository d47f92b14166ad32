import type { CandidateFactory } from '../candidate.js';

/** The candidate that ratios are given against: what people use today. */
export const REFERENCE = 'kysely over pg.Pool';

/** Every candidate; each is loaded in a process of its own, so only what it needs. */
export const CANDIDATES: Readonly<Record<string, () => Promise<CandidateFactory>>> = {
  [REFERENCE]: async () => (await import('./kysely.js')).kyselyOverPgPool,
  'nestjs-pooling': async () => (await import('./nestjs-pooling.js')).nestjsPooling,
  'nestjs-pooling, kept queries': async () => (await import('./nestjs-pooling.js')).nestjsPoolingKept,
  'nestjs-pooling, pipelining': async () => (await import('./nestjs-pooling.js')).nestjsPoolingPipelining,
  'nestjs-pooling, pipelining, kept queries': async () =>
    (await import('./nestjs-pooling.js')).nestjsPoolingPipeliningKept,
  'nestjs-pooling, unprepared': async () => (await import('./nestjs-pooling.js')).nestjsPoolingUnprepared,
  'pg.Pool': async () => (await import('./node-postgres.js')).nodePostgres,
  'pg.Pool, named': async () => (await import('./node-postgres.js')).nodePostgresNamed,
  'postgres.js': async () => (await import('./postgres-js.js')).postgresJs,
  drizzle: async () => (await import('./drizzle.js')).drizzlePlain,
  'drizzle, prepared': async () => (await import('./drizzle.js')).drizzlePrepared,
  knex: async () => (await import('./knex.js')).knex,
  typeorm: async () => (await import('./typeorm.js')).typeorm,
};
