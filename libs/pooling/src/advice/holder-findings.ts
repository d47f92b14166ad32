import { nameAcquirer, type Holder } from '../core/holders.js';
import { beginsWith } from '../database/query/leading-words.js';
import { counted, inSeconds, type Advice } from './advice.js';
import type { AdvisedDatabase, AdvisedHttpClient } from './advised.js';
import { LEAK_HISTORY_MS, type LeakHistory } from './leak-history.js';

/** A transaction in which nothing has run for this long holds its locks in vain, in milliseconds. */
const IDLE_IN_TRANSACTION_MS = 10_000;
/** A lease on which nothing has run for this long has probably been forgotten, in milliseconds. */
const FORGOTTEN_MS = 60_000;

/** For how long nothing has run on a connection: 0 while something runs. */
function quietMs(holder: Holder): number {
  return holder.active === true ? 0 : (holder.idleMs ?? holder.heldMs);
}

/** Who holds a connection, as far as it is known. */
function nameOf(holder: Holder): string {
  const who = nameAcquirer(holder);
  if (who !== undefined) return who;
  return holder.statement === undefined ? 'unknown code' : `unknown code that last ran: ${holder.statement}`;
}

function evidenceOf(holder: Holder): Record<string, string | number> {
  return {
    connection: holder.connection,
    heldMs: Math.round(holder.heldMs),
    quietMs: Math.round(quietMs(holder)),
    holder: nameOf(holder),
    ...(holder.replica === undefined ? undefined : { replica: holder.replica }),
    ...(holder.statement === undefined ? undefined : { statement: holder.statement }),
    ...(holder.serverId === undefined ? undefined : { serverId: holder.serverId }),
  };
}

/** `IDLE_IN_TRANSACTION`: nothing happens in an open transaction. */
export function idleInTransaction(pool: AdvisedDatabase, holders: readonly Holder[]): Advice | undefined {
  const idle = holders.filter((holder) => holder.inTransaction === true && quietMs(holder) >= IDLE_IN_TRANSACTION_MS);
  const longest = longestQuiet(idle);
  if (longest === undefined) return undefined;
  return {
    code: 'IDLE_IN_TRANSACTION',
    severity: 'warning',
    pool: pool.name,
    message:
      `${pool.name}: ${counted(idle.length, 'transaction')} open with nothing running in it, the longest for ` +
      `${inSeconds(quietMs(longest))} by ${nameOf(longest)}. It keeps its locks and holds vacuum back: look for a ` +
      'forgotten COMMIT, or for slow work (an HTTP call?) within the transaction. idleInTransactionTimeoutMs bounds it.',
    evidence: { transactions: idle.length, ...evidenceOf(longest) },
  };
}

/** Whether it is held to hear notifications: it stays quiet by design. */
function listens({ statement }: Holder): boolean {
  return statement !== undefined && beginsWith(statement, 'LISTEN');
}

/** `LEAK_SUSPECTED`: leases that nobody seems to give back. */
export function leakSuspected(pool: AdvisedDatabase, holders: readonly Holder[]): Advice | undefined {
  const suspects = holders.filter((holder) => holder.leaked || (quietMs(holder) >= FORGOTTEN_MS && !listens(holder)));
  const longest = longestQuiet(suspects.filter((holder) => holder.leaked)) ?? longestQuiet(suspects);
  if (longest === undefined) return undefined;
  const where =
    longest.acquiredAt === undefined
      ? 'Set leakDetectionMs to see the code that acquired it.'
      : 'Release it in a finally block, or use withConnection().';
  return {
    code: 'LEAK_SUSPECTED',
    severity: 'error',
    pool: pool.name,
    message:
      `${pool.name}: ${counted(suspects.length, 'connection')} held and not used, the longest for ` +
      `${inSeconds(longest.heldMs)} by ${nameOf(longest)}. ${where}`,
    evidence: { suspects: suspects.length, leaks: pool.statistics().leaks, ...evidenceOf(longest) },
  };
}

/** `LEAK_SUSPECTED` of an HTTP client: streamed answers that nobody read, of late. */
export function bodiesLeaked(client: AdvisedHttpClient, of: LeakHistory): Advice | undefined {
  const { leaks } = client.statistics();
  const recent = of.recent(client.name, leaks);
  if (recent === 0) return undefined;
  return {
    code: 'LEAK_SUSPECTED',
    severity: 'warning',
    pool: client.name,
    message:
      `${client.name}: ${counted(recent, 'streamed answer')} whose body nobody read in time: each held a ` +
      'connection. Read the body to its end, or destroy it.',
    evidence: { leaks, recent, withinMs: LEAK_HISTORY_MS },
  };
}

function longestQuiet(holders: readonly Holder[]): Holder | undefined {
  return holders.toSorted((one, other) => quietMs(other) - quietMs(one))[0];
}
