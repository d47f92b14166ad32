import { askWithin, tellsNoPosition } from './asking.js';
import { leaseWithin, type LeasedPool } from './lease-within.js';
import { POSITION_QUESTION } from '../query/write-notes.js';
import { positionIn, type PoolWrites } from './pool-writes.js';
import type { LogGeometry, LogPosition } from './position.js';

/** How long the primary may take to answer, in milliseconds. */
const ANSWER_WITHIN_MS = 5_000;

const GEOMETRY_QUESTION = `select pg_size_bytes(current_setting('wal_segment_size'))::text as segment,
  current_setting('wal_block_size') as page`;

/** Where the log of a primary is now; `'nowhere'`: it doesn't tell; `undefined`: it doesn't answer. */
export type PrimaryAnswer = LogPosition | 'nowhere' | undefined;

/** Asks the primary where its log is. */
export class PrimaryPosition {
  readonly #pool: LeasedPool;
  readonly #writes: PoolWrites | undefined;
  #geometry: LogGeometry | undefined = undefined;

  constructor(pool: LeasedPool, writes: PoolWrites | undefined) {
    this.#pool = pool;
    this.#writes = writes;
  }

  /** @param limitMs - how long a connection may be waited for. Never rejects. */
  async ask(limitMs: number): Promise<PrimaryAnswer> {
    const lease = await leaseWithin(this.#pool, limitMs, { use: 'own' });
    if (lease === undefined) return undefined;
    try {
      const { connection } = lease;
      if (this.#geometry === undefined) {
        const { rows } = await askWithin(connection, GEOMETRY_QUESTION, ANSWER_WITHIN_MS);
        const { page, segment } = rows[0] as { page: string; segment: string };
        this.#geometry = { page: BigInt(page), segment: BigInt(segment) };
        if (this.#writes !== undefined) this.#writes.geometry = this.#geometry;
      }
      return positionIn(await askWithin(connection, POSITION_QUESTION, ANSWER_WITHIN_MS), this.#geometry) ?? 'nowhere';
    } catch (error) {
      return tellsNoPosition(error) ? 'nowhere' : undefined;
    } finally {
      this.#pool.leases.giveBack(lease);
    }
  }
}
