import { HttpService } from '@nestjs/axios';
import { Test } from '@nestjs/testing';
import { of } from 'rxjs';
import { ParcelsService } from './parcels.service.js';

it('finds what the carrier has', async () => {
  const http = { get: () => of({ data: [{ id: 1, state: 'sent' }] }) };
  const testing = await Test.createTestingModule({
    providers: [ParcelsService, { provide: HttpService, useValue: http }],
  }).compile();
  expect(await testing.get(ParcelsService).find('sent')).toEqual([{ id: 1, state: 'sent' }]);
});
