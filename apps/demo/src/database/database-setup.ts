import { Injectable } from '@nestjs/common';
import { Migrator, sql, type Kysely } from 'kysely';
import { InjectDb } from 'nestjs-pooling';
import { migrations } from './migrations.js';
import type { Shop } from './schema.js';
import { makeSeed, type Seed } from './seed.js';

/** Held while seeding; any number does that nobody else uses. */
const SEED_LOCK = 7_466_464;

/** What {@link DatabaseSetup.prepare} has done. */
export interface SetupReport {
  readonly migrations: readonly string[];
  readonly seededOrders: number;
}

/** Brings the database to what the application expects: its tables, and something in them. */
@Injectable()
export class DatabaseSetup {
  constructor(@InjectDb() private readonly db: Kysely<Shop>) {}

  /** Safe to run by several instances at once: Kysely's migrator and the seeding each hold an advisory lock. */
  async prepare(): Promise<SetupReport> {
    const migrator = new Migrator({ db: this.db, provider: { getMigrations: async () => migrations } });
    const { error, results = [] } = await migrator.migrateToLatest();
    if (error !== undefined) {
      const failed = results.find((result) => result.status === 'Error');
      throw new Error(`The database could not be prepared${failed ? ` (${failed.migrationName})` : ''}`, {
        cause: error,
      });
    }
    return { migrations: results.map((result) => result.migrationName), seededOrders: await this.#seedOnce() };
  }

  /** All of it in one transaction: a killed start leaves nothing half done. */
  async #seedOnce(): Promise<number> {
    return this.db.transaction().execute(async (trx) => {
      await sql`SELECT pg_advisory_xact_lock(${sql.lit(SEED_LOCK)})`.execute(trx);
      const first = await trx.selectFrom('customers').select('id').limit(1).executeTakeFirst();
      if (first !== undefined) return 0;
      const seed = makeSeed(new Date());
      await insertSeed(trx, seed);
      return seed.orders.id.length;
    });
  }
}

/** One statement for each table, its columns as arrays: 45,000 rows in well under a second. */
async function insertSeed(db: Kysely<Shop>, { customers, products, orders, orderLines }: Seed): Promise<void> {
  await sql`
    INSERT INTO customers (id, name, email, city, country, created_at)
    SELECT * FROM unnest(${customers.id}::int[], ${customers.name}::text[], ${customers.email}::text[],
      ${customers.city}::text[], ${customers.country}::text[], ${customers.createdAt}::timestamptz[])`.execute(db);
  await sql`
    INSERT INTO products (id, sku, name, category, price_cents, stock)
    SELECT * FROM unnest(${products.id}::int[], ${products.sku}::text[], ${products.name}::text[],
      ${products.category}::text[], ${products.priceCents}::int[], ${products.stock}::int[])`.execute(db);
  await sql`
    INSERT INTO orders (id, customer_id, status, tracking_number, total_cents, placed_at)
    SELECT * FROM unnest(${orders.id}::int[], ${orders.customerId}::int[], ${orders.status}::text[],
      ${orders.trackingNumber}::text[], ${orders.totalCents}::int[], ${orders.placedAt}::timestamptz[])`.execute(db);
  await sql`
    INSERT INTO order_lines (order_id, line_number, product_id, quantity, unit_price_cents)
    SELECT * FROM unnest(${orderLines.orderId}::int[], ${orderLines.lineNumber}::int[], ${orderLines.productId}::int[],
      ${orderLines.quantity}::int[], ${orderLines.unitPriceCents}::int[])`.execute(db);
  for (const table of ['customers', 'products', 'orders']) {
    await sql`SELECT setval(pg_get_serial_sequence(${table}, 'id'), (SELECT max(id) FROM ${sql.table(table)}))`.execute(
      db,
    );
  }
}
