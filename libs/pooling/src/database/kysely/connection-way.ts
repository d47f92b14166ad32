import type { Log, PostgresCursorConstructor } from 'kysely';
import type { DatabaseAccess } from '../database-access.js';
import type { DatabaseLeases } from '../database-leases.js';
import type { DatabasePool } from '../database-pool.js';

/** Where connections of Kysely's get their leases, and give them back. */
export type LeaseSource = Pick<DatabaseLeases, 'acquire' | 'giveBack' | 'handOn' | 'lender' | 'origin'>;

/** What connections of Kysely's are made with. */
export interface ConnectionWay extends Pick<DatabaseAccess, 'queries' | 'transactions' | 'writes' | 'clock'> {
  readonly pool: Pick<DatabasePool, 'name' | 'configuration' | 'end'>;
  readonly leases: LeaseSource;
  readonly log: Log;
  readonly cursor: PostgresCursorConstructor | undefined;
  /** Whether nothing may be written by it. */
  readonly readOnly: boolean;
}
