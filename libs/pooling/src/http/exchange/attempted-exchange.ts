import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import type { Timer } from '../../core/clock.js';
import { headerLines } from '../message/answer-headers.js';
import { headersByName } from '../message/headers.js';
import { wireBody } from '../message/request.js';
import type { OriginConnection } from '../pool/origin.js';
import type { HttpOutcome } from '../pool/statistics.js';
import type { Abortable } from './aborts.js';
import { asError } from './as-error.js';
import { Attempts } from './attempts.js';
import { ABOVE } from './exchange-host.js';
import { LeasedExchange } from './leased-exchange.js';
import { isTransient, retryAfterMs } from './retry.js';

/** The attempts of an exchange. Each one waits for a place within the limits; all share one total deadline. */
export abstract class AttemptedExchange extends LeasedExchange implements Abortable {
  /** Bytes of the body so far. */
  received = 0;
  protected expectedBytes = -1;
  /** The exchange below the interceptors that acts for this one. */
  #below: AttemptedExchange | undefined = undefined;
  /** Made when an attempt has failed. */
  #attempts: Attempts | undefined = undefined;
  protected nextDelayMs = 0;
  #pause: Timer | undefined = undefined;

  /** Whether the caller has seen something of the answer, so that it can't be replaced any more. */
  protected abstract get delivered(): boolean;

  /** Begins. Call it once. */
  start(): void {
    const { signal, composed } = this.policy;
    if (composed === undefined) this.origin.counters.requests++;
    this.origin.counters.retryBudget.request();
    const { body } = this.request;
    if (typeof body === 'object' && body !== null) this.ownBody(body);
    if (signal !== undefined) {
      if (signal.aborted) return this.settle(signal.reason, 'aborted');
      this.host.aborts.watch(signal, this);
    }
    this.#submit(this.startedAt);
  }

  fail(error: unknown, outcome: HttpOutcome = 'error'): void {
    const { phase, controller } = this;
    if (phase === 'done') return;
    const connection = this.connection;
    this.settle(error, outcome);
    if (phase === 'waiting' || phase === 'connecting') this.host.pool.withdraw(this);
    if (controller !== undefined) controller.abort(asError(error));
    else if (connection !== undefined && !connection.multiplexes) connection.destroy(asError(error));
    this.#below?.fail(error, outcome);
  }

  aborted(reason: unknown): void {
    this.fail(reason, 'aborted');
  }

  #submit(now: number): void {
    this.attemptAt = now;
    if (this.policy.composed !== undefined) return this.#submitAbove(this.policy.composed);
    this.host.pool.submit(this, now);
  }

  /** Sends the request through the interceptors. The exchange below them keeps the limits and all deadlines except the total one. */
  #submitAbove(composed: Dispatcher): void {
    this.phase = 'above';
    this.aboveInterceptors = true;
    this.arm(this.attemptAt);
    const { request } = this;
    try {
      this.context.runInAsyncScope(() => {
        const body = request.makeBody === undefined ? request.body : this.ownBody(wireBody(request.makeBody()));
        const headers = headersByName(request.headers);
        composed.dispatch({ ...request, headers, body, [ABOVE]: this } as Dispatcher.DispatchOptions, this.receiver);
      });
    } catch (error) {
      this.threw(error);
    }
  }

  /** The exchange below the interceptors that acts for this one. */
  adopt(below: AttemptedExchange): void {
    this.#below = below;
    below.actFor(this);
    if (this.phase === 'done') below.fail(new Error('the request was given up'), 'aborted');
  }

  /** Whether another attempt replaces this answer; sets the delay until then. */
  protected replaces(statusCode: number, headers: IncomingHttpHeaders): boolean {
    const { host, policy } = this;
    if (this.delivered || !host.pool.serving) return false;
    const { retry } = policy;
    if (retry !== false && retry.statusCodes.includes(statusCode)) {
      const atLeastMs = retryAfterMs(headerLines(headers, 'retry-after')[0], host.clock.wallNow());
      if (atLeastMs > host.maxRetryAfterMs) return false;
      const delayMs = this.attempts.retryDelay(this, retry, atLeastMs, host);
      this.nextDelayMs = delayMs ?? 0;
      return delayMs !== undefined;
    }
    const next = this.attempts.redirect(this.request, statusCode, headers, policy.redirects);
    if (next === undefined) return false;
    this.request = next;
    this.origin = host.pool.origins.of(next.origin);
    this.nextDelayMs = 0;
    return true;
  }

  protected get attempts(): Attempts {
    return (this.#attempts ??= new Attempts());
  }

  protected override attemptFailed(error: Error): void {
    this.phase = 'new';
    this.tries?.ends(error);
    const { retry } = this.policy;
    const open = this.host.pool.serving;
    const again = retry !== false && open && !this.delivered && isTransient(error);
    const delayMs = again ? this.attempts.retryDelay(this, retry, 0, this.host) : undefined;
    if (delayMs === undefined) this.settle(error, 'error');
    else this.again(delayMs);
  }

  /** The next attempt, later; never in undici's own callback, which may not be ready for it. */
  protected again(delayMs: number): void {
    this.phase = 'pausing';
    this.tries?.ends(undefined);
    this.#startOver();
    // A function makes the next body, or a redirect has dropped it.
    if (this.request.body === null) this.body?.release();
    const { host } = this;
    host.pausing.add(this);
    const go = (): void => {
      this.#pause = undefined;
      if (this.phase !== 'pausing') return;
      host.pausing.delete(this);
      this.phase = 'new';
      this.#submit(host.clock.now());
    };
    if (delayMs === 0) queueMicrotask(go);
    else this.#pause = host.clock.setTimeout(go, Math.ceil(delayMs));
    this.arm(host.clock.now());
  }

  /** Sends the same attempt over another connection, ahead of requests that came later. */
  protected replay(stale: OriginConnection | undefined, error: Error): void {
    const { host, origin } = this;
    const now = host.clock.now();
    origin.counters.replays++;
    this.tries?.ends(error);
    if (stale !== undefined) host.pool.connections.suspect(stale);
    this.#startOver();
    this.attemptAt = now;
    host.pool.requeue(this, now);
  }

  #startOver(): void {
    this.elsewhere = true;
    this.statusCode = 0;
    this.received = 0;
    this.expectedBytes = -1;
  }

  protected override cleanUp(): void {
    const { host, policy } = this;
    if (policy.signal !== undefined) host.aborts.forget(policy.signal, this);
    if (this.#pause !== undefined) host.clock.clearTimeout(this.#pause);
    host.pausing.delete(this);
    this.body?.release();
  }
}
