import { sql, type Kysely } from 'kysely';
import { DatabasePool } from '#pooling/database/database-pool.js';
import { createKysely, type CreateKyselyOptions } from '#pooling/database/kysely/kysely.js';
import type { DatabaseOptions } from '#pooling/database/options/options.js';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

import { rejection } from '#test/support/outcomes.js';

export { rejection };

/** The tables of the tests. */
export interface Tables {
  entry: { name: string };
}

/** A database with one table, a pool, and Kysely on it. */
export class Laboratory implements AsyncDisposable {
  readonly database: TestDatabase;
  readonly pool: DatabasePool;
  readonly db: Kysely<Tables>;

  private constructor(database: TestDatabase, pool: DatabasePool, kysely?: CreateKyselyOptions) {
    this.database = database;
    this.pool = pool;
    this.db = createKysely<Tables>(pool, kysely);
  }

  static async open(
    options: DatabaseOptions = {},
    { name = 'default', kysely }: { name?: string; kysely?: CreateKyselyOptions } = {},
  ): Promise<Laboratory> {
    const database = await createTestDatabase();
    await database.query('create table entry (name text not null unique)');
    const pool = new DatabasePool(name, { url: database.url, size: 4, maxOverflow: 0, ...options });
    return new Laboratory(database, pool, kysely);
  }

  /** On a database that has the table already. */
  static over(database: TestDatabase, options: DatabaseOptions): Laboratory {
    return new Laboratory(database, new DatabasePool('default', { maxOverflow: 0, ...options }));
  }

  /** Writes an entry through the `Kysely` that everybody has. */
  async write(name: string): Promise<void> {
    await this.db.insertInto('entry').values({ name }).execute();
  }

  /** Which transaction a query of this place belongs to: the server's number of it. */
  async transactionId(): Promise<string> {
    const { rows } = await sql<{ id: string }>`select pg_current_xact_id()::text as id`.execute(this.db);
    return rows[0]!.id;
  }

  /** What was committed, as another connection sees it. */
  async committed(): Promise<string[]> {
    const rows = await this.database.query<{ name: string }>('select name from entry order by name');
    return rows.map(({ name }) => name);
  }

  async clear(): Promise<void> {
    await this.database.query('truncate entry');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.close({ deadlineMs: 0 });
    await this.database.drop();
  }
}

/** Waits for one that is rolled back on purpose, and fails where it is for another reason: an assertion within, for one. */
export async function undone(promise: Promise<unknown>): Promise<void> {
  const error = await rejection(promise);
  if (error.message !== 'rolled back') throw error;
}
