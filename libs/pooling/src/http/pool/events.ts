import type { AsyncResource } from 'node:async_hooks';
import {
  acquireChannel,
  closeChannel,
  connectChannel,
  leakChannel,
  releaseChannel,
  requestChannel,
  timeoutChannel,
} from '../../core/diagnostics.js';
import type { HttpTimeoutPhase } from '../../core/errors.js';
import type { HttpCloseReason, HttpOutcome } from './statistics.js';

/** The origin of an event. */
interface Subject {
  readonly counters: { readonly origin: string };
}

/** An origin that has connections. */
interface Connected extends Subject {
  readonly key: string;
}

/** A request that has ended. */
interface Leak {
  readonly unreadMs: number | undefined;
  readonly stack: string;
}

interface Finished {
  readonly origin: Subject;
  readonly request: { readonly method: string };
  readonly context: AsyncResource;
}

/** Told of connections by origin. */
export interface SocketListener {
  opened(origin: string): void;
  closed(origin: string, error: Error): void;
  failed(origin: string, error: Error): void;
}

/** Publishes the events of an HTTP client on the channels of `core/diagnostics`. No event is made when nobody listens. */
export class HttpEvents {
  /** The listener that makes the events of undici's dispatchers. */
  sockets: SocketListener | undefined = undefined;

  constructor(private readonly client: string) {}

  #source(origin: Subject): { kind: 'http'; pool: string; origin: string } {
    return { kind: 'http', pool: this.client, origin: origin.counters.origin };
  }

  // Written out, because a spread costs more than the rest.
  acquired({ counters: { origin } }: Subject, waitMs: number): void {
    if (acquireChannel.hasSubscribers) acquireChannel.publish({ kind: 'http', pool: this.client, origin, waitMs });
  }

  /** Published in the context of the request that had the connection. */
  released({ counters: { origin } }: Subject, useMs: number, context: AsyncResource): void {
    if (!releaseChannel.hasSubscribers) return;
    const message = { kind: 'http' as const, pool: this.client, origin, useMs };
    context.runInAsyncScope(() => releaseChannel.publish(message));
  }

  connected(origin: Connected, durationMs: number): void {
    this.sockets?.opened(origin.key);
    if (connectChannel.hasSubscribers) connectChannel.publish({ ...this.#source(origin), durationMs });
  }

  /** `error` is `undefined` when the dial took too long. */
  connectFailed(origin: Connected, durationMs: number, error: Error | undefined): void {
    const reason = error ?? new Error('the dial took too long');
    this.sockets?.failed(origin.key, reason);
    if (connectChannel.hasSubscribers) connectChannel.publish({ ...this.#source(origin), durationMs, error: reason });
  }

  closed(origin: Connected, reason: HttpCloseReason, ageMs: number): void {
    this.sockets?.closed(origin.key, new Error(`the connection was closed: ${reason}`));
    if (closeChannel.hasSubscribers) closeChannel.publish({ ...this.#source(origin), reason, ageMs });
  }

  timedOut(origin: Subject, phase: HttpTimeoutPhase, error: Error): void {
    if (timeoutChannel.hasSubscribers) timeoutChannel.publish({ ...this.#source(origin), phase, error });
  }

  leaked(origin: Subject, { unreadMs, stack }: Leak): void {
    if (!leakChannel.hasSubscribers) return;
    const held = unreadMs === undefined ? undefined : { heldMs: unreadMs };
    leakChannel.publish({ ...this.#source(origin), ...held, collected: unreadMs === undefined, stack });
  }

  /** Published in the context of the request, wherever its end was noticed. */
  finished(request: Finished, outcome: HttpOutcome, durationMs: number): void {
    if (!requestChannel.hasSubscribers) return;
    const { origin } = request.origin.counters;
    const { method } = request.request;
    const message = { kind: 'http' as const, pool: this.client, origin, method, outcome, durationMs };
    request.context.runInAsyncScope(() => requestChannel.publish(message));
  }
}
