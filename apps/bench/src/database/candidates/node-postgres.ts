import pg from 'pg';
import {
  IDLE_BETWEEN_TURNS_MS,
  SQL,
  type Candidate,
  type CandidateOptions,
  type CustomerRow,
  type OrderRow,
  type OrderTotalRow,
} from '../candidate.js';

/** The `pg.Pool` that candidates stand on. */
export function createPgPool({ url, poolSize, applicationName }: CandidateOptions): pg.Pool {
  return new pg.Pool({
    connectionString: url,
    max: poolSize,
    application_name: applicationName,
    idleTimeoutMillis: IDLE_BETWEEN_TURNS_MS,
  });
}

type Statement = keyof typeof SQL;
type Run = <Row extends pg.QueryResultRow>(
  on: Pick<pg.ClientBase, 'query'>,
  statement: Statement,
  values: unknown[],
) => Promise<pg.QueryResult<Row>>;

function candidateOf(pool: pg.Pool, run: Run): Candidate {
  const transact = async (four: (client: pg.PoolClient) => Promise<number>): Promise<number> => {
    const client = await pool.connect();
    try {
      await client.query('begin');
      const receiver = await four(client);
      await client.query('commit');
      return receiver;
    } catch (error) {
      await client.query('rollback');
      throw error;
    } finally {
      client.release();
    }
  };
  const transaction: Candidate['transaction'] = (from, to, amount) =>
    transact(async (client) => {
      await run(client, 'withdraw', [from, amount]);
      await run(client, 'deposit', [to, amount]);
      await run(client, 'insert', [1, 'transfer', `from ${from} to ${to}`]);
      return (await run<{ balance: number }>(client, 'balance', [to])).rows[0]?.balance as number;
    });
  return {
    selectByKey: async (id) => (await run<CustomerRow>(pool, 'selectByKey', [id])).rows[0],
    orderTotal: async (orderId) => (await run<OrderTotalRow>(pool, 'orderTotal', [orderId])).rows,
    customerTotals: async (customerId) => (await run<OrderTotalRow>(pool, 'customerTotals', [customerId])).rows,
    hundredRows: async (afterId) => (await run<OrderRow>(pool, 'hundredRows', [afterId])).rows,
    insert: async ({ customer_id, kind, payload }) =>
      (await run<{ id: number }>(pool, 'insert', [customer_id, kind, payload])).rows[0]?.id as number,
    slow: () => run(pool, 'slow', []),
    transaction,
    transactionAtOnce: (from, to, amount) =>
      transact(async (client) => {
        const [, , , receiver] = await Promise.all([
          run(client, 'withdraw', [from, amount]),
          run(client, 'deposit', [to, amount]),
          run(client, 'insert', [1, 'transfer', `from ${from} to ${to}`]),
          run<{ balance: number }>(client, 'balance', [to]),
        ]);
        return receiver.rows[0]?.balance as number;
      }),
    batch: transaction,
    close: () => pool.end(),
  };
}

/** `pg.Pool` with unnamed statements. */
export function nodePostgres(options: CandidateOptions): Candidate {
  return candidateOf(createPgPool(options), (on, statement, values) => on.query(SQL[statement], values));
}

/** `pg.Pool` with named statements, which the server keeps prepared. */
export function nodePostgresNamed(options: CandidateOptions): Candidate {
  return candidateOf(createPgPool(options), (on, statement, values) =>
    on.query({ name: statement, text: SQL[statement], values }),
  );
}
