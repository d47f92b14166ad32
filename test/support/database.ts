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

/** An empty database for the tests of one file, in which these statements have been run. */
export function useTestDatabase(...statements: readonly string[]): TestDatabase {
  let made: TestDatabase;
  beforeAll(async () => {
    made = await createTestDatabase();
    for (const statement of statements) await made.query(statement);
  });
  afterAll(() => made.drop());
  return {
    get name() {
      return made.name;
    },
    get url() {
      return made.url;
    },
    query: (sql, values) => made.query(sql, values),
    drop: () => made.drop(),
    [Symbol.asyncDispose]: () => made.drop(),
  };
}

/** The same database through what listens on that port, such as a proxy. */
export function urlAt(url: string, port: number): string {
  return Object.assign(new URL(url), { port: String(port) }).href;
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
