import { Test } from '@nestjs/testing';
import { getHttpClientToken } from 'nestjs-pooling';
import { ParcelsService } from './parcels.service.js';

it('finds what the carrier has', async () => {
  const http = { get: () => ({ json: () => Promise.resolve([{ id: 1, state: 'sent' }]) }) };
  const testing = await Test.createTestingModule({
    providers: [ParcelsService, { provide: getHttpClientToken('carrier'), useValue: http }],
  }).compile();
  expect(await testing.get(ParcelsService).find('sent')).toEqual([{ id: 1, state: 'sent' }]);
});
