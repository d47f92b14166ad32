import { createHash } from 'node:crypto';

/** Where a parcel is. */
export interface Shipment {
  readonly trackingNumber: string;
  readonly status: 'accepted' | 'in transit' | 'out for delivery' | 'delivered';
  readonly location: string;
  readonly estimatedDelivery: string;
  readonly events: readonly ShipmentEvent[];
}

export interface ShipmentEvent {
  readonly at: string;
  readonly what: string;
  readonly where: string;
}

const DAY_MS = 86_400_000;
const DEPOTS = ['Rotterdam', 'Hamburg', 'Lyon', 'Gdańsk', 'Milano', 'Wien', 'Göteborg', 'Zaragoza'];
const STAGES = [
  { status: 'accepted', what: 'Accepted at the counter' },
  { status: 'in transit', what: 'Left the sorting centre' },
  { status: 'out for delivery', what: 'Loaded into the van' },
  { status: 'delivered', what: 'Delivered' },
] as const;

/** A tracking number of this carrier: two letters, nine digits, two letters, as the Universal Postal Union writes them. */
export const TRACKING_NUMBER = /^[A-Z]{2}\d{9}[A-Z]{2}$/;

/** The same parcel has the same story whenever it is asked for, without a database. */
export function shipmentOf(trackingNumber: string, now: Date): Shipment {
  const digest = createHash('sha256').update(trackingNumber).digest();
  const today = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
  const stage = digest.readUInt8(0) % STAGES.length;
  const acceptedAt = today - (stage + 1) * DAY_MS + (digest.readUInt16BE(1) % 36_000) * 1_000;
  const depot = (step: number): string => DEPOTS[digest.readUInt8(4 + step) % DEPOTS.length] as string;
  const events = STAGES.slice(0, stage + 1).map(({ what }, step) => ({
    at: new Date(acceptedAt + step * DAY_MS).toISOString(),
    what,
    where: depot(step),
  }));
  return {
    trackingNumber,
    status: (STAGES[stage] as (typeof STAGES)[number]).status,
    location: depot(stage),
    estimatedDelivery: new Date(today + (STAGES.length - 1 - stage) * DAY_MS).toISOString().slice(0, 10),
    events,
  };
}
