import { Test } from '@nestjs/testing';
import { PG_POOL } from './database.module.js';
import { OrdersService } from './orders.service.js';

it('lists what the database has', async () => {
  const pool = { query: () => Promise.resolve({ rows: [{ id: 1, item: 'tea' }] }) };
  const testing = await Test.createTestingModule({
    providers: [OrdersService, { provide: PG_POOL, useValue: pool }],
  }).compile();
  expect(await testing.get(OrdersService).list()).toEqual([{ id: 1, item: 'tea' }]);
});
