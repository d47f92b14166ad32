import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Kysely } from 'kysely';
import { getDbToken, PoolingModule, prepareQuery, type DatabaseOptions } from 'nestjs-pooling';
import type { Candidate, CandidateOptions, NewEvent } from '../candidate.js';
import { kyselyCandidate, orderTotals, type Tables } from './kysely.js';

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

/** This library with single queries sharing connections. */
export async function nestjsPoolingPipelining(options: CandidateOptions): Promise<Candidate> {
  const { db, close } = await injectedDb(options, { pipelining: {} });
  return kyselyCandidate(db, close);
}

/** This library with its queries kept: built and compiled once. */
export async function nestjsPoolingKept(options: CandidateOptions): Promise<Candidate> {
  return keptCandidate(await injectedDb(options, {}));
}

/** Both: single queries share connections, and are kept. */
export async function nestjsPoolingPipeliningKept(options: CandidateOptions): Promise<Candidate> {
  return keptCandidate(await injectedDb(options, { pipelining: {} }));
}

function keptCandidate({ db, close }: { db: Kysely<Tables>; close: () => Promise<void> }): Candidate {
  const selectByKey = prepareQuery(db, (p: { id: number }) =>
    db.selectFrom('customers').select(['id', 'name', 'city', 'active', 'created_at']).where('id', '=', p.id),
  );
  const orderTotal = prepareQuery(db, (p: { id: number }) => orderTotals(db).where('o.id', '=', p.id));
  const customerTotals = prepareQuery(db, (p: { id: number }) => orderTotals(db).where('c.id', '=', p.id));
  const hundredRows = prepareQuery(db, (p: { id: number }) =>
    db
      .selectFrom('orders')
      .select(['id', 'customer_id', 'status', 'note', 'placed_at'])
      .where('id', '>', p.id)
      .orderBy('id')
      .limit(100),
  );
  const insert = prepareQuery(db, (p: NewEvent) =>
    db.insertInto('events').values({ customer_id: p.customer_id, kind: p.kind, payload: p.payload }).returning('id'),
  );
  return {
    ...kyselyCandidate(db, close),
    selectByKey: (id) => selectByKey.executeTakeFirst({ id }),
    orderTotal: (orderId) => orderTotal.execute({ id: orderId }),
    customerTotals: (customerId) => customerTotals.execute({ id: customerId }),
    hundredRows: (afterId) => hundredRows.execute({ id: afterId }),
    insert: async (event) => (await insert.executeTakeFirst(event))?.id as number,
  };
}

/** This library with prepared statements turned off, to show what they are worth. */
export async function nestjsPoolingUnprepared(options: CandidateOptions): Promise<Candidate> {
  const { db, close } = await injectedDb(options, { preparedStatements: false });
  return kyselyCandidate(db, close);
}
