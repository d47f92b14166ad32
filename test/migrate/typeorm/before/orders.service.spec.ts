import { Test } from '@nestjs/testing';
import { getRepositoryToken } from '@nestjs/typeorm';
import { Order } from './order.entity.js';
import { OrdersService } from './orders.service.js';

it('lists what the database has', async () => {
  const testing = await Test.createTestingModule({
    providers: [
      OrdersService,
      { provide: getRepositoryToken(Order), useValue: { find: () => Promise.resolve([{ id: 1, item: 'tea' }]) } },
    ],
  }).compile();
  expect(await testing.get(OrdersService).list()).toEqual([{ id: 1, item: 'tea' }]);
});
