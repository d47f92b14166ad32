import createKnex from 'knex';
import {
  IDLE_BETWEEN_TURNS_MS,
  type Candidate,
  type CandidateOptions,
  type CustomerRow,
  type OrderRow,
  type OrderTotalRow,
} from '../candidate.js';

/** Knex over pg, with tarn as its pool. */
export function knex({ url, poolSize, applicationName }: CandidateOptions): Candidate {
  const db = createKnex({
    client: 'pg',
    connection: { connectionString: url, application_name: applicationName },
    pool: { min: 0, max: poolSize, idleTimeoutMillis: IDLE_BETWEEN_TURNS_MS },
  });
  const orderTotals = () =>
    db('customers as c')
      .innerJoin('orders as o', 'o.customer_id', 'c.id')
      .innerJoin('order_items as i', 'i.order_id', 'o.id')
      .innerJoin('products as p', 'p.id', 'i.product_id')
      .select('o.id as order_id', 'o.status', 'c.name as customer')
      .select(db.raw('count(i.id)::int as lines'), db.raw('sum(i.quantity * i.price)::int as total'))
      .max('p.title as dearest')
      .groupBy('o.id', 'o.status', 'c.name')
      .orderBy('o.id')
      .limit(20);
  const transaction: Candidate['transaction'] = async (from, to, amount) =>
    await db.transaction(async (transaction) => {
      await transaction('accounts').where('id', from).decrement('balance', amount);
      await transaction('accounts').where('id', to).increment('balance', amount);
      await transaction('events')
        .insert({ customer_id: 1, kind: 'transfer', payload: `from ${from} to ${to}` })
        .returning('id');
      const receiver = await transaction<{ id: number; balance: number }>('accounts')
        .select('balance')
        .where('id', to)
        .first();
      return receiver?.balance as number;
    });
  return {
    selectByKey: async (id) =>
      await db<CustomerRow>('customers').select('id', 'name', 'city', 'active', 'created_at').where('id', id).first(),
    orderTotal: async (orderId) => (await orderTotals().where('o.id', orderId)) as OrderTotalRow[],
    customerTotals: async (customerId) => (await orderTotals().where('c.id', customerId)) as OrderTotalRow[],
    hundredRows: async (afterId) =>
      (await db('orders')
        .select('id', 'customer_id', 'status', 'note', 'placed_at')
        .where('id', '>', afterId)
        .orderBy('id')
        .limit(100)) as OrderRow[],
    insert: async (event) => {
      const rows = (await db('events').insert(event).returning('id')) as { id: number }[];
      return rows[0]?.id as number;
    },
    slow: async () => await db.raw('select pg_sleep(0.1)'),
    transaction,
    // Asked for at once, they go one after the other.
    transactionAtOnce: transaction,
    batch: transaction,
    close: () => db.destroy(),
  };
}
