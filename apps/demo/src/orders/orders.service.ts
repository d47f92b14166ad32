import { ConflictException, Injectable, NotFoundException, UnprocessableEntityException } from '@nestjs/common';
import { sql, type Kysely } from 'kysely';
import { afterCommit, InjectDb, InjectReplicaDb, prepareQuery, Transactional } from 'nestjs-pooling';
import type { OrderStatus, Shop } from '../database/schema.js';
import { ShippingService } from '../shipping/shipping.service.js';
import type { NewOrder } from './orders.inputs.js';

export interface OrderLine {
  readonly lineNumber: number;
  readonly product: { readonly id: number; readonly sku: string; readonly name: string };
  readonly quantity: number;
  readonly unitPriceCents: number;
}

export interface Order {
  readonly id: number;
  readonly status: OrderStatus;
  readonly placedAt: Date;
  readonly trackingNumber: string | null;
  readonly totalCents: number;
  readonly customer: { readonly id: number; readonly name: string; readonly city: string; readonly country: string };
  readonly lines: readonly OrderLine[];
}

/** What is asked most is built and compiled once. */
function prepareLines(db: Kysely<Shop>) {
  return prepareQuery(db, (p: { id: number }) =>
    db
      .selectFrom('orders')
      .innerJoin('customers', 'customers.id', 'orders.customer_id')
      .innerJoin('order_lines', 'order_lines.order_id', 'orders.id')
      .innerJoin('products', 'products.id', 'order_lines.product_id')
      .where('orders.id', '=', p.id)
      .orderBy('order_lines.line_number')
      .select([
        'orders.status',
        'orders.placed_at',
        'orders.tracking_number',
        'orders.total_cents',
        'customers.id as customer_id',
        'customers.name as customer_name',
        'customers.city',
        'customers.country',
        'order_lines.line_number',
        'order_lines.quantity',
        'order_lines.unit_price_cents',
        'products.id as product_id',
        'products.sku',
        'products.name as product_name',
      ]),
  );
}

@Injectable()
export class OrdersService {
  readonly #linesOf: ReturnType<typeof prepareLines>;

  constructor(
    @InjectDb() private readonly db: Kysely<Shop>,
    @InjectReplicaDb() private readonly replicas: Kysely<Shop>,
    private readonly shipping: ShippingService,
  ) {
    this.#linesOf = prepareLines(replicas);
  }

  /**
   * An order with its customer, lines and products: one query over four tables. From a replica, but never without what this
   * request has written.
   */
  async byId(id: number): Promise<Order> {
    const rows = await this.#linesOf.execute({ id });
    const [first] = rows;
    if (first === undefined) throw new NotFoundException(`There is no order ${id}`);
    return {
      id,
      status: first.status,
      placedAt: first.placed_at,
      trackingNumber: first.tracking_number,
      totalCents: first.total_cents,
      customer: { id: first.customer_id, name: first.customer_name, city: first.city, country: first.country },
      lines: rows.map((row) => ({
        lineNumber: row.line_number,
        product: { id: row.product_id, sku: row.sku, name: row.product_name },
        quantity: row.quantity,
        unitPriceCents: row.unit_price_cents,
      })),
    };
  }

  async trackingNumberOf(id: number): Promise<string | null> {
    const row = await this.replicas
      .selectFrom('orders')
      .select('tracking_number')
      .where('id', '=', id)
      .executeTakeFirst();
    if (row === undefined) throw new NotFoundException(`There is no order ${id}`);
    return row.tracking_number;
  }

  /**
   * Places an order and takes its goods from stock: all of it or nothing. A transaction that meets a deadlock or loses its
   * connection before its commit is tried again.
   *
   * The carrier is told once the order stands, and never of one that doesn't. When the carrier can't be told, the order stands all
   * the same: that is logged, and counted as `db_pool_transaction_hook_failures_total`.
   */
  @Transactional({ retry: true })
  async place(order: NewOrder): Promise<number> {
    await this.requireCustomer(order.customerId);
    const prices = await this.takeFromStock(order.lines);
    const id = await this.insert(order, prices);
    afterCommit(() => this.shipping.announce(id));
    return id;
  }

  private async requireCustomer(id: number): Promise<void> {
    const row = await this.db.selectFrom('customers').select('id').where('id', '=', id).executeTakeFirst();
    if (row === undefined) throw new UnprocessableEntityException(`There is no customer ${id}`);
  }

  /** Locks the products in the order of their ids, so that two orders never wait for each other. */
  private async takeFromStock(lines: NewOrder['lines']): Promise<Map<number, number>> {
    const products = await this.db
      .selectFrom('products')
      .select(['id', 'name', 'stock', 'price_cents'])
      .where(
        'id',
        'in',
        lines.map((line) => line.productId),
      )
      .orderBy('id')
      .forUpdate()
      .execute();
    const byId = new Map(products.map((product) => [product.id, product]));
    const unknown = lines.filter((line) => !byId.has(line.productId)).map((line) => line.productId);
    if (unknown.length > 0) throw new UnprocessableEntityException(`There is no product ${unknown.join(', ')}`);
    const short = lines.flatMap(({ productId, quantity }) => {
      const product = byId.get(productId);
      return product === undefined || product.stock >= quantity
        ? []
        : [`${product.name}: ${quantity} wanted, ${product.stock} left`];
    });
    if (short.length > 0) throw new ConflictException(`Not in stock: ${short.join('; ')}`);

    await sql`
      UPDATE products SET stock = stock - taken.quantity
        FROM unnest(${lines.map((line) => line.productId)}::int[], ${lines.map((line) => line.quantity)}::int[])
          AS taken (product_id, quantity)
       WHERE products.id = taken.product_id`.execute(this.db);
    return new Map(products.map((product) => [product.id, product.price_cents]));
  }

  private async insert({ customerId, lines }: NewOrder, prices: ReadonlyMap<number, number>): Promise<number> {
    const priced = lines.map((line) => ({ ...line, unitPriceCents: prices.get(line.productId) ?? 0 }));
    const totalCents = priced.reduce((sum, line) => sum + line.quantity * line.unitPriceCents, 0);
    const { id } = await this.db
      .insertInto('orders')
      .values({ customer_id: customerId, status: 'placed', tracking_number: null, total_cents: totalCents })
      .returning('id')
      .executeTakeFirstOrThrow();
    await this.db
      .insertInto('order_lines')
      .values(
        priced.map((line, index) => ({
          order_id: id,
          line_number: index + 1,
          product_id: line.productId,
          quantity: line.quantity,
          unit_price_cents: line.unitPriceCents,
        })),
      )
      .execute();
    return id;
  }
}
