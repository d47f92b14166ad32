import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { inject } from 'vitest';

/** An empty database of its own on the run's PostgreSQL. */
export interface TestDatabase extends AsyncDisposable {
  readonly name: string;
  readonly url: string;
  /** Runs one statement on a connection of its own, apart from any pool under test. */
  query<Row extends object>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Removes it and ends the connections to it. */
  drop(): Promise<void>;
}

/**
 * ```ts
 * let database: TestDatabase;
 * beforeAll(async () => { database = await createTestDatabase(); });
 * afterAll(() => database.drop());
 * ```
 */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const server = inject('databaseUrl');
  const address = new URL(server);
  address.pathname = name;
  await run(server, `CREATE DATABASE ${name}`);
  const drop = async (): Promise<void> => {
    await run(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  };
  return {
    name,
    url: address.href,
    query: (sql, values) => run(address.href, sql, values),
    drop,
    [Symbol.asyncDispose]: drop,
  };
}

async function run<Row extends object>(url: string, sql: string, values: readonly unknown[] = []): Promise<Row[]> {
  const client = new Client({ connectionString: url, application_name: 'test support' });
  await client.connect();
  try {
    return (await client.query<Row>(sql, [...values])).rows;
  } finally {
    await client.end();
  }
}
