import type { CloseReason } from './statistics.js';

/** What a connector is told when it opens a connection. */
export interface OpenContext {
  /** Aborted when the dial took too long or the pool closes: the connector destroys what is half open and rejects. */
  readonly signal: AbortSignal;
  /** To be called, once or more, when the connection has died by itself; from any state, also before `open` has resolved. */
  lost(error?: Error): void;
}

/** What a failed dial means. */
export interface DialFailure {
  /** Whether waiting doesn't heal it: a password that is refused, a database that doesn't exist. */
  readonly permanent: boolean;
  /** One sentence for whoever reads the log: what is wrong, and what to do. */
  readonly advice: string;
  /** The longest pause before the next dial, in milliseconds, where it may soon go well; the pool's own otherwise. */
  readonly longestPauseMs?: number;
}

/**
 * What the pool has to know about a kind of connection. No method may throw synchronously unless it says so.
 *
 * @typeParam T - the connection
 */
export interface Connector<T> {
  /** Opens one connection and sets it up. Rejects with the real error and leaves no socket behind. */
  open(context: OpenContext): Promise<T>;

  /** Explains why `open` was rejected; without it, every failure may heal by waiting. */
  explain?(error: unknown): DialFailure;

  /** Judges by state, at once: is it open, and is nothing of a former borrower left in it? */
  usable(connection: T): boolean;

  /** One round trip; rejects when the connection is dead. Without it, connections are never checked. */
  ping?(connection: T): Promise<void>;

  /** Runs before each lease (the user's `onAcquire`), in the async context of the acquire; may throw or reject: the connection is destroyed, the borrower sees the error. */
  prepare?(connection: T): void | Promise<void>;

  /**
   * Makes a returned connection fit for its next borrower. `undefined` at once means that it is fit already;
   * a reason means that it isn't and why it has to be closed. A rejection closes it with `reset`. `own`: the lease was
   * the pool's own, so that no borrower has left anything in it.
   */
  reset?(connection: T, own: boolean): CloseReason | undefined | Promise<CloseReason | undefined>;

  /**
   * Called when a borrower has sent the last thing that it will send, and somebody waits for a connection: makes this one
   * ready for a borrower whose work is answered behind that. `false`: it has to be given back first. Without it, every connection has.
   *
   * @param heldMs for how long its borrower had it.
   */
  handOn?(connection: T, heldMs: number): boolean;

  /** Whether one more borrower may join those that share a connection; without it, always. */
  shareable?(connection: T): boolean;

  /** Called when a connection turns idle, and when it stops to be. */
  parked?(connection: T, idle: boolean): void;

  /**
   * Closes a connection: politely, or at once. Called a second time with `false` when a polite close has to be
   * cut short. Resolves when its socket is gone.
   */
  close(connection: T, politely: boolean): Promise<void>;
}
