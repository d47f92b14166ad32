import { sql, type Kysely, type Migration } from 'kysely';
import { ORDER_STATUSES } from './schema.js';

/** Every change of the schema, by name in order. A migration sees the tables of its own time, hence `unknown`. */
export const migrations: Readonly<Record<string, Migration>> = {
  '2026-11-01-customers-and-products': {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable('customers')
        .addColumn('id', 'integer', (column) => column.primaryKey().generatedByDefaultAsIdentity())
        .addColumn('name', 'text', (column) => column.notNull())
        .addColumn('email', 'text', (column) => column.notNull().unique())
        .addColumn('city', 'text', (column) => column.notNull())
        .addColumn('country', 'text', (column) => column.notNull())
        .addColumn('created_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
        .execute();
      await db.schema
        .createTable('products')
        .addColumn('id', 'integer', (column) => column.primaryKey().generatedByDefaultAsIdentity())
        .addColumn('sku', 'text', (column) => column.notNull().unique())
        .addColumn('name', 'text', (column) => column.notNull())
        .addColumn('category', 'text', (column) => column.notNull())
        .addColumn('price_cents', 'integer', (column) => column.notNull().check(sql`price_cents > 0`))
        .addColumn('stock', 'integer', (column) => column.notNull().check(sql`stock >= 0`))
        .execute();
      await db.schema.createIndex('products_category').on('products').columns(['category', 'name']).execute();
    },
  },
  '2026-11-02-orders': {
    async up(db: Kysely<unknown>) {
      const statuses = sql.join(ORDER_STATUSES.map((status) => sql.lit(status)));
      await db.schema
        .createTable('orders')
        .addColumn('id', 'integer', (column) => column.primaryKey().generatedByDefaultAsIdentity())
        .addColumn('customer_id', 'integer', (column) => column.notNull().references('customers.id'))
        .addColumn('status', 'text', (column) => column.notNull().check(sql`status IN (${statuses})`))
        .addColumn('tracking_number', 'text', (column) => column.unique())
        .addColumn('total_cents', 'integer', (column) => column.notNull().check(sql`total_cents >= 0`))
        .addColumn('placed_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
        .execute();
      await db.schema.createIndex('orders_of_customer').on('orders').columns(['customer_id', 'placed_at']).execute();
      await db.schema
        .createTable('order_lines')
        .addColumn('order_id', 'integer', (column) => column.notNull().references('orders.id').onDelete('cascade'))
        .addColumn('line_number', 'integer', (column) => column.notNull())
        .addColumn('product_id', 'integer', (column) => column.notNull().references('products.id'))
        .addColumn('quantity', 'integer', (column) => column.notNull().check(sql`quantity > 0`))
        .addColumn('unit_price_cents', 'integer', (column) => column.notNull())
        .addPrimaryKeyConstraint('order_lines_pkey', ['order_id', 'line_number'])
        .execute();
      await db.schema.createIndex('order_lines_of_product').on('order_lines').column('product_id').execute();
    },
  },
};
