import { describeCause } from './errors.js';
import { Histogram, type HistogramSnapshot, type Percentiles } from './histogram.js';
import { showText } from './shown-text.js';

/**
 * Why a connection was closed: `idle` longer than `idleTimeoutMs`, older than its `lifetime`, leased
 * `uses` times, `overflow` given back while nobody waited, `broken` by the peer or the network, `invalid`
 * when checked before a lease, left in a `transaction` that could not be ended, `reset` failed,
 * `query-timeout`, `expired` by `expireAll()`, `shutdown`.
 */
export type CloseReason =
  | 'idle'
  | 'lifetime'
  | 'uses'
  | 'overflow'
  | 'broken'
  | 'invalid'
  | 'transaction'
  | 'reset'
  | 'query-timeout'
  | 'expired'
  | 'shutdown';

/** Each of them: one that is left out doesn't compile. */
const EVERY_CLOSE_REASON: Readonly<Record<CloseReason, true>> = {
  idle: true,
  lifetime: true,
  uses: true,
  overflow: true,
  broken: true,
  invalid: true,
  transaction: true,
  reset: true,
  'query-timeout': true,
  expired: true,
  shutdown: true,
};
export const CLOSE_REASONS = Object.keys(EVERY_CLOSE_REASON) as readonly CloseReason[];

/** The state of a pool as it is published; a pool that only finishes its leases is still `draining`. */
export type PublishedPoolState = 'running' | 'suspended' | 'draining' | 'closed';

/** The last connect failure, as plain data. */
export interface ConnectFailure {
  /** The error's own code (`ECONNREFUSED`, `28P01`, …) where it has one. */
  readonly code?: string;
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** An immutable snapshot of a pool: levels now, and counters since it was made. */
export interface PoolStatistics {
  readonly name: string;
  readonly state: PublishedPoolState;
  /** Connections open now, idle or in use. */
  readonly size: number;
  readonly idle: number;
  readonly inUse: number;
  /** Dials under way. */
  readonly connecting: number;
  /** Connections that are being closed; they count against `max` until their socket is gone. */
  readonly closing: number;
  /** Acquires in the queue. */
  readonly waiting: number;
  /** Those of them that stand aside: for queries known to be slow, which leave connections to others (`quickReserve`). */
  readonly aside: number;
  /** Queries known to be slow that have a connection, or wait for one without standing aside. */
  readonly slow: number;
  /** The most connections there may be: `size` and `maxOverflow` of the options together, or what a budget leaves. */
  readonly max: number;
  /** Connections beyond the `size` of the options, now. */
  readonly overflow: number;
  /** Leases given out. */
  readonly acquired: number;
  /** Leases that came back. */
  readonly released: number;
  readonly acquireTimeouts: number;
  readonly acquireAborted: number;
  readonly queueRejected: number;
  /** Acquires that had to wait. */
  readonly emptyAcquires: number;
  readonly opened: number;
  readonly closed: Readonly<Record<CloseReason, number>>;
  readonly connectErrors: number;
  /** Leases reported as leaked. */
  readonly leaks: number;
  /** From acquire to lease. */
  readonly waitMs: Percentiles;
  /** From lease to release. */
  readonly useMs: Percentiles;
  /** Successful dials. */
  readonly connectMs: Percentiles;
  /** The last connect failure since a dial succeeded. */
  readonly lastConnectError?: ConnectFailure;
  /** The last lease that was reported as leaked. */
  readonly lastLeak?: LeakNotice;
}

/** A lease that was reported as leaked. */
export interface LeakNotice {
  /** When, in milliseconds since 1970. */
  readonly at: number;
  readonly connection: number;
  /** For how long it had been held, in milliseconds. */
  readonly heldMs: number;
  /** Whether the garbage collector found it. */
  readonly collected: boolean;
  /** On whose behalf it was acquired, where that is known. */
  readonly label?: string;
  /** The code position that acquired it. */
  readonly acquiredAt?: string;
  /** The transaction that it is held for: what began it. */
  readonly transaction?: string;
}

/** The distributions behind {@link PoolStatistics}, bucket by bucket, for Prometheus. */
export interface PoolHistograms {
  readonly wait: HistogramSnapshot;
  readonly use: HistogramSnapshot;
  readonly connect: HistogramSnapshot;
}

/** What a pool counts. Every field is written by the pool alone. */
export class PoolCounters {
  acquired = 0;
  released = 0;
  acquireTimeouts = 0;
  acquireAborted = 0;
  queueRejected = 0;
  emptyAcquires = 0;
  opened = 0;
  connectErrors = 0;
  leaks = 0;
  readonly closed = Object.fromEntries(CLOSE_REASONS.map((reason) => [reason, 0])) as Record<CloseReason, number>;
  readonly wait = new Histogram();
  readonly use = new Histogram();
  readonly connect = new Histogram();
}

/** The levels that go with the counters in a snapshot. */
export interface PoolLevels {
  readonly name: string;
  readonly state: PublishedPoolState;
  readonly open: number;
  readonly idle: number;
  readonly connecting: number;
  readonly closing: number;
  readonly waiting: number;
  readonly aside: number;
  readonly slow: number;
  readonly size: number;
  readonly max: number;
  readonly lastConnectError: ConnectFailure | undefined;
  readonly lastLeak: LeakNotice | undefined;
}

/** Levels and counters as one immutable snapshot. */
export function snapshotOf(levels: PoolLevels, counters: PoolCounters): PoolStatistics {
  const { acquired, released, acquireTimeouts, acquireAborted, queueRejected, emptyAcquires } = counters;
  return {
    name: levels.name,
    state: levels.state,
    size: levels.open,
    idle: levels.idle,
    inUse: levels.open - levels.idle,
    connecting: levels.connecting,
    closing: levels.closing,
    waiting: levels.waiting,
    aside: levels.aside,
    slow: levels.slow,
    max: levels.max,
    overflow: Math.max(0, levels.open - levels.size),
    acquired,
    released,
    acquireTimeouts,
    acquireAborted,
    queueRejected,
    emptyAcquires,
    opened: counters.opened,
    closed: { ...counters.closed },
    connectErrors: counters.connectErrors,
    leaks: counters.leaks,
    waitMs: counters.wait.percentiles(),
    useMs: counters.use.percentiles(),
    connectMs: counters.connect.percentiles(),
    ...(levels.lastConnectError === undefined ? undefined : { lastConnectError: levels.lastConnectError }),
    ...(levels.lastLeak === undefined ? undefined : { lastLeak: levels.lastLeak }),
  };
}

/** A connect error as plain data. */
export function connectFailure(error: unknown, at: number): ConnectFailure {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return {
    message: describeCause(error),
    at,
    ...(typeof code === 'string' ? { code: showText(code, 50) } : undefined),
  };
}
