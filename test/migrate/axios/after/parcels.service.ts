import { BadGatewayException, Injectable, NotFoundException } from '@nestjs/common';
import { HttpStatusError, InjectHttpClient, type HttpClient } from 'nestjs-pooling';

export interface Parcel {
  id: number;
  state: string;
}

@Injectable()
export class ParcelsService {
  constructor(@InjectHttpClient('carrier') private readonly http: HttpClient) {}

  find(state: string): Promise<Parcel[]> {
    return this.http.get('/parcels', { query: { state } }).json<Parcel[]>();
  }

  async get(id: number): Promise<Parcel> {
    try {
      return await this.http.get(`/parcels/${id}`).json<Parcel>();
    } catch (error) {
      if (error instanceof HttpStatusError && error.statusCode === 404) throw new NotFoundException();
      throw new BadGatewayException();
    }
  }

  create(state: string): Promise<Parcel> {
    return this.http.post('/parcels', { json: { state } }).json<Parcel>();
  }
}
