import type { Client } from 'pg';

/** How many rows there are to choose from. */
export const CUSTOMERS = 1_000;
export const PRODUCTS = 1_000;
export const ORDERS = 10_000;
export const ACCOUNTS = 10_000;

/** The largest id after which there are still a hundred orders. */
export const LAST_PAGE = ORDERS - 100;

const DEFINITIONS = `
  create table customers (
    id int primary key, name text not null, city text not null, active boolean not null, created_at timestamptz not null
  );
  create table products (id int primary key, title text not null, price int not null);
  create table orders (
    id int primary key, customer_id int not null references customers, status text not null, note text,
    placed_at timestamptz not null
  );
  create index orders_of_customer on orders (customer_id);
  create table order_items (
    id int primary key, order_id int not null references orders, product_id int not null references products,
    quantity int not null, price int not null
  );
  create index items_of_order on order_items (order_id);
  create table accounts (id int primary key, balance int not null);
  create table events (
    id int generated always as identity primary key, customer_id int not null, kind text not null, payload text not null
  );
  insert into customers
    select id, 'customer ' || id, 'city ' || id % 50, id % 3 > 0, timestamptz '2025-01-01 00:00:00+00' + id * interval '1 minute'
    from generate_series(1, ${CUSTOMERS}) id;
  insert into products select id, 'product ' || id, 100 + id % 900 from generate_series(1, ${PRODUCTS}) id;
  insert into orders
    select id, 1 + id % ${CUSTOMERS}, (array['new', 'paid', 'sent'])[1 + id % 3], case when id % 4 = 0 then 'note ' || id end,
      timestamptz '2025-06-01 00:00:00+00' + id * interval '17 seconds'
    from generate_series(1, ${ORDERS}) id;
  insert into order_items
    select id, 1 + id % ${ORDERS}, 1 + (id * 7) % ${PRODUCTS}, 1 + id % 5, 100 + id % 900
    from generate_series(1, ${ORDERS * 4}) id;
  insert into accounts select id, 1000 from generate_series(1, ${ACCOUNTS}) id;
`;

/** Makes and fills the tables. */
export async function createTables(client: Client): Promise<void> {
  await client.query(DEFINITIONS);
  await client.query('vacuum analyze');
}

/** Undoes what the writing workloads have written. */
export async function resetTables(client: Client): Promise<void> {
  await client.query('truncate events restart identity; update accounts set balance = 1000 where balance <> 1000');
  await client.query('vacuum analyze accounts, events');
}

/** What the writing workloads have written, for the comparison of candidates. */
export async function writtenRows(client: Client): Promise<unknown> {
  const events = await client.query(
    'select customer_id, kind, payload from events order by customer_id, kind, payload',
  );
  const accounts = await client.query('select id, balance from accounts where balance <> 1000 order by id');
  return { events: events.rows as unknown[], accounts: accounts.rows as unknown[] };
}
