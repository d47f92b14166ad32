import { Inject } from '@nestjs/common';
import { getDbPoolToken, getDbToken, getHttpClientToken, getReplicaDbToken } from './tokens.js';

/** A decorator for constructor parameters and for properties. */
export type InjectDecorator = PropertyDecorator & ParameterDecorator;

/**
 * Injects the `Kysely` of a database, which is `default` unless it is named.
 *
 * @example
 * ```ts
 * @Injectable()
 * class OrdersService {
 *   constructor(@InjectDb() private readonly db: Kysely<Database>) {}
 *
 *   unpaid() {
 *     return this.db.selectFrom('orders').selectAll().where('paid', '=', false).execute();
 *   }
 * }
 * ```
 */
export function InjectDb(name?: string): InjectDecorator {
  return Inject(getDbToken(name));
}

/**
 * Injects a `Kysely` that reads from the replicas of a database, which is `default` unless it is named: single queries,
 * transactions, which are begun READ ONLY, and streams. It goes to the primary where no replica is fit, and where the database
 * has none; within a transaction of the database it belongs to that. What writes fails there with the server's 25006.
 *
 * @example
 * ```ts
 * @Injectable()
 * class CatalogueService {
 *   constructor(@InjectReplicaDb() private readonly replicas: Kysely<Database>) {}
 *
 *   paid() {
 *     return this.replicas.selectFrom('orders').selectAll().where('paid', '=', true).execute();
 *   }
 * }
 * ```
 */
export function InjectReplicaDb(name?: string): InjectDecorator {
  return Inject(getReplicaDbToken(name));
}

/**
 * Injects the `DatabasePool` of a database, which is `default` unless it is named.
 *
 * @example
 * ```ts
 * @Injectable()
 * class ReportsService {
 *   constructor(@InjectDbPool('reports') private readonly pool: DatabasePool) {}
 *
 *   async total(): Promise<number> {
 *     const { rows } = await this.pool.query<{ total: number }>('select sum(total)::int as total from orders');
 *     return rows[0]!.total;
 *   }
 * }
 * ```
 */
export function InjectDbPool(name?: string): InjectDecorator {
  return Inject(getDbPoolToken(name));
}

/**
 * Injects an `HttpClient`, which is `default` unless it is named.
 *
 * @example
 * ```ts
 * @Injectable()
 * class ShippingService {
 *   constructor(@InjectHttpClient('carrier') private readonly carrier: HttpClient) {}
 *
 *   shipment(id: number) {
 *     return this.carrier.get(`/shipments/${id}`).json<Shipment>();
 *   }
 * }
 * ```
 */
export function InjectHttpClient(name?: string): InjectDecorator {
  return Inject(getHttpClientToken(name));
}
