import type { Lease } from '../core/lease.js';
import type { PostgresConnection } from './connection/connection.js';

/** A lease of a PostgreSQL connection. */
export type DatabaseLease = Lease<PostgresConnection>;
