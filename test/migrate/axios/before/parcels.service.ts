import { HttpService } from '@nestjs/axios';
import { BadGatewayException, Injectable, NotFoundException } from '@nestjs/common';
import { isAxiosError } from 'axios';
import { firstValueFrom } from 'rxjs';

export interface Parcel {
  id: number;
  state: string;
}

@Injectable()
export class ParcelsService {
  constructor(private readonly http: HttpService) {}

  async find(state: string): Promise<Parcel[]> {
    const { data } = await firstValueFrom(this.http.get<Parcel[]>('/parcels', { params: { state } }));
    return data;
  }

  async get(id: number): Promise<Parcel> {
    try {
      const { data } = await firstValueFrom(this.http.get<Parcel>(`/parcels/${id}`));
      return data;
    } catch (error) {
      if (isAxiosError(error) && error.response?.status === 404) throw new NotFoundException();
      throw new BadGatewayException();
    }
  }

  async create(state: string): Promise<Parcel> {
    const { data } = await firstValueFrom(this.http.post<Parcel>('/parcels', { state }));
    return data;
  }
}
