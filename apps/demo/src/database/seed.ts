import type { OrderStatus } from './schema.js';
import { CITIES, FIRST_NAMES, LAST_NAMES, PRODUCT_LINES } from './seed-words.js';

const CUSTOMERS = 2_000;
const ORDERS = 12_000;
const HISTORY_DAYS = 730;
const DAY_MS = 86_400_000;
const SEED_NUMBER = 20_261_123;

/** The rows of every table, a column at a time. */
export interface Seed {
  readonly customers: ReturnType<typeof makeCustomers>;
  readonly products: ReturnType<typeof makeProducts>;
  readonly orders: ReturnType<typeof makeOrders>['orders'];
  readonly orderLines: ReturnType<typeof makeOrders>['orderLines'];
}

/**
 * A shop after two years of business, the same at every call: few customers buy often and few products sell well, as
 * in any shop, and orders are more frequent the nearer they are to `today`.
 */
export function makeSeed(today: Date): Seed {
  const random = new Random(SEED_NUMBER);
  const customers = makeCustomers(random, today);
  const products = makeProducts(random);
  return { customers, products, ...makeOrders(random, today, products) };
}

function makeCustomers(random: Random, today: Date) {
  const customers = {
    id: [] as number[],
    name: [] as string[],
    email: [] as string[],
    city: [] as string[],
    country: [] as string[],
    createdAt: [] as string[],
  };
  for (let id = 1; id <= CUSTOMERS; id++) {
    const first = random.pick(FIRST_NAMES);
    const last = random.pick(LAST_NAMES);
    const [city, country] = random.pick(CITIES);
    const address = `${first}.${last}`.normalize('NFD').replace(/[^A-Za-z.]/g, '');
    customers.id.push(id);
    customers.name.push(`${first} ${last}`);
    customers.email.push(`${address.toLowerCase()}.${id}@example.com`);
    customers.city.push(city);
    customers.country.push(country);
    customers.createdAt.push(daysBefore(today, HISTORY_DAYS + random.upTo(HISTORY_DAYS)));
  }
  return customers;
}

function makeProducts(random: Random) {
  const products = {
    id: [] as number[],
    sku: [] as string[],
    name: [] as string[],
    category: [] as string[],
    priceCents: [] as number[],
    stock: [] as number[],
  };
  for (const { category, code, things, materials, sizes, priceCents } of PRODUCT_LINES) {
    for (const thing of things) {
      for (const material of materials) {
        for (const size of sizes) {
          const id = products.id.length + 1;
          const factor = 0.7 + random.fraction() * 1.6;
          products.id.push(id);
          products.sku.push(`${code}-${String(id).padStart(4, '0')}`);
          products.name.push([material, thing, size].filter(Boolean).join(' '));
          products.category.push(category);
          // Prices end in 90 or 95 cents.
          products.priceCents.push(Math.max(1, Math.round((priceCents * factor) / 100)) * 100 - random.pick([5, 10]));
          products.stock.push(random.fraction() < 0.04 ? 0 : 20 + random.upTo(4_980));
        }
      }
    }
  }
  return products;
}

function makeOrders(random: Random, today: Date, products: ReturnType<typeof makeProducts>) {
  const orders = {
    id: [] as number[],
    customerId: [] as number[],
    status: [] as OrderStatus[],
    trackingNumber: [] as (string | null)[],
    totalCents: [] as number[],
    placedAt: [] as string[],
  };
  const orderLines = {
    orderId: [] as number[],
    lineNumber: [] as number[],
    productId: [] as number[],
    quantity: [] as number[],
    unitPriceCents: [] as number[],
  };
  const ages = Array.from({ length: ORDERS }, () => random.fraction() ** 1.5 * HISTORY_DAYS).sort((a, b) => b - a);
  ages.forEach((age, index) => {
    const id = index + 1;
    let totalCents = 0;
    const chosen = new Set<number>();
    for (let lines = random.skewed(6); lines >= 0; lines--) chosen.add(random.skewed(products.id.length));
    [...chosen].forEach((product, line) => {
      const quantity = 1 + random.skewed(5);
      const unitPriceCents = products.priceCents[product] as number;
      totalCents += quantity * unitPriceCents;
      orderLines.orderId.push(id);
      orderLines.lineNumber.push(line + 1);
      orderLines.productId.push(products.id[product] as number);
      orderLines.quantity.push(quantity);
      orderLines.unitPriceCents.push(unitPriceCents);
    });
    const status = statusAt(age, random);
    const isSent = status === 'shipped' || status === 'delivered';
    orders.id.push(id);
    orders.customerId.push(1 + random.skewed(CUSTOMERS));
    orders.status.push(status);
    orders.trackingNumber.push(isSent ? `PX${String(100_000_000 + id)}NL` : null);
    orders.totalCents.push(totalCents);
    orders.placedAt.push(daysBefore(today, age));
  });
  return { orders, orderLines };
}

function statusAt(ageDays: number, random: Random): OrderStatus {
  if (random.fraction() < 0.03) return 'cancelled';
  if (ageDays < 0.5) return 'placed';
  if (ageDays < 2) return 'paid';
  return ageDays < 6 ? 'shipped' : 'delivered';
}

function daysBefore(today: Date, days: number): string {
  return new Date(today.getTime() - days * DAY_MS).toISOString();
}

/** Numbers that look random and are the same at every run (mulberry32, public domain, by Tommy Ettinger). */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** From 0 to below 1. */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A whole number from 0 to below `limit`. */
  upTo(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  /** The same, small ones far more often. */
  skewed(limit: number): number {
    return Math.floor(this.fraction() ** 2.5 * limit);
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.upTo(items.length)] as Item;
  }
}
