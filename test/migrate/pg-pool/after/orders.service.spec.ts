import { Test } from '@nestjs/testing';
import { getDbPoolToken } from 'nestjs-pooling';
import { OrdersService } from './orders.service.js';

it('lists what the database has', async () => {
  const pool = { query: () => Promise.resolve({ rows: [{ id: 1, item: 'tea' }] }) };
  const testing = await Test.createTestingModule({
    providers: [OrdersService, { provide: getDbPoolToken(), useValue: pool }],
  }).compile();
  expect(await testing.get(OrdersService).list()).toEqual([{ id: 1, item: 'tea' }]);
});
