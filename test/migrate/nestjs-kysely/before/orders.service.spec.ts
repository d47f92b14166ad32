import { Test } from '@nestjs/testing';
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely';
import { KYSELY_MODULE_CONNECTION_TOKEN } from 'nestjs-kysely';
import { OrdersService } from './orders.service.js';

it('lists what the database has', async () => {
  const db = new Kysely({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (kysely) => new PostgresIntrospector(kysely),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  });
  const testing = await Test.createTestingModule({
    providers: [OrdersService, { provide: KYSELY_MODULE_CONNECTION_TOKEN(), useValue: db }],
  }).compile();
  expect(await testing.get(OrdersService).list()).toEqual([]);
});
