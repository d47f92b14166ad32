import { BadRequestException, Body, Controller, Get, NotFoundException, Param, Put } from '@nestjs/common';
import { CONDITIONS, Conditions, type Condition } from './conditions.js';
import { Pickups } from './pickups.js';
import { shipmentOf, TRACKING_NUMBER, type Shipment } from './shipments.js';

/** The carrier's API. */
@Controller()
export class CarrierController {
  constructor(
    private readonly conditions: Conditions,
    private readonly pickups: Pickups,
  ) {}

  @Get('shipments/:trackingNumber')
  async shipment(@Param('trackingNumber') trackingNumber: string): Promise<Shipment> {
    await this.conditions.work();
    if (!TRACKING_NUMBER.test(trackingNumber))
      throw new NotFoundException(`No parcel has the number ${trackingNumber}`);
    return shipmentOf(trackingNumber, new Date());
  }

  /** A customer has something to be picked up. To say so twice is the same as once. */
  @Put('pickups/:reference')
  async announce(@Param('reference') reference: string): Promise<{ reference: string }> {
    await this.conditions.work();
    this.pickups.add(reference);
    return { reference };
  }

  @Get('pickups/:reference')
  pickup(@Param('reference') reference: string): { reference: string } {
    if (!this.pickups.has(reference)) throw new NotFoundException(`Nobody has announced ${reference}`);
    return { reference };
  }

  @Get('conditions')
  showConditions(): { condition: Condition } {
    return { condition: this.conditions.current };
  }

  /** What no real carrier offers: `{ "condition": "failing" }`. */
  @Put('conditions')
  setConditions(@Body() body: { condition?: unknown } | undefined): { condition: Condition } {
    const wish = CONDITIONS.find((condition) => condition === body?.condition);
    if (wish === undefined) throw new BadRequestException(`condition must be one of ${CONDITIONS.join(', ')}`);
    this.conditions.current = wish;
    return this.showConditions();
  }
}
