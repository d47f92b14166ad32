import { Module } from '@nestjs/common';
import { CarrierController } from './carrier.controller.js';
import { Conditions } from './conditions.js';
import { Pickups } from './pickups.js';

/** A parcel carrier: another company's service, as far as the shop is concerned. */
@Module({ controllers: [CarrierController], providers: [Conditions, Pickups] })
export class CarrierModule {}
