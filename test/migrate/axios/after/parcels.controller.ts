import { Body, Controller, Get, Param, ParseIntPipe, Post, Query } from '@nestjs/common';
import { ParcelsService, type Parcel } from './parcels.service.js';

@Controller('parcels')
export class ParcelsController {
  constructor(private readonly parcels: ParcelsService) {}

  @Get()
  find(@Query('state') state: string): Promise<Parcel[]> {
    return this.parcels.find(state);
  }

  @Get(':id')
  get(@Param('id', ParseIntPipe) id: number): Promise<Parcel> {
    return this.parcels.get(id);
  }

  @Post()
  create(@Body() { state }: { state: string }): Promise<Parcel> {
    return this.parcels.create(state);
  }
}
