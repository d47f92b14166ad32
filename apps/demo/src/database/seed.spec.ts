import { makeSeed } from './seed.js';

describe('makeSeed', () => {
  const today = new Date('2026-11-23T09:00:00Z');
  const seed = makeSeed(today);

  it('is the same at every call', () => {
    expect(makeSeed(today)).toEqual(seed);
  });

  it('makes a shop of some size', () => {
    expect(seed.customers.id.length).toBe(2_000);
    expect(seed.products.id.length).toBeGreaterThan(500);
    expect(seed.orders.id.length).toBeGreaterThanOrEqual(10_000);
    expect(seed.orderLines.orderId.length).toBeGreaterThan(20_000);
  });

  it("gives every order lines whose prices add up to the order's total", () => {
    const totals = new Map<number, number>();
    seed.orderLines.orderId.forEach((orderId, index) => {
      const price = (seed.orderLines.quantity[index] as number) * (seed.orderLines.unitPriceCents[index] as number);
      totals.set(orderId, (totals.get(orderId) ?? 0) + price);
    });
    expect(seed.orders.id.map((id) => totals.get(id))).toEqual(seed.orders.totalCents);
  });

  it('keeps what the database will demand: unique addresses and articles, prices above zero, no order in the future', () => {
    expect(new Set(seed.customers.email).size).toBe(seed.customers.email.length);
    expect(seed.customers.email.filter((email) => !/^[a-z.]+\.\d+@example\.com$/.test(email))).toEqual([]);
    expect(new Set(seed.products.sku).size).toBe(seed.products.sku.length);
    expect(Math.min(...seed.products.priceCents)).toBeGreaterThan(0);
    expect(seed.orders.placedAt.every((placedAt) => placedAt <= today.toISOString())).toBe(true);
    expect(seed.orders.placedAt).toEqual([...seed.orders.placedAt].sort());
  });

  it('gives a tracking number to what was sent, and to nothing else', () => {
    seed.orders.status.forEach((status, index) => {
      expect(seed.orders.trackingNumber[index] !== null).toBe(status === 'shipped' || status === 'delivered');
    });
  });
});
