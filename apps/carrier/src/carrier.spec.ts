import type { INestApplication } from '@nestjs/common';
import request from 'supertest';
import { startCarrier } from './carrier.js';
import { Conditions } from './conditions.js';
import { shipmentOf } from './shipments.js';

describe('the carrier', () => {
  let carrier: INestApplication;

  beforeAll(async () => {
    carrier = await startCarrier(0);
  });

  afterAll(() => carrier.close());

  function ask(method: 'get' | 'put', path: string) {
    return request(carrier.getHttpServer())[method](path);
  }

  it('tells the same story of the same parcel', () => {
    const now = new Date('2026-11-23T09:00:00Z');
    const parcel = shipmentOf('PX100000042NL', now);
    expect(shipmentOf('PX100000042NL', now)).toEqual(parcel);
    expect(parcel.events.length).toBeGreaterThan(0);
    expect(parcel.events.every((event) => event.at <= now.toISOString())).toBe(true);
  });

  it('answers, most of the time', async () => {
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => (await ask('get', `/shipments/PX1000000${10 + index}NL`)).status),
    );
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(10);
    expect(statuses.every((status) => status === 200 || status === 503)).toBe(true);
  });

  it('is told what there is to be picked up, and knows it', async () => {
    await ask('put', '/conditions').send({ condition: 'steady' }).expect(200);
    await ask('get', '/pickups/order-7').expect(404);
    await ask('put', '/pickups/order-7').expect(200, { reference: 'order-7' });
    await ask('put', '/pickups/order-7').expect(200);
    await ask('get', '/pickups/order-7').expect(200, { reference: 'order-7' });
  });

  it('can be broken and mended', async () => {
    await ask('put', '/conditions').send({ condition: 'failing' }).expect(200, { condition: 'failing' });
    await ask('get', '/shipments/PX100000042NL').expect(503);
    await ask('put', '/conditions').send({ condition: 'tired' }).expect(400);
    await ask('get', '/conditions').expect(200, { condition: 'failing' });
    await ask('put', '/conditions').send({ condition: 'normal' }).expect(200);
    expect(carrier.get(Conditions).current).toBe('normal');
  });
});
