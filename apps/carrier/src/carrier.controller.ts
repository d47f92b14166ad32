import { BadRequestException, Body, Controller, Get, NotFoundException, Param, Put } from '@nestjs/common';
import { CONDITIONS, Conditions, type Condition } from './conditions.js';
import { shipmentOf, TRACKING_NUMBER, type Shipment } from './shipments.js';

/** The carrier's API. */
@Controller()
export class CarrierController {
  constructor(private readonly conditions: Conditions) {}

  @Get('shipments/:trackingNumber')
  async shipment(@Param('trackingNumber') trackingNumber: string): Promise<Shipment> {
    await this.conditions.work();
    if (!TRACKING_NUMBER.test(trackingNumber))
      throw new NotFoundException(`No parcel has the number ${trackingNumber}`);
    return shipmentOf(trackingNumber, new Date());
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
