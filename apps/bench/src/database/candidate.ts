/** A customer, as every candidate gives it. */
export interface CustomerRow {
  readonly id: number;
  readonly name: string;
  readonly city: string;
  readonly active: boolean;
  readonly created_at: Date;
}

/** An order of a page of a hundred. */
export interface OrderRow {
  readonly id: number;
  readonly customer_id: number;
  readonly status: string;
  readonly note: string | null;
  readonly placed_at: Date;
}

/** An order's total: the result of the four-table joins. */
export interface OrderTotalRow {
  readonly order_id: number;
  readonly status: string;
  readonly customer: string;
  readonly lines: number;
  readonly total: number;
  readonly dearest: string;
}

/** A row to be inserted. */
export interface NewEvent {
  readonly customer_id: number;
  readonly kind: string;
  readonly payload: string;
}

/** One way to talk to the database, doing the same work as every other. */
export interface Candidate {
  /** One customer by its primary key. */
  selectByKey(id: number): Promise<CustomerRow | undefined>;
  /** The total of one order by its primary key: four tables, grouped. */
  orderTotal(orderId: number): Promise<OrderTotalRow[]>;
  /** The totals of a customer's ten orders: the same four tables. */
  customerTotals(customerId: number): Promise<OrderTotalRow[]>;
  /** The hundred orders after this id. */
  hundredRows(afterId: number): Promise<OrderRow[]>;
  /** Inserts a row and gives its id. */
  insert(event: NewEvent): Promise<number>;
  /** A query that takes 100 ms on the server. */
  slow(): Promise<unknown>;
  /** Four statements in a transaction: two updates, an insert, a select; gives the new balance of the receiver. */
  transaction(from: number, to: number, amount: number): Promise<number>;
  /** The same, all four asked for at once where the candidate can. */
  transactionAtOnce(from: number, to: number, amount: number): Promise<number>;
  /** The same, known beforehand, in as few round trips as the candidate takes for that. */
  batch(from: number, to: number, amount: number): Promise<number>;
  /** Closes every connection. */
  close(): Promise<void>;
}

/** What a candidate is made with. */
export interface CandidateOptions {
  readonly url: string;
  readonly poolSize: number;
  /** Shown by the server, so that its processes can be told apart. */
  readonly applicationName: string;
}

/**
 * Pools that close connections after ten seconds by default would do so between their turns, and open them in each: a
 * candidate that is asked all the time doesn't. In milliseconds.
 */
export const IDLE_BETWEEN_TURNS_MS = 120_000;

/** Makes a candidate. */
export type CandidateFactory = (options: CandidateOptions) => Candidate | Promise<Candidate>;

function orderTotals(column: string): string {
  return (
    'select o.id as order_id, o.status, c.name as customer, count(i.id)::int as lines, ' +
    'sum(i.quantity * i.price)::int as total, max(p.title) as dearest ' +
    'from customers c inner join orders o on o.customer_id = c.id inner join order_items i on i.order_id = o.id ' +
    `inner join products p on p.id = i.product_id where ${column} = $1 ` +
    'group by o.id, o.status, c.name order by o.id limit 20'
  );
}

/** The texts of the statements, for candidates that take SQL. */
export const SQL = {
  selectByKey: 'select id, name, city, active, created_at from customers where id = $1',
  orderTotal: orderTotals('o.id'),
  customerTotals: orderTotals('c.id'),
  hundredRows: 'select id, customer_id, status, note, placed_at from orders where id > $1 order by id limit 100',
  insert: 'insert into events (customer_id, kind, payload) values ($1, $2, $3) returning id',
  slow: 'select pg_sleep(0.1)',
  withdraw: 'update accounts set balance = balance - $2 where id = $1',
  deposit: 'update accounts set balance = balance + $2 where id = $1',
  balance: 'select balance from accounts where id = $1',
} as const;
