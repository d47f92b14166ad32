import postgres from 'postgres';
import type { Candidate, CandidateOptions, CustomerRow, OrderRow, OrderTotalRow } from '../candidate.js';

/** postgres.js, with its own defaults: prepared statements and pipelining. */
export function postgresJs({ url, poolSize, applicationName }: CandidateOptions): Candidate {
  const sql = postgres(url, { max: poolSize, connection: { application_name: applicationName } });
  const atOnce: Candidate['transaction'] = async (from, to, amount) =>
    await sql.begin(async (transaction) => {
      const [, , , receiver] = await Promise.all(
        statements(transaction, from, to, amount).map((statement) => statement()) as [
          unknown,
          unknown,
          unknown,
          Promise<{ balance: number }[]>,
        ],
      );
      return receiver[0]?.balance as number;
    });
  return {
    selectByKey: async (id) =>
      (await sql<CustomerRow[]>`select id, name, city, active, created_at from customers where id = ${id}`)[0],
    orderTotal: async (orderId) =>
      await sql<OrderTotalRow[]>`
        select o.id as order_id, o.status, c.name as customer, count(i.id)::int as lines,
          sum(i.quantity * i.price)::int as total, max(p.title) as dearest
        from customers c inner join orders o on o.customer_id = c.id inner join order_items i on i.order_id = o.id
        inner join products p on p.id = i.product_id
        where o.id = ${orderId} group by o.id, o.status, c.name order by o.id limit 20`,
    customerTotals: async (customerId) =>
      await sql<OrderTotalRow[]>`
        select o.id as order_id, o.status, c.name as customer, count(i.id)::int as lines,
          sum(i.quantity * i.price)::int as total, max(p.title) as dearest
        from customers c inner join orders o on o.customer_id = c.id inner join order_items i on i.order_id = o.id
        inner join products p on p.id = i.product_id
        where c.id = ${customerId} group by o.id, o.status, c.name order by o.id limit 20`,
    hundredRows: async (afterId) =>
      await sql<OrderRow[]>`
        select id, customer_id, status, note, placed_at from orders where id > ${afterId} order by id limit 100`,
    insert: async ({ customer_id, kind, payload }) => {
      const rows = await sql<{ id: number }[]>`
        insert into events (customer_id, kind, payload) values (${customer_id}, ${kind}, ${payload}) returning id`;
      return rows[0]?.id as number;
    },
    slow: async () => await sql`select pg_sleep(0.1)`,
    transaction: async (from, to, amount) =>
      await sql.begin(async (transaction) => {
        const four = statements(transaction, from, to, amount);
        await four[0]();
        await four[1]();
        await four[2]();
        return (await four[3]())[0]?.balance as number;
      }),
    transactionAtOnce: atOnce,
    batch: atOnce,
    close: () => sql.end(),
  };
}

function statements(transaction: postgres.TransactionSql, from: number, to: number, amount: number) {
  return [
    async () => await transaction`update accounts set balance = balance - ${amount} where id = ${from}`,
    async () => await transaction`update accounts set balance = balance + ${amount} where id = ${to}`,
    async () =>
      await transaction`insert into events (customer_id, kind, payload)
        values (1, 'transfer', ${`from ${from} to ${to}`}) returning id`,
    async () => await transaction<{ balance: number }[]>`select balance from accounts where id = ${to}`,
  ] as const;
}
