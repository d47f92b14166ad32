import type { QueryResult } from 'pg';
import type { PostgresConnection } from '../connection/connection.js';

/**
 * Proof of the timeline that a replica follows, without privileges what was last written of it to its disk: never more than
 * is true.
 */
export const TIMELINE = `greatest((select timeline_id from pg_control_checkpoint()),
  (select min_recovery_end_timeline from pg_control_recovery()), (select received_tli from pg_stat_wal_receiver))`;

/** Codes of a server that has no such thing as a log that can be asked for: Aurora for one. */
const WITHOUT_LOG = new Set(['0A000', '42501', '42883']);

/** Whether a server says that it doesn't tell where its log is. */
export function tellsNoPosition(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && WITHOUT_LOG.has(code);
}

/** Asks a question of the pool's own; one that isn't answered within the limit ends the connection. */
export function askWithin({ runner }: PostgresConnection, text: string, limitMs: number): Promise<QueryResult> {
  return new Promise((resolve, reject) => {
    runner.executeUnprepared(undefined, text, undefined, limitMs, (error, result) =>
      error === undefined ? resolve(result) : reject(error),
    );
  });
}
