import { eq, gt, max, sql, type SQL } from 'drizzle-orm';
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import { boolean, integer, pgTable, text, timestamp } from 'drizzle-orm/pg-core';
import type { Candidate, CandidateOptions } from '../candidate.js';
import { createPgPool } from './node-postgres.js';

const customers = pgTable('customers', {
  id: integer().primaryKey(),
  name: text().notNull(),
  city: text().notNull(),
  active: boolean().notNull(),
  created_at: timestamp({ withTimezone: true }).notNull(),
});
const products = pgTable('products', {
  id: integer().primaryKey(),
  title: text().notNull(),
  price: integer().notNull(),
});
const orders = pgTable('orders', {
  id: integer().primaryKey(),
  customer_id: integer().notNull(),
  status: text().notNull(),
  note: text(),
  placed_at: timestamp({ withTimezone: true }).notNull(),
});
const orderItems = pgTable('order_items', {
  id: integer().primaryKey(),
  order_id: integer().notNull(),
  product_id: integer().notNull(),
  quantity: integer().notNull(),
  price: integer().notNull(),
});
const accounts = pgTable('accounts', { id: integer().primaryKey(), balance: integer().notNull() });
const events = pgTable('events', {
  id: integer().primaryKey().generatedAlwaysAsIdentity(),
  customer_id: integer().notNull(),
  kind: text().notNull(),
  payload: text().notNull(),
});

type Parameter = ReturnType<typeof sql.placeholder> | number;

function queriesOf(db: NodePgDatabase) {
  const orderTotals = (condition: SQL) =>
    db
      .select({
        order_id: orders.id,
        status: orders.status,
        customer: customers.name,
        lines: sql<number>`count(${orderItems.id})::int`,
        total: sql<number>`sum(${orderItems.quantity} * ${orderItems.price})::int`,
        dearest: max(products.title).mapWith(String),
      })
      .from(customers)
      .innerJoin(orders, eq(orders.customer_id, customers.id))
      .innerJoin(orderItems, eq(orderItems.order_id, orders.id))
      .innerJoin(products, eq(products.id, orderItems.product_id))
      .where(condition)
      .groupBy(orders.id, orders.status, customers.name)
      .orderBy(orders.id)
      .limit(20);
  return {
    selectByKey: (id: Parameter) => db.select().from(customers).where(eq(customers.id, id)),
    orderTotal: (orderId: Parameter) => orderTotals(eq(orders.id, orderId)),
    customerTotals: (customerId: Parameter) => orderTotals(eq(customers.id, customerId)),
    hundredRows: (afterId: Parameter) =>
      db.select().from(orders).where(gt(orders.id, afterId)).orderBy(orders.id).limit(100),
  };
}

type Queries = Pick<Candidate, 'selectByKey' | 'orderTotal' | 'customerTotals' | 'hundredRows' | 'insert'>;

function candidateOf(db: NodePgDatabase, queries: Queries, close: () => Promise<void>): Candidate {
  const transaction: Candidate['transaction'] = (from, to, amount) =>
    db.transaction(async (transaction) => {
      await transaction
        .update(accounts)
        .set({ balance: sql`${accounts.balance} - ${amount}` })
        .where(eq(accounts.id, from));
      await transaction
        .update(accounts)
        .set({ balance: sql`${accounts.balance} + ${amount}` })
        .where(eq(accounts.id, to));
      await transaction
        .insert(events)
        .values({ customer_id: 1, kind: 'transfer', payload: `from ${from} to ${to}` })
        .returning({ id: events.id });
      const rows = await transaction.select().from(accounts).where(eq(accounts.id, to));
      return rows[0]?.balance as number;
    });
  return {
    ...queries,
    slow: () => db.execute(sql`select pg_sleep(0.1)`),
    transaction,
    // Asked for at once, they go one after the other.
    transactionAtOnce: transaction,
    batch: transaction,
    close,
  };
}

/** Drizzle over `pg.Pool`, building each query when it is run. */
export function drizzlePlain(options: CandidateOptions): Candidate {
  const pool = createPgPool(options);
  const db = drizzle(pool);
  const { selectByKey, orderTotal, customerTotals, hundredRows } = queriesOf(db);
  const queries: Queries = {
    selectByKey: async (id) => (await selectByKey(id))[0],
    orderTotal: async (orderId) => await orderTotal(orderId),
    customerTotals: async (customerId) => await customerTotals(customerId),
    hundredRows: async (afterId) => await hundredRows(afterId),
    insert: async (event) => (await db.insert(events).values(event).returning({ id: events.id }))[0]?.id as number,
  };
  return candidateOf(db, queries, () => pool.end());
}

/** Drizzle over `pg.Pool` with its prepared queries; transactions are built when they are run. */
export function drizzlePrepared(options: CandidateOptions): Candidate {
  const pool = createPgPool(options);
  const db = drizzle(pool);
  const queries = queriesOf(db);
  const selectByKey = queries.selectByKey(sql.placeholder('id')).prepare('selectByKey');
  const orderTotal = queries.orderTotal(sql.placeholder('id')).prepare('orderTotal');
  const customerTotals = queries.customerTotals(sql.placeholder('id')).prepare('customerTotals');
  const hundredRows = queries.hundredRows(sql.placeholder('id')).prepare('hundredRows');
  const insert = db
    .insert(events)
    .values({
      customer_id: sql.placeholder('customer_id'),
      kind: sql.placeholder('kind'),
      payload: sql.placeholder('payload'),
    })
    .returning({ id: events.id })
    .prepare('insert');
  const prepared: Queries = {
    selectByKey: async (id) => (await selectByKey.execute({ id }))[0],
    orderTotal: (orderId) => orderTotal.execute({ id: orderId }),
    customerTotals: (customerId) => customerTotals.execute({ id: customerId }),
    hundredRows: (afterId) => hundredRows.execute({ id: afterId }),
    insert: async (event) => (await insert.execute({ ...event }))[0]?.id as number,
  };
  return candidateOf(db, prepared, () => pool.end());
}
