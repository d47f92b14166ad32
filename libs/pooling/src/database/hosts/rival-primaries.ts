import type { HostTarget } from '../options/host-options.js';
import type { AskedConnection } from './connection-role.js';

/**
 * Which past a server goes on, and how often that was branched off: a promotion begins a timeline. As texts, because the
 * parsers of numbers may be the user's own.
 */
const QUESTION = `select system_identifier::text as system,
  ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint::text as timeline
from pg_control_system()`;

/** What tells which of two servers has the newer data. */
export interface Branch {
  readonly system: string;
  readonly timeline: number;
}

/** Asks a server that takes writes which timeline it writes. Rejects where it can't be asked. */
export async function branchOf(connection: Pick<AskedConnection, 'run'>): Promise<Branch> {
  const { rows } = await connection.run(QUESTION);
  const { system, timeline } = rows[0] as { system: string; timeline: string };
  return { system, timeline: Number(timeline) };
}

/** A host that takes writes, and the timeline that it writes. */
export interface Primary {
  readonly host: HostTarget;
  readonly branch: Branch;
}

/** Of several hosts that take writes: the one that goes on, and those that were left behind. */
export interface Succession {
  readonly newest: HostTarget;
  readonly superseded: readonly HostTarget[];
}

/**
 * Of servers with the same past the one with the highest timeline goes on: an old primary that runs without a fence
 * writes the timeline that a standby has left at its promotion. Servers that have nothing in common, or the same timeline, are
 * no rivals.
 *
 * @param present - the one that is used now.
 */
export function successionOf(present: Primary, others: readonly Primary[]): Succession {
  const rivals = [present, ...others].filter(({ branch }) => branch.system === present.branch.system);
  const newest = rivals.reduce((best, each) => (each.branch.timeline > best.branch.timeline ? each : best));
  const superseded = rivals.filter(({ branch }) => branch.timeline < newest.branch.timeline);
  return { newest: newest.host, superseded: superseded.map(({ host }) => host) };
}
