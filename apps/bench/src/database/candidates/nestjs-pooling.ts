import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Kysely } from 'kysely';
import { getDbToken, PoolingModule, type DatabaseOptions } from 'nestjs-pooling';
import type { Candidate, CandidateOptions } from '../candidate.js';
import { kyselyCandidate, type Tables } from './kysely.js';

/** An application with this library in it, and the `Kysely` that it injects. */
async function injectedDb(
  options: CandidateOptions,
  own: DatabaseOptions,
): Promise<{ db: Kysely<Tables>; close: () => Promise<void> }> {
  const { url, poolSize, applicationName } = options;
  const database: DatabaseOptions = { url, size: poolSize, maxOverflow: 0, applicationName, ...own };

  @Module({ imports: [PoolingModule.forRoot({ database, http: false, health: false, metrics: false })] })
  class Application {}

  const application = await NestFactory.createApplicationContext(Application, { logger: ['error', 'warn'] });
  return { db: application.get<Kysely<Tables>>(getDbToken()), close: () => application.close() };
}

/** This library with its defaults. */
export async function nestjsPooling(options: CandidateOptions): Promise<Candidate> {
  const { db, close } = await injectedDb(options, {});
  return kyselyCandidate(db, close);
}
