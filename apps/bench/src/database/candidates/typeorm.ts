import { DataSource, EntitySchema, MoreThan } from 'typeorm';
import {
  IDLE_BETWEEN_TURNS_MS,
  type Candidate,
  type CandidateOptions,
  type CustomerRow,
  type OrderRow,
  type OrderTotalRow,
} from '../candidate.js';

const customers = new EntitySchema<CustomerRow>({
  name: 'customers',
  columns: {
    id: { type: 'int', primary: true },
    name: { type: 'text' },
    city: { type: 'text' },
    active: { type: 'boolean' },
    created_at: { type: 'timestamptz' },
  },
});
const orders = new EntitySchema<OrderRow>({
  name: 'orders',
  columns: {
    id: { type: 'int', primary: true },
    customer_id: { type: 'int' },
    status: { type: 'text' },
    note: { type: 'text', nullable: true },
    placed_at: { type: 'timestamptz' },
  },
});
const accounts = new EntitySchema<{ id: number; balance: number }>({
  name: 'accounts',
  columns: { id: { type: 'int', primary: true }, balance: { type: 'int' } },
});
const events = new EntitySchema<{ id: number; customer_id: number; kind: string; payload: string }>({
  name: 'events',
  columns: {
    id: { type: 'int', primary: true, generated: true },
    customer_id: { type: 'int' },
    kind: { type: 'text' },
    payload: { type: 'text' },
  },
});

/** TypeORM over pg, through its repositories and query builder. */
export async function typeorm({ url, poolSize, applicationName }: CandidateOptions): Promise<Candidate> {
  const source = await new DataSource({
    type: 'postgres',
    url,
    poolSize,
    applicationName,
    extra: { idleTimeoutMillis: IDLE_BETWEEN_TURNS_MS },
    entities: [customers, orders, accounts, events],
  }).initialize();
  const customerRepository = source.getRepository(customers);
  const orderRepository = source.getRepository(orders);
  const eventRepository = source.getRepository(events);
  const orderTotals = () =>
    source
      .createQueryBuilder()
      .select('o.id', 'order_id')
      .addSelect('o.status', 'status')
      .addSelect('c.name', 'customer')
      .addSelect('count(i.id)::int', 'lines')
      .addSelect('sum(i.quantity * i.price)::int', 'total')
      .addSelect('max(p.title)', 'dearest')
      .from('customers', 'c')
      .innerJoin('orders', 'o', 'o.customer_id = c.id')
      .innerJoin('order_items', 'i', 'i.order_id = o.id')
      .innerJoin('products', 'p', 'p.id = i.product_id')
      .groupBy('o.id')
      .addGroupBy('o.status')
      .addGroupBy('c.name')
      .orderBy('o.id')
      .limit(20);
  const transaction: Candidate['transaction'] = (from, to, amount) =>
    source.transaction(async (manager) => {
      await manager.decrement(accounts, { id: from }, 'balance', amount);
      await manager.increment(accounts, { id: to }, 'balance', amount);
      await manager.insert(events, { customer_id: 1, kind: 'transfer', payload: `from ${from} to ${to}` });
      return (await manager.findOneByOrFail(accounts, { id: to })).balance;
    });
  return {
    selectByKey: async (id) => (await customerRepository.findOneBy({ id })) ?? undefined,
    orderTotal: (orderId) => orderTotals().where('o.id = :orderId', { orderId }).getRawMany<OrderTotalRow>(),
    customerTotals: (customerId) =>
      orderTotals().where('c.id = :customerId', { customerId }).getRawMany<OrderTotalRow>(),
    hundredRows: (afterId) =>
      orderRepository.find({ where: { id: MoreThan(afterId) }, order: { id: 'ASC' }, take: 100 }),
    insert: async (event) => {
      const { identifiers } = await eventRepository.insert({ ...event });
      return (identifiers[0] as { id: number }).id;
    },
    slow: () => source.query('select pg_sleep(0.1)'),
    transaction,
    // Asked for at once, they go one after the other.
    transactionAtOnce: transaction,
    batch: transaction,
    close: () => source.destroy(),
  };
}
