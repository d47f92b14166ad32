import {
  BadGatewayException,
  GatewayTimeoutException,
  Injectable,
  Logger,
  ServiceUnavailableException,
  type HttpException,
} from '@nestjs/common';
import {
  HttpQueueFullError,
  HttpStatusError,
  HttpTimeoutError,
  InjectHttpClient,
  type HttpClient,
} from 'nestjs-pooling';
import { z } from 'zod';

const shipment = z.object({
  trackingNumber: z.string(),
  status: z.string(),
  location: z.string(),
  estimatedDelivery: z.string(),
  events: z.array(z.object({ at: z.string(), what: z.string(), where: z.string() })),
});

/** Where a parcel is, in the carrier's words. */
export type ShippingStatus = z.output<typeof shipment> | { readonly status: 'not shipped yet' };

/** The carrier, as the shop sees it. */
@Injectable()
export class ShippingService {
  readonly #logger = new Logger(ShippingService.name);

  constructor(@InjectHttpClient('carrier') private readonly carrier: HttpClient) {}

  /**
   * @throws BadGatewayException when the carrier is down or answers nonsense, GatewayTimeoutException when it takes too
   * long, ServiceUnavailableException when too many are asking already.
   */
  async track(trackingNumber: string): Promise<ShippingStatus> {
    try {
      return shipment.parse(await this.carrier.get(`/shipments/${encodeURIComponent(trackingNumber)}`).json());
    } catch (error) {
      this.#logger.warn(`${trackingNumber}: ${error instanceof Error ? error.message : String(error)}`);
      throw explain(error);
    }
  }

  /**
   * Tells the carrier that an order is to be picked up. To say so twice is the same as once, so that the client may try again.
   *
   * @throws what the client throws when the carrier is down or doesn't take it.
   */
  async announce(orderId: number): Promise<void> {
    // An answer that isn't 2xx is an error, too.
    await this.carrier.put(`/pickups/order-${orderId}`, { template: '/pickups/{reference}' }).text();
  }
}

function explain(cause: unknown): HttpException {
  if (cause instanceof HttpTimeoutError) {
    return new GatewayTimeoutException('The carrier did not answer in time', { cause });
  }
  if (cause instanceof HttpQueueFullError) {
    return new ServiceUnavailableException('Too many are asking the carrier: try again in a moment', { cause });
  }
  if (cause instanceof HttpStatusError) {
    return new BadGatewayException(`The carrier answered with an error (${cause.statusCode})`, { cause });
  }
  if (cause instanceof z.ZodError) {
    return new BadGatewayException('The carrier answered something that makes no sense', { cause });
  }
  return new BadGatewayException('The carrier can not be reached', { cause });
}
