import { Kysely, PostgresDialect, sql, type Generated } from 'kysely';
import type { Candidate, CandidateOptions } from '../candidate.js';
import { createPgPool } from './node-postgres.js';

/** The tables, for Kysely. */
export interface Tables {
  customers: { id: number; name: string; city: string; active: boolean; created_at: Date };
  products: { id: number; title: string; price: number };
  orders: { id: number; customer_id: number; status: string; note: string | null; placed_at: Date };
  order_items: { id: number; order_id: number; product_id: number; quantity: number; price: number };
  accounts: { id: number; balance: number };
  events: { id: Generated<number>; customer_id: number; kind: string; payload: string };
}

/** The four-table join, without its condition. */
export function orderTotals(db: Kysely<Tables>) {
  return db
    .selectFrom('customers as c')
    .innerJoin('orders as o', 'o.customer_id', 'c.id')
    .innerJoin('order_items as i', 'i.order_id', 'o.id')
    .innerJoin('products as p', 'p.id', 'i.product_id')
    .select(({ fn }) => [
      'o.id as order_id',
      'o.status',
      'c.name as customer',
      sql<number>`count(i.id)::int`.as('lines'),
      sql<number>`sum(i.quantity * i.price)::int`.as('total'),
      fn.max('p.title').as('dearest'),
    ])
    .groupBy(['o.id', 'o.status', 'c.name'])
    .orderBy('o.id')
    .limit(20);
}

/** What any `Kysely` does, however its queries reach the server. */
export function kyselyCandidate(db: Kysely<Tables>, close: () => Promise<void>): Candidate {
  const transaction: Candidate['transaction'] = (from, to, amount) =>
    db.transaction().execute(async (trx) => {
      await change(trx, from, -amount).execute();
      await change(trx, to, amount).execute();
      await note(trx, from, to).execute();
      return (await balance(trx, to).executeTakeFirstOrThrow()).balance;
    });
  return {
    selectByKey: (id) =>
      db
        .selectFrom('customers')
        .select(['id', 'name', 'city', 'active', 'created_at'])
        .where('id', '=', id)
        .executeTakeFirst(),
    orderTotal: (orderId) => orderTotals(db).where('o.id', '=', orderId).execute(),
    customerTotals: (customerId) => orderTotals(db).where('c.id', '=', customerId).execute(),
    hundredRows: (afterId) =>
      db
        .selectFrom('orders')
        .select(['id', 'customer_id', 'status', 'note', 'placed_at'])
        .where('id', '>', afterId)
        .orderBy('id')
        .limit(100)
        .execute(),
    insert: async (event) => (await db.insertInto('events').values(event).returning('id').executeTakeFirstOrThrow()).id,
    slow: () => sql`select pg_sleep(0.1)`.execute(db),
    transaction,
    transactionAtOnce: (from, to, amount) =>
      db.transaction().execute(async (trx) => {
        const [, , , [receiver]] = await Promise.all([
          change(trx, from, -amount).execute(),
          change(trx, to, amount).execute(),
          note(trx, from, to).execute(),
          balance(trx, to).execute(),
        ]);
        return receiver?.balance as number;
      }),
    batch: transaction,
    close,
  };
}

/** Changes the balance of an account. */
export function change(db: Kysely<Tables>, id: number, amount: number) {
  return db
    .updateTable('accounts')
    .set((row) => ({ balance: row('balance', '+', amount) }))
    .where('id', '=', id);
}

/** Notes a transfer. */
export function note(db: Kysely<Tables>, from: number, to: number) {
  return db
    .insertInto('events')
    .values({ customer_id: 1, kind: 'transfer', payload: `from ${from} to ${to}` })
    .returning('id');
}

/** The balance of an account. */
export function balance(db: Kysely<Tables>, id: number) {
  return db.selectFrom('accounts').select('balance').where('id', '=', id);
}

/** Kysely with its own dialect over `pg.Pool`: what people use today. */
export function kyselyOverPgPool(options: CandidateOptions): Candidate {
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: createPgPool(options) }) });
  return kyselyCandidate(db, () => db.destroy());
}
