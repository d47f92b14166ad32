import type { CompiledQuery, QueryResult } from 'kysely';
import { PoolTransactionError } from '../../core/errors.js';
import type { AcquireOptions } from '../../core/pool-options.js';
import type { DatabaseLease } from '../database-lease.js';
import type { Beginning } from '../query/opening.js';
import type { ConnectionWay } from './connection-way.js';
import { KyselyConnection } from './kysely-connection.js';
import { isRead } from './read-query.js';

/**
 * How a transaction begins where nothing may be written, whichever server it is on.
 *
 * @throws PoolTransactionError `ERR_POOL_TRANSACTION_MISMATCH` when somebody asks for one that writes.
 */
function readOnlyBeginning(pool: string, beginning: Beginning): Beginning {
  if (beginning.accessMode === 'read write') {
    throw new PoolTransactionError(
      pool,
      `${pool}: accessMode can't be read write: transactions on replicas only read. Begin it on the database itself, with @InjectDb()`,
      { code: 'ERR_POOL_TRANSACTION_MISMATCH' },
    );
  }
  return { ...beginning, accessMode: 'read only' };
}

/**
 * A connection on which nothing may be written, whichever server it leads to: the primary, where no replica will do, must
 * refuse what a replica does. So what isn't known to read runs in a transaction that is begun READ ONLY.
 */
class ReadOnlyConnection extends KyselyConnection {
  readonly #pool: string;

  constructor(way: ConnectionWay, lease?: DatabaseLease, acquire?: AcquireOptions) {
    super(way, lease, acquire);
    this.#pool = way.pool.name;
  }

  override begin(beginning: Beginning, batchSize?: number): void {
    super.begin(readOnlyBeginning(this.#pool, beginning), batchSize);
  }

  override async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    if (this.transaction === 'open' || isRead(query)) return await super.executeQuery<Row>(query);
    this.begin({});
    let result: QueryResult<Row>;
    try {
      result = await super.executeQuery<Row>(query);
    } catch (error) {
      await this.rollback();
      throw error;
    }
    await this.commit();
    return result;
  }

  override streamQuery<Row>(query: CompiledQuery, chunkSize?: number): AsyncIterableIterator<QueryResult<Row>> {
    const guarded = this.transaction !== 'open' && !isRead(query);
    return guarded ? this.#streamReadOnly<Row>(query, chunkSize) : super.streamQuery<Row>(query, chunkSize);
  }

  async *#streamReadOnly<Row>(query: CompiledQuery, chunkSize?: number): AsyncIterableIterator<QueryResult<Row>> {
    this.begin({});
    try {
      yield* super.streamQuery<Row>(query, chunkSize);
    } finally {
      await this.rollback();
    }
  }
}

/**
 * Kysely's view of a lease.
 *
 * @param lease left out: it is leased with its first statement, by `acquire`.
 */
export function connectionOn(way: ConnectionWay, lease?: DatabaseLease, acquire?: AcquireOptions): KyselyConnection {
  return way.readOnly ? new ReadOnlyConnection(way, lease, acquire) : new KyselyConnection(way, lease, acquire);
}
