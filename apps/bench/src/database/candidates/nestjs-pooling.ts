import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Kysely } from 'kysely';
import { batch, getDbToken, PoolingModule, prepareQuery, type DatabaseOptions } from 'nestjs-pooling';
import type { Candidate, CandidateOptions, NewEvent } from '../candidate.js';
import { balance, change, kyselyCandidate, note, orderTotals, type Tables } from './kysely.js';

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
  return batchingCandidate(await injectedDb(options, {}));
}

function batchingCandidate({ db, close }: { db: Kysely<Tables>; close: () => Promise<void> }): Candidate {
  return {
    ...kyselyCandidate(db, close),
    batch: async (from, to, amount) => {
      const [, , , [receiver]] = await batch(db, [
        change(db, from, -amount),
        change(db, to, amount),
        note(db, from, to),
        balance(db, to),
      ]);
      return receiver?.balance as number;
    },
  };
}

/** This library with single queries sharing connections. */
export async function nestjsPoolingPipelining(options: CandidateOptions): Promise<Candidate> {
  return batchingCandidate(await injectedDb(options, { pipelining: {} }));
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
  const changing = prepareQuery(db, (p: { id: number; amount: number }) => change(db, p.id, p.amount));
  const noting = prepareQuery(db, (p: { payload: string }) =>
    db.insertInto('events').values({ customer_id: 1, kind: 'transfer', payload: p.payload }).returning('id'),
  );
  const balanceOf = prepareQuery(db, (p: { id: number }) => balance(db, p.id));
  return {
    ...kyselyCandidate(db, close),
    transaction: (from, to, amount) =>
      db.transaction().execute(async (trx) => {
        await changing.execute({ id: from, amount: -amount }, trx);
        await changing.execute({ id: to, amount }, trx);
        await noting.execute({ payload: `from ${from} to ${to}` }, trx);
        return (await balanceOf.executeTakeFirst({ id: to }, trx))?.balance as number;
      }),
    transactionAtOnce: (from, to, amount) =>
      db.transaction().execute(async (trx) => {
        const [, , , receiver] = await Promise.all([
          changing.execute({ id: from, amount: -amount }, trx),
          changing.execute({ id: to, amount }, trx),
          noting.execute({ payload: `from ${from} to ${to}` }, trx),
          balanceOf.executeTakeFirst({ id: to }, trx),
        ]);
        return receiver?.balance as number;
      }),
    batch: async (from, to, amount) => {
      const [, , , receiver] = await batch(db, [
        () => changing.execute({ id: from, amount: -amount }),
        () => changing.execute({ id: to, amount }),
        () => noting.execute({ payload: `from ${from} to ${to}` }),
        () => balanceOf.executeTakeFirst({ id: to }),
      ]);
      return receiver?.balance as number;
    },
    selectByKey: (id) => selectByKey.executeTakeFirst({ id }),
    orderTotal: (orderId) => orderTotal.execute({ id: orderId }),
    customerTotals: (customerId) => customerTotals.execute({ id: customerId }),
    hundredRows: (afterId) => hundredRows.execute({ id: afterId }),
    insert: async (event) => (await insert.executeTakeFirst(event))?.id as number,
  };
}

/** This library with prepared statements turned off, to show what they are worth. */
export async function nestjsPoolingUnprepared(options: CandidateOptions): Promise<Candidate> {
  return batchingCandidate(await injectedDb(options, { preparedStatements: false }));
}
