import * as kysely from 'kysely';
import { createKysely, DatabasePool, HttpClient } from 'nestjs-pooling';

interface Database {
  orders: { id: number; item: string };
}

/** What the program shares: one pool, and one client for each service that it calls. */
export function openShop(databaseUrl: string, carrierUrl: string) {
  const pool = new DatabasePool('shop', { url: databaseUrl, size: 5 });
  const db = createKysely<Database>(pool, { kysely });
  const carrier = new HttpClient('carrier', { baseUrl: carrierUrl });
  return {
    async order(id: number) {
      const order = await db.selectFrom('orders').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
      const shipment = await carrier.get(`/shipments/${id}`).json<{ status: string }>();
      return { ...order, shipment: shipment.status };
    },
    /** Requests first, so that none of them meets a closed pool. */
    async close() {
      await carrier.close();
      await pool.close();
    },
  };
}
