import { channel, type Channel } from 'node:diagnostics_channel';
import type { HttpTimeoutPhase } from './errors.js';

/** What is published when a pool is made. */
export interface PoolCreated {
  readonly name: string;
  /** `host:port/database` */
  readonly server: string;
}

/** Whom an event is about. */
export interface PoolEventSource {
  readonly kind: 'database' | 'http';
  /** The name of the pool or client. */
  readonly pool: string;
  /** HTTP: `https://host:port`, or `other` for all origins past the first hundred. */
  readonly origin?: string;
  /** Database: identifies the connection within its pool, as in `holders()`. */
  readonly connection?: number;
}

/** `nestjs-pooling:acquire`: a connection was lent. */
export interface PoolAcquireEvent extends PoolEventSource {
  /** From the acquire to the lease, in milliseconds. */
  readonly waitMs: number;
  /** On whose behalf, where that is known. */
  readonly label?: string;
}

/** `nestjs-pooling:release`: a connection came back. */
export interface PoolReleaseEvent extends PoolEventSource {
  /** From the lease to the release, in milliseconds. */
  readonly useMs: number;
}

/** `nestjs-pooling:connect`: a connection was opened, or could not be. */
export interface PoolConnectEvent extends PoolEventSource {
  /** How long the dial took, in milliseconds. */
  readonly durationMs: number;
  /** Why there is no connection; left out when there is one. */
  readonly error?: unknown;
}

/** `nestjs-pooling:close`: a connection is being closed. */
export interface PoolCloseEvent extends PoolEventSource {
  /** A `CloseReason`, or an `HttpCloseReason`. */
  readonly reason: string;
  /** How old it became, in milliseconds. */
  readonly ageMs: number;
}

/**
 * `nestjs-pooling:timeout`: something took longer than it may.
 *
 * ```ts
 * import { subscribe } from 'node:diagnostics_channel';
 *
 * subscribe('nestjs-pooling:timeout', (message) => {
 *   const { pool, phase, error } = message as PoolTimeoutEvent;
 *   console.error(`${pool}: ${phase}`, error);
 * });
 * ```
 */
export interface PoolTimeoutEvent extends PoolEventSource {
  /** Database: `acquire`, or `query` for `queryTimeoutMs`. HTTP: the error's own. */
  readonly phase: HttpTimeoutPhase | 'query';
  /** What the caller gets. */
  readonly error: Error;
}

/** `nestjs-pooling:leak`: a lease, or the body of a streamed answer, is held by nobody who uses it. */
export interface PoolLeakEvent extends PoolEventSource {
  /** For how long, in milliseconds; left out when a body was dropped and collected. */
  readonly heldMs?: number;
  /** Whether the garbage collector found it. */
  readonly collected: boolean;
  readonly label?: string;
  /** The stack of the acquire, or of the request. */
  readonly stack?: string;
}

/**
 * `nestjs-pooling:request`: an HTTP exchange has ended, whatever its outcome.
 *
 * ```ts
 * import { subscribe } from 'node:diagnostics_channel';
 *
 * subscribe('nestjs-pooling:request', (message) => {
 *   const { pool, origin, method, outcome, durationMs } = message as HttpRequestEvent;
 *   console.log(pool, method, origin, outcome, `${durationMs} ms`);
 * });
 * ```
 */
export interface HttpRequestEvent extends PoolEventSource {
  /** As it was asked for. */
  readonly method: string;
  /** The status code, or why there is none. */
  readonly outcome: number | 'error' | 'timeout' | 'aborted';
  /** With queueing, retries and the body, in milliseconds. */
  readonly durationMs: number;
}

/** A channel of one kind of message; without a subscriber it costs one look at a flag. */
export interface EventChannel<Event> {
  readonly hasSubscribers: boolean;
  publish(event: Event): void;
  subscribe(listener: (event: Event) => void): void;
  unsubscribe(listener: (event: Event) => void): void;
}

function eventChannel<Event>(name: string): EventChannel<Event> {
  return channel(`nestjs-pooling:${name}`) as Channel as EventChannel<Event>;
}

/** A pool to a database was made. */
export const poolChannel = eventChannel<PoolCreated>('pool');
export const acquireChannel = eventChannel<PoolAcquireEvent>('acquire');
export const releaseChannel = eventChannel<PoolReleaseEvent>('release');
export const connectChannel = eventChannel<PoolConnectEvent>('connect');
export const closeChannel = eventChannel<PoolCloseEvent>('close');
export const timeoutChannel = eventChannel<PoolTimeoutEvent>('timeout');
export const leakChannel = eventChannel<PoolLeakEvent>('leak');
export const requestChannel = eventChannel<HttpRequestEvent>('request');
