import type { ColumnType, Generated } from 'kysely';

export interface CustomersTable {
  id: Generated<number>;
  name: string;
  email: string;
  city: string;
  country: string;
  created_at: ColumnType<Date, Date | undefined, never>;
}

export interface ProductsTable {
  id: Generated<number>;
  sku: string;
  name: string;
  category: string;
  price_cents: number;
  stock: number;
}

export const ORDER_STATUSES = ['placed', 'paid', 'shipped', 'delivered', 'cancelled'] as const;
export type OrderStatus = (typeof ORDER_STATUSES)[number];

export interface OrdersTable {
  id: Generated<number>;
  customer_id: number;
  status: OrderStatus;
  tracking_number: string | null;
  total_cents: number;
  placed_at: ColumnType<Date, Date | undefined, never>;
}

export interface OrderLinesTable {
  order_id: number;
  line_number: number;
  product_id: number;
  quantity: number;
  unit_price_cents: number;
}

/** The shop's tables; money is in cents. */
export interface Shop {
  customers: CustomersTable;
  products: ProductsTable;
  orders: OrdersTable;
  order_lines: OrderLinesTable;
}
