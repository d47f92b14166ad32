import type { AcquireOrigin } from './acquire-origin.js';
import type { Clock } from './clock.js';
import type { Acquirer, Holder, HolderActivity } from './holders.js';
import type { SpanSink } from './span-sink.js';
import type { CloseReason } from './statistics.js';

/** How a {@link Pool} is sized and timed. Everything is given: the layer above knows the defaults. Times in milliseconds. */
export interface PoolOptions {
  readonly name: string;
  /** Connections kept when idle. */
  readonly size: number;
  /** Extra connections under load, closed when given back and nobody waits. */
  readonly maxOverflow: number;
  /** Idle connections kept ready in the background; at most `size`. */
  readonly minIdle: number;
  /** One deadline over queue, dial and check. */
  readonly acquireTimeoutMs: number;
  /** One dial, set-up included. */
  readonly connectTimeoutMs: number;
  /** 0: never. */
  readonly idleTimeoutMs: number;
  /** 0: never. */
  readonly maxLifetimeMs: number;
  /** 0 to 1: the share of its lifetime by which a connection's own is shortened at random. */
  readonly lifetimeJitter: number;
  /** 0: never. */
  readonly maxUses: number;
  /** A connection idle for longer is checked before a lease; `Infinity`: none is for its idleness alone. */
  readonly pingAfterIdleMs: number;
  /** One check. */
  readonly pingTimeoutMs: number;
  /** Idle connections are pinged in the background; 0: never. */
  readonly keepAliveMs: number;
  /** A longer queue is refused. */
  readonly maxWaiting: number;
  /** Dials under way at once. */
  readonly maxConnecting: number;
  /** How many may share one connection when none is idle; 1: nobody does. */
  readonly sharedLimit: number;
  /** Connections that slow acquires leave to others while those come; 0: none, `undefined`: a tenth of all, rounded. */
  readonly quickReserve: number | undefined;
  /** A lease held longer is reported; 0: off. */
  readonly leakDetectionMs: number;
}

/**
 * What a connection is leased for. `held`: for as long as the borrower likes, who may forget it, so that it is watched
 * for leaks. `brief`: for one piece of work, after which it comes back by itself, so that a watch would cost and find
 * nothing. `shared`: the same, and others may use the connection at the same time. `slow`: as `brief`, for what is known to
 * take long: it leaves some connections to others. `own`: for a query of the pool itself: no hook of the user's runs for it.
 */
export type LeaseUse = 'held' | 'brief' | 'shared' | 'slow' | 'own';

/**
 * One acquire's own wishes.
 *
 * ```ts
 * const client = await pool.connect({ timeoutMs: 500, signal: AbortSignal.timeout(5_000) });
 * client.release();
 * ```
 */
export interface AcquireOptions {
  /** Its abort rejects the acquire with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /** Instead of the pool's `acquireTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
}

/** {@link AcquireOptions} with what the connection is for. */
export interface EngineAcquireOptions extends AcquireOptions {
  /** `held` by default. */
  readonly use?: LeaseUse | undefined;
  /** Whether a tracer listens to it, where that is known already: to ask takes time. */
  readonly traced?: boolean | undefined;
  /** Who acquires, where that was captured before; left out: whoever calls. */
  readonly origin?: AcquireOrigin | undefined;
  /** Whether it may have a connection on which the end of the last borrower's work isn't answered yet. */
  readonly follows?: boolean | undefined;
}

/** The part of a slot that observers see. */
export interface ObservedSlot {
  /** The connection's number in its pool. */
  readonly id: number;
  /** When it was opened, in milliseconds on the pool's clock. */
  readonly openedAt: number;
  /** Who holds it, as far as that is known. */
  readonly origin: AcquireOrigin | undefined;
}

/**
 * What happened, for whoever listens: metrics, logs, events. No method may throw. `acquired` is called in
 * the async context of the acquire; `released` in that of whoever gives back.
 */
export interface PoolObserver<T> {
  /** A connection was opened, in `durationMs`. */
  opened?(connection: T, durationMs: number, slot: ObservedSlot): void;
  /** A dial failed, after `durationMs`. */
  openFailed?(error: unknown, durationMs: number): void;
  /** Whether {@link acquired} has anything to do for an acquire that has waited so long; left out: always. */
  hearsAcquire?(waitMs: number): boolean;
  /** A lease was given out after `waitMs`. */
  acquired?(connection: T, waitMs: number, slot: ObservedSlot): void;
  /** A lease came back after `useMs`. */
  released?(connection: T, useMs: number, slot: ObservedSlot): void;
  /** A connection is being closed. */
  closed?(connection: T, reason: CloseReason, slot: ObservedSlot): void;
  /** A connection died by itself; `idle` tells whether nobody held it. */
  lost?(connection: T, error: Error | undefined, idle: boolean): void;
  /** A lease was held longer than `leakDetectionMs`, or `collected` by the garbage collector without release. */
  leaked?(report: LeakReport): void;
  /** A lease reported as leaked came back after all. */
  unleaked?(report: LeakReport): void;
}

/** A lease that was held too long. */
export interface LeakReport extends Acquirer {
  readonly connection: number;
  readonly heldMs: number;
  /** Whether the garbage collector found it: nobody can release it any more, its connection was destroyed. */
  readonly collected: boolean;
  readonly activity?: HolderActivity;
}

/** What a pool is made with besides its options. */
export interface PoolDependencies<T> {
  readonly clock?: Clock;
  /** 0 ≤ number < 1; for jitter. */
  readonly random?: () => number;
  readonly observer?: PoolObserver<T>;
  /** What a held connection does now; for error messages and snapshots. */
  readonly describe?: (connection: T) => HolderActivity;
  /** On whose behalf the present acquire is made. */
  readonly label?: () => string | undefined;
  /** Makes spans of acquires that wait. */
  readonly spans?: SpanSink | undefined;
  /** Numbers connections: pools that are shown as one have them in common. */
  readonly nextConnection?: () => number;
}

/** What `close()` did. */
export interface CloseReport {
  /** Whether every lease came back by itself. */
  readonly graceful: boolean;
  readonly durationMs: number;
  /** Waiters that were refused. */
  readonly refused: number;
  /** Who still held a connection at the deadline; those connections were destroyed. */
  readonly destroyed: readonly Holder[];
}
