import type { Generated } from 'kysely';

export interface Database {
  orders: { id: Generated<number>; item: string };
}
