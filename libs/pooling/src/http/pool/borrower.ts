import type { AsyncResource } from 'node:async_hooks';
import type { Waiter } from '../../core/wait-queue.js';
import type { Connection } from './connection.js';
import type { Origin } from './origin.js';

/** All that the pool knows of those who want a connection: an exchange is one, and its own waiter. */
export interface Borrower extends Waiter {
  /** Replaced when its record has been forgotten meanwhile. */
  origin: Origin;
  readonly request: { readonly method: string; readonly origin: string };
  readonly timeouts: { readonly connectMs: number };
  /** The asynchronous context of whoever asked. */
  readonly context: AsyncResource;
  /** When it was made, on the clock's scale. */
  readonly startedAt: number;
  /** When it got its present connection, on the clock's scale. */
  readonly leasedAt: number;
  /** It stands in a queue now. */
  enqueued(phase: 'waiting' | 'connecting', now: number): void;
  /** It has a place; its socket is being opened. */
  promoted(now: number): void;
  /** It has a connection. */
  begin(connection: Connection, now: number): void;
  /** It gets no place. */
  refuse(error: Error): void;
  /** The socket that was opened for it could not be. */
  connectFailed(error: Error): void;
  /** The server left before it processed what was sent. */
  unprocessed(): void;
  /** Ends it with an error, wherever it stands. */
  fail(error: unknown): void;
}
