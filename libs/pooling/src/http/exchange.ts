import { AsyncResource } from 'node:async_hooks';
import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { Readable } from 'node:stream';
import { inspect, type InspectOptions } from 'node:util';
import type { Dispatcher } from 'undici';
import type { Timer } from '../core/clock.js';
import { Deadline } from '../core/deadlines.js';
import { Waiter } from '../core/wait-queue.js';
import type { Abortable } from './aborts.js';
import { Attempts } from './attempts.js';
import type { Connection } from './connection.js';
import { ABOVE, type ExchangeHost, type ExchangePhase, type ExchangePolicy } from './exchange-host.js';
import { NEVER_STARTED } from './never-started.js';
import type { ResolvedHttpTimeouts } from './options.js';
import type { Origin } from './origin.js';
import { wireBody, type WireRequest } from './request.js';
import { tooLargeError } from './refusals.js';
import { isTransient, retryAfterMs } from './retry.js';
import type { HttpOutcome } from './statistics.js';
import { nextDue, overdueOf, timeoutError, type Timed } from './timeouts.js';

/** The body of an answer that is replaced is read to keep the socket, up to this many bytes; a longer one isn't worth it. */
const DISCARD_BYTES = 65_536;

class ExchangeDeadline extends Deadline {
  constructor(readonly exchange: Exchange) {
    super();
  }

  override expire(): void {
    this.exchange.deadlineReached();
  }
}

/**
 * One request and its answer, over all its attempts: undici's handler, the deadlines and the place in the queue in
 * one object. What becomes of the answer is up to the subclass. Each attempt enters the limits anew; all of them
 * share one total deadline.
 */
export abstract class Exchange extends Waiter implements Dispatcher.DispatchHandler, Abortable, Timed {
  phase: ExchangePhase = 'new';
  statusCode = 0;
  /** Bytes of the body so far. */
  received = 0;
  protected controller: Dispatcher.DispatchController | undefined = undefined;
  /** The clock's time of the last byte or of the request; what `readMs` counts from. */
  lastReadAt = 0;
  /** Since when the consumer has taken nothing more, on the clock's scale; `Infinity` while it does. */
  unreadSince = Infinity;
  readonly startedAt: number;
  readonly #deadline = new ExchangeDeadline(this);
  readonly totalAt: number;
  #dueAt = Infinity;
  attemptAt = 0;
  sentAt = 0;
  /** When it got its present connection. */
  leasedAt = 0;
  #connection: Connection | undefined;
  /** The exchange below the interceptors that acts for this one. */
  #below: Exchange | undefined;
  /** The caller's asynchronous context: what is sent later is sent from somebody else's. */
  readonly #context = new AsyncResource('HttpRequest');
  /** Whether the caller's context was left. */
  #elsewhere = false;
  #expectedBytes = -1;
  /** Whether an attempt above the interceptors is under way. */
  #above = false;
  /** Made for the first thing that goes wrong. */
  #attempts: Attempts | undefined;
  #nextDelayMs = 0;
  #pause: Timer | undefined;

  constructor(
    protected readonly host: ExchangeHost,
    public origin: Origin,
    public request: WireRequest,
    protected readonly policy: ExchangePolicy,
  ) {
    super();
    this.startedAt = host.clock.now();
    const { totalMs } = policy.timeouts;
    this.totalAt = totalMs === 0 ? Infinity : this.startedAt + totalMs;
  }

  /** The answer that the caller gets begins. */
  protected abstract answered(headers: IncomingHttpHeaders, statusText: string | undefined): void;
  /** A piece of its body. */
  protected abstract receivedBody(chunk: Buffer): void;
  /** It is complete. */
  protected abstract ended(trailers: IncomingHttpHeaders): void;
  /** There is none, or no more of it. */
  protected abstract failed(error: unknown): void;
  /** Whether the caller has seen something of the answer, so that it can't be replaced any more. */
  protected abstract get delivered(): boolean;

  get timeouts(): ResolvedHttpTimeouts {
    return this.policy.timeouts;
  }

  get #underWay(): boolean {
    return this.phase !== 'done';
  }

  /** What a logger may write: a request's headers, body and query may hold secrets. */
  toJSON(): Record<string, unknown> {
    const { method, origin, path } = this.request;
    const url = `${origin}${path.split('?', 1)[0]}`;
    return { client: this.host.name, method, url, phase: this.phase, statusCode: this.statusCode || undefined };
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    return `${this.constructor.name} ${inspect(this.toJSON(), options)}`;
  }

  /** Begins. Call it once. */
  start(): void {
    const { signal, composed } = this.policy;
    if (composed === undefined) this.origin.counters.requests++;
    this.origin.counters.retryBudget.request();
    if (signal !== undefined) {
      if (signal.aborted) return this.#settle(signal.reason, 'aborted');
      this.host.aborts.watch(signal, this);
    }
    this.#submit(this.startedAt);
  }

  /** Ends the exchange with an error, wherever it stands. Its connection, if it has one, is closed. */
  fail(error: unknown, outcome: HttpOutcome = 'error'): void {
    const { phase, controller } = this;
    if (phase === 'done') return;
    const connection = this.#connection;
    this.#settle(error, outcome);
    if (phase === 'waiting' || phase === 'connecting') this.host.connector.withdraw(this);
    if (controller !== undefined) controller.abort(asError(error));
    else if (connection !== undefined && connection.capacity === 1) connection.destroy(asError(error));
    this.#below?.fail(error, outcome);
  }

  aborted(reason: unknown): void {
    this.fail(reason, 'aborted');
  }

  // What the connector calls

  /** The exchange stands in a queue now. */
  enqueued(phase: 'waiting' | 'connecting', now: number): void {
    this.phase = phase;
    this.#elsewhere = true;
    this.#arm(now);
  }

  /** The exchange has a place; its socket is being opened. */
  promoted(now: number): void {
    this.phase = 'connecting';
    this.#arm(now);
  }

  /** The exchange has a connection. */
  begin(connection: Connection, now: number): void {
    const waitedMs = now - this.attemptAt;
    this.origin.counters.acquire.record(waitedMs);
    this.host.acquire.record(waitedMs);
    this.host.events.acquired(this.origin, waitedMs);
    this.leasedAt = now;
    this.phase = 'sent';
    this.#connection = connection;
    this.sentAt = now;
    this.lastReadAt = now;
    this.#arm(now);
    const { request } = this;
    let options: Dispatcher.DispatchOptions = request;
    try {
      const { makeBody } = request;
      if (makeBody !== undefined) {
        options = { ...request, body: this.#context.runInAsyncScope(() => wireBody(makeBody())) };
      }
    } catch (error) {
      // Nothing was sent; the connection serves the next.
      this.#settle(error, 'error');
      this.#giveBackSoon();
      return;
    }
    if (this.#elsewhere) this.#context.runInAsyncScope(() => connection.dispatch(options, this));
    else connection.dispatch(options, this);
  }

  /** The exchange gets no place. */
  refuse(error: Error): void {
    this.#settle(error, 'error');
  }

  /** The socket that was opened for the exchange could not be. */
  connectFailed(error: Error): void {
    this.phase = 'new';
    this.#retryOrFail(error);
  }

  // What undici calls

  onRequestStart(controller: Dispatcher.DispatchController, _context: unknown): void {
    if (this.phase !== 'sent' && this.phase !== 'above') {
      controller.abort(new Error('the request was given up'));
      return;
    }
    this.controller = controller;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void {
    this.lastReadAt = this.host.clock.now();
    if (statusCode < 200 || (this.phase !== 'sent' && this.phase !== 'above')) return;
    this.statusCode = statusCode;
    this.#connection?.heed(headers, this.host.keepAliveMs);
    if (statusCode >= 300 && this.#replaces(statusCode, headers)) {
      if (this.#underWay) this.phase = 'discarding';
      return;
    }
    this.phase = 'reading';
    const length = headers['content-length'];
    this.#expectedBytes = length === undefined ? -1 : Number(length);
    const { maxResponseBytes } = this.policy;
    if (maxResponseBytes > 0 && this.#expectedBytes > maxResponseBytes && this.request.method !== 'HEAD') {
      return this.fail(tooLargeError(this.host.name, this.request, this.statusCode, maxResponseBytes));
    }
    this.answered(headers, statusText);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.received += chunk.length;
    // The last piece ends the exchange in the same tick: its time is of no use.
    if (this.received !== this.#expectedBytes) this.lastReadAt = this.host.clock.now();
    if (this.phase === 'discarding') {
      if (this.received > DISCARD_BYTES) controller.abort(new Error('the answer is replaced'));
      return;
    }
    if (this.phase !== 'reading') return;
    const { maxResponseBytes } = this.policy;
    if (maxResponseBytes > 0 && this.received > maxResponseBytes)
      return this.fail(tooLargeError(this.host.name, this.request, this.statusCode, maxResponseBytes));
    this.receivedBody(chunk);
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    const { phase } = this;
    const now = this.host.clock.now();
    this.#giveBack(true, 'not-kept', now);
    if (phase === 'discarding') return this.#again(this.#nextDelayMs);
    if (phase !== 'reading') return;
    this.#complete(trailers, now);
  }

  onResponseError(controller: Dispatcher.DispatchController | null | undefined, error: Error): void {
    const connection = this.#connection;
    if (connection === undefined && !this.#above) return;
    const another = controller && controller !== this.controller && controller !== NEVER_STARTED;
    if (this.controller !== undefined && another) return;
    const { phase } = this;
    const sent = this.controller !== undefined;
    const alive = connection !== undefined && !connection.gone && !connection.socket.destroyed;
    // One that was given up before it was sent was closed for that, although undici says so first.
    const healthy = alive && (connection.capacity > 1 || (!sent && phase !== 'done'));
    const stale = connection !== undefined && !alive && (!sent || (connection.served > 1 && phase === 'sent'));
    const aborted = phase === 'done' || phase === 'discarding' || controller?.aborted === true;
    // A healthy one serves the next at once, which undici isn't ready for in its own error callback.
    if (healthy) this.#giveBackSoon();
    else this.#giveBack(false, aborted ? 'aborted' : 'peer');
    if (phase === 'done') return;
    if (phase === 'discarding') return this.#again(this.#nextDelayMs);
    if (aborted) return this.#settle(error, 'aborted');
    // undici reports a peer that closed while the consumer was slow, though every byte had come.
    if (phase === 'reading' && this.received === this.#expectedBytes && isTransient(error)) {
      return this.#complete({}, this.host.clock.now());
    }
    const open = !this.delivered && this.host.connector.state === 'open';
    if (
      stale &&
      open &&
      (!sent || isTransient(error)) &&
      (this.#attempts ??= new Attempts()).replay(this.request, sent)
    ) {
      this.origin.counters.replays++;
      this.host.connector.suspect(connection);
      return this.#again(0);
    }
    this.phase = 'new';
    this.#retryOrFail(error);
  }

  onRequestUpgrade(
    _controller: Dispatcher.DispatchController,
    _statusCode: number,
    _headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    socket.destroy();
    this.fail(new Error('the answer switches protocols, which was not asked for'));
  }

  /** Hands the socket of an upgrade over; the place within the limits is kept until the socket is closed. */
  protected handOver(statusCode: number, socket: Duplex): void {
    this.statusCode = statusCode;
    socket.once('close', () => this.#giveBack(false, 'not-kept'));
    this.#settle(undefined, statusCode);
  }

  // Deadlines

  /** The exchange's deadline has come; which of them, only the clock tells. */
  deadlineReached(): void {
    const now = this.host.clock.now();
    if (this.phase === 'sent' && this.#uploading()) this.lastReadAt = this.sentAt = now;
    // A handler behind the dispatcher pauses without saying so.
    if (this.unreadSince === Infinity && this.controller?.paused === true) this.lastReadAt = now;
    const overdue = overdueOf(this, now);
    if (overdue === undefined) return this.#arm(now);
    if (overdue === 'unread') {
      this.unread(now - this.unreadSince);
      this.#arm(now);
      return;
    }
    this.origin.counters.timeouts[overdue]++;
    const error = timeoutError(this.host, this, overdue, now);
    this.host.events.timedOut(this.origin, overdue, error);
    this.fail(error, 'timeout');
  }

  /** The consumer has taken nothing for this long, in milliseconds; called once each time it stops. */
  protected unread(_forMs: number): void {}

  /** How long the consumer may take nothing before that is reported, in milliseconds; 0: it isn't. */
  get unreadAfterMs(): number {
    return 0;
  }

  /** Sees to it that the wheel calls when the next thing is due. A call that comes too early costs less than moving it. */
  #arm(now: number): void {
    const due = nextDue(this);
    if (due === Infinity) return;
    const { deadlines } = this.host;
    if (this.#deadline.slot !== undefined) {
      if (this.#dueAt <= due) return;
      deadlines.clear(this.#deadline);
    }
    this.#dueAt = due;
    deadlines.set(this.#deadline, due - now);
  }

  /** The consumer stopped or went on; the deadlines follow. */
  protected rearm(now: number): void {
    if (this.phase !== 'done') this.#arm(now);
  }

  /** Whether the request itself is still being written, which no time-out but the total limits. */
  #uploading(): boolean {
    const { body } = this.request;
    if (body instanceof Readable && !body.readableEnded && !body.destroyed) return true;
    return (this.#connection?.socket.writableLength ?? 0) > 0;
  }

  // Attempts

  #submit(now: number): void {
    this.attemptAt = now;
    if (this.policy.composed !== undefined) return this.#submitAbove(this.policy.composed);
    this.host.connector.submit(this, now);
  }

  /** Sends the request through the interceptors; the exchange below them has the limits and the deadlines but the total one. */
  #submitAbove(composed: Dispatcher): void {
    this.phase = 'above';
    this.#above = true;
    this.#arm(this.attemptAt);
    const { request } = this;
    try {
      this.#context.runInAsyncScope(() => {
        const body = request.makeBody === undefined ? request.body : wireBody(request.makeBody());
        const options = { ...request, body, [ABOVE]: this };
        composed.dispatch(options, this);
      });
    } catch (error) {
      this.fail(error);
    }
  }

  /** The exchange below the interceptors that acts for this one. */
  adopt(below: Exchange): void {
    this.#below = below;
    if (this.phase === 'done') below.fail(new Error('the request was given up'), 'aborted');
  }

  /** Whether this answer is replaced by another attempt; if so, when is decided. */
  #replaces(statusCode: number, headers: IncomingHttpHeaders): boolean {
    if (this.delivered || this.host.connector.state !== 'open') return false;
    const { retry } = this.policy;
    if (retry !== false && retry.statusCodes.includes(statusCode)) {
      const atLeastMs = retryAfterMs(headers['retry-after'], this.host.clock.wallNow());
      const delayMs = (this.#attempts ??= new Attempts()).retryDelay(this, retry, atLeastMs, this.host);
      this.#nextDelayMs = delayMs ?? 0;
      return delayMs !== undefined;
    }
    let next: WireRequest | undefined;
    try {
      next = (this.#attempts ??= new Attempts()).redirect(this.request, statusCode, headers, this.policy.redirects);
    } catch (refusal) {
      this.fail(refusal);
      return true;
    }
    if (next === undefined) return false;
    this.request = next;
    this.origin = this.host.connector.origins.of(next.origin);
    this.#nextDelayMs = 0;
    return true;
  }

  #retryOrFail(error: Error): void {
    const { retry } = this.policy;
    const open = this.host.connector.state === 'open';
    const again = retry !== false && open && !this.delivered && isTransient(error);
    const delayMs = again ? (this.#attempts ??= new Attempts()).retryDelay(this, retry, 0, this.host) : undefined;
    if (delayMs === undefined) this.#settle(error, 'error');
    else this.#again(delayMs);
  }

  /** The next attempt, later; never in undici's own callback, which may not be ready for it. */
  #again(delayMs: number): void {
    this.phase = 'pausing';
    this.#elsewhere = true;
    this.statusCode = 0;
    this.received = 0;
    this.#expectedBytes = -1;
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
    this.#arm(host.clock.now());
  }

  // The end

  #giveBack(healthy: boolean, reason: 'not-kept' | 'aborted' | 'peer', now = this.host.clock.now()): void {
    const connection = this.#connection;
    this.#above = false;
    this.#connection = undefined;
    this.controller = undefined;
    if (connection === undefined) return;
    this.host.connector.release(connection, this, healthy, reason, now);
  }

  /** The same for a healthy connection, after the current callback. */
  #giveBackSoon(): void {
    const connection = this.#connection as Connection;
    this.#connection = undefined;
    this.controller = undefined;
    queueMicrotask(() => this.host.connector.release(connection, this, true, 'not-kept', this.host.clock.now()));
  }

  #complete(trailers: IncomingHttpHeaders, now: number): void {
    this.#settle(undefined, this.statusCode, now);
    this.ended(trailers);
  }

  #settle(error: unknown, outcome: HttpOutcome, now = this.host.clock.now()): void {
    const { host, policy, request } = this;
    this.phase = 'done';
    host.deadlines.clear(this.#deadline);
    if (policy.signal !== undefined) host.aborts.forget(policy.signal, this);
    if (this.#pause !== undefined) host.clock.clearTimeout(this.#pause);
    host.pausing.delete(this);
    if (policy.composed === undefined) {
      this.origin.counters.finished(request.method, outcome, now - this.startedAt);
      host.events.finished(this.origin, request.method, outcome, now - this.startedAt);
    }
    if (typeof outcome === 'number') return;
    if (request.body instanceof Readable) request.body.destroy();
    this.failed(error);
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
