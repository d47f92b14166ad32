import type { AsyncResource } from 'node:async_hooks';
import {
  acquireChannel,
  closeChannel,
  connectChannel,
  leakChannel,
  releaseChannel,
  requestChannel,
  timeoutChannel,
} from '../core/diagnostics.js';
import type { HttpTimeoutPhase } from '../core/errors.js';
import type { HttpCloseReason, HttpOutcome } from './statistics.js';
import type { HttpLeakReport } from './streamed-exchange.js';

/** What an event of an HTTP client is about. */
interface Subject {
  readonly counters: { readonly origin: string };
}

/** A request that has ended. */
interface Finished {
  readonly origin: Subject;
  readonly request: { readonly method: string };
  readonly context: AsyncResource;
}

/** Tells what happens in an HTTP client on the channels of `core/diagnostics`; nothing is made when nobody listens. */
export class HttpEvents {
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

  connected(origin: Subject, durationMs: number): void {
    if (connectChannel.hasSubscribers) connectChannel.publish({ ...this.#source(origin), durationMs });
  }

  /** `error` is `undefined` when the dial took too long. */
  connectFailed(origin: Subject, durationMs: number, error: Error | undefined): void {
    if (!connectChannel.hasSubscribers) return;
    connectChannel.publish({
      ...this.#source(origin),
      durationMs,
      error: error ?? new Error('the dial took too long'),
    });
  }

  closed(origin: Subject, reason: HttpCloseReason, ageMs: number): void {
    if (closeChannel.hasSubscribers) closeChannel.publish({ ...this.#source(origin), reason, ageMs });
  }

  timedOut(origin: Subject, phase: HttpTimeoutPhase, error: Error): void {
    if (timeoutChannel.hasSubscribers) timeoutChannel.publish({ ...this.#source(origin), phase, error });
  }

  leaked(origin: Subject, { unreadMs, stack }: HttpLeakReport): void {
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
