import { nameAcquirer, type Holder } from '../core/holders.js';
import { CLOSE_REASONS, type CloseReason, type LeakNotice, type PoolStatistics } from '../core/statistics.js';
import type { HttpClientStatistics } from '../http/pool/statistics.js';

/** The kind of an event; the page marks each in its own way. */
export type PoolEventKind = 'opened' | 'closed' | 'failed' | 'timeout' | 'leak' | 'state';

/** Something that happened to a pool within a second. */
export interface PoolEvent {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly pool: string;
  readonly kind: PoolEventKind;
  readonly text: string;
  /** Whether it is normal operation. */
  readonly routine?: true;
}

/** Reasons to close connections in normal operation. */
const ROUTINE_REASONS: ReadonlySet<CloseReason> = new Set<CloseReason>(['idle', 'lifetime', 'uses', 'overflow']);

function times(count: number, what: string): string {
  return count === 1 ? `1 ${what}` : `${count} ${what}s`;
}

function heldBy(leak: Pick<LeakNotice, 'heldMs' | 'label' | 'acquiredAt' | 'transaction'>): string {
  return `held for ${(leak.heldMs / 1000).toFixed(1)} s by ${nameAcquirer(leak) ?? 'unknown code'}`;
}

/** What happened between two looks at a database pool, in words: read from its counters, so that nothing has to listen. */
export function databaseEvents(
  at: number,
  before: PoolStatistics,
  now: PoolStatistics,
  newlyLeaked: readonly Holder[],
): PoolEvent[] {
  const events: PoolEvent[] = [];
  const note = (kind: PoolEventKind, text: string, routine = false): void => {
    events.push({ at, pool: now.name, kind, text, ...(routine ? { routine } : undefined) });
  };
  if (now.state !== before.state) note('state', `${before.state} → ${now.state}`);
  if (now.max !== before.max) note('state', `resized: at most ${times(now.max, 'connection')}, before ${before.max}`);
  const opened = now.opened - before.opened;
  if (opened > 0) note('opened', `${times(opened, 'connection')} opened`, true);
  for (const reason of CLOSE_REASONS) {
    const closed = now.closed[reason] - before.closed[reason];
    if (closed > 0) note('closed', `${times(closed, 'connection')} closed: ${reason}`, ROUTINE_REASONS.has(reason));
  }
  const failed = now.connectErrors - before.connectErrors;
  if (failed > 0) {
    const why = now.lastConnectError === undefined ? '' : `: ${now.lastConnectError.message}`;
    note('failed', `${times(failed, 'dial')} failed${why}`);
  }
  const timeouts = now.acquireTimeouts - before.acquireTimeouts;
  if (timeouts > 0) note('timeout', `${times(timeouts, 'acquire')} timed out (ERR_POOL_ACQUIRE_TIMEOUT)`);
  const rejected = now.queueRejected - before.queueRejected;
  if (rejected > 0) note('timeout', `${times(rejected, 'acquire')} refused: the queue is full (ERR_POOL_QUEUE_FULL)`);
  for (const holder of newlyLeaked)
    note('leak', `connection ${holder.connection} is not given back: ${heldBy(holder)}`);
  const gone = now.leaks - before.leaks - newlyLeaked.length;
  const last = now.lastLeak?.collected === true && now.lastLeak !== before.lastLeak ? now.lastLeak : undefined;
  if (last !== undefined) {
    note('leak', `connection ${last.connection} was dropped without being given back, and closed: ${heldBy(last)}`);
  }
  const unnamed = last === undefined ? gone : gone - 1;
  if (unnamed > 0) note('leak', `${times(unnamed, 'lease')} reported as leaked`);
  return events;
}

/** What happened between two looks at an HTTP client, in words. */
export function httpEvents(at: number, before: HttpClientStatistics, now: HttpClientStatistics): PoolEvent[] {
  const events: PoolEvent[] = [];
  const note = (kind: PoolEventKind, text: string): void => {
    events.push({ at, pool: now.name, kind, text });
  };
  if (now.state !== before.state) note('state', `${before.state} → ${now.state}`);
  for (const [phase, count] of Object.entries(now.timeouts)) {
    const timedOut = count - before.timeouts[phase as keyof typeof before.timeouts];
    if (timedOut > 0) note('timeout', `${times(timedOut, 'request')} timed out: ${phase} (ERR_HTTP_TIMEOUT)`);
  }
  const rejected = now.queueRejected - before.queueRejected;
  if (rejected > 0) note('timeout', `${times(rejected, 'request')} refused: the queue is full (ERR_HTTP_QUEUE_FULL)`);
  const failed = now.connectErrors - before.connectErrors;
  if (failed > 0) note('failed', `${times(failed, 'dial')} failed`);
  const leaks = now.leaks - before.leaks;
  if (leaks > 0) note('leak', `${times(leaks, 'streamed answer')} not read in time`);
  return events;
}
