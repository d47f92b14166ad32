import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { inspect, type InspectOptions } from 'node:util';
import type { Dispatcher } from 'undici';
import type { Timer } from '../../core/clock.js';
import type { Abortable } from './aborts.js';
import { contentLengthOf, hasNoBody, headerLines } from '../message/answer-headers.js';
import { Attempts } from './attempts.js';
import type { OriginConnection } from '../pool/origin.js';
import { endedByPeer, markBrokenOff, nameConnectionError } from '../pool/connection-errors.js';
import { contentCodings, type ContentCoding } from '../message/decompress.js';
import { headersByName } from '../message/headers.js';
import { ABOVE } from './exchange-host.js';
import { NEVER_STARTED } from './never-started.js';
import { showText } from '../../core/shown-text.js';
import { wireBody } from '../message/request.js';
import { shownRequestUrl } from '../message/shown-url.js';
import { tellUnsent } from './request-channels.js';
import { isIterableStream, iterableOf, RequestBody } from '../message/request-body.js';
import { tooLargeError, warnOfThrow } from '../pool/refusals.js';
import { isTransient, retryAfterMs } from './retry.js';
import type { HttpOutcome } from '../pool/statistics.js';
import { TimedExchange } from './timed-exchange.js';
import { verdict } from './verdict.js';

/** The body of an answer that is replaced is read to keep the socket, up to this many bytes; a longer one isn't worth it. */
const DISCARD_BYTES = 65_536;

/**
 * One request and its answer, over all its attempts: undici's handler, the deadlines and the place in the queue in
 * one object. What becomes of the answer is up to the subclass. Each attempt enters the limits anew; all of them
 * share one total deadline. Whatever throws in a callback, at any moment, ends the exchange with that error.
 */
export abstract class Exchange extends TimedExchange implements Dispatcher.DispatchHandler, Abortable {
  statusCode = 0;
  /** Bytes of the body so far. */
  received = 0;
  /** When it got its present connection. */
  leasedAt = 0;
  #connection: OriginConnection | undefined = undefined;
  /** The exchange below the interceptors that acts for this one. */
  #below: Exchange | undefined = undefined;
  /** The exchange above the interceptors for which this one acts. */
  #actsFor: Exchange | undefined = undefined;
  /** Whether the caller's context was left. */
  #elsewhere = false;
  #expectedBytes = -1;
  /** How many bytes may come over the wire; 0: any number. */
  #maxBytes = 0;
  /** Whether an attempt above the interceptors is under way. */
  #above = false;
  /** Whether the subclass was told that there is no answer, or no more of it. */
  #toldFailure = false;
  /** Made for a body that can fail or needs to be ended. */
  #body: RequestBody | undefined = undefined;
  /** Made for the first thing that goes wrong. */
  #attempts: Attempts | undefined = undefined;
  #nextDelayMs = 0;
  #pause: Timer | undefined = undefined;

  /** The answer that the caller gets begins; `codings` are those to be undone. */
  protected abstract answered(
    headers: IncomingHttpHeaders,
    statusText: string | undefined,
    codings: readonly ContentCoding[] | undefined,
  ): void;
  /** A piece of its body. */
  protected abstract receivedBody(chunk: Buffer): void;
  /** It is complete. */
  protected abstract ended(trailers: IncomingHttpHeaders): void;
  /** There is none, or no more of it. */
  protected abstract failed(error: unknown): void;
  /** Whether the caller has seen something of the answer, so that it can't be replaced any more. */
  protected abstract get delivered(): boolean;

  /** Whether the answer is decoded before the caller gets it. */
  protected get decodes(): boolean {
    return false;
  }

  /** How many decoded bytes the answer may have where nothing was said of it; 0: any number. */
  protected get usualMaxBytes(): number {
    return 0;
  }

  /** What undici tells of an attempt. */
  protected get receiver(): Dispatcher.DispatchHandler {
    return this;
  }

  /** undici takes the request now. */
  protected started(_controller: Dispatcher.DispatchController, _context: unknown): void {}

  /** An interim answer (1xx). */
  protected informed(_statusCode: number, _headers: IncomingHttpHeaders, _statusText: string | undefined): void {}

  /** What a logger may write: a request's headers, body and query may hold secrets. */
  toJSON(): Record<string, unknown> {
    const { method } = this.request;
    const url = shownRequestUrl(this.request);
    return {
      client: this.host.name,
      method: showText(method),
      url,
      phase: this.phase,
      statusCode: this.statusCode || undefined,
    };
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    return `${this.constructor.name} ${inspect(this.toJSON(), options)}`;
  }

  /** Begins. Call it once. */
  start(): void {
    const { signal, composed } = this.policy;
    if (composed === undefined) this.origin.counters.requests++;
    this.origin.counters.retryBudget.request();
    const { body } = this.request;
    if (typeof body === 'object' && body !== null) this.#ownBody(body);
    if (signal !== undefined) {
      if (signal.aborted) return this.#settle(signal.reason, 'aborted');
      this.host.aborts.watch(signal, this);
    }
    this.#submit(this.startedAt);
  }

  fail(error: unknown, outcome: HttpOutcome = 'error'): void {
    const { phase, controller } = this;
    if (phase === 'done') return;
    const connection = this.#connection;
    this.#settle(error, outcome);
    if (phase === 'waiting' || phase === 'connecting') this.host.pool.withdraw(this);
    if (controller !== undefined) controller.abort(asError(error));
    else if (connection !== undefined && !connection.multiplexes) connection.destroy(asError(error));
    this.#below?.fail(error, outcome);
  }

  aborted(reason: unknown): void {
    this.fail(reason, 'aborted');
  }

  // What the pool calls

  /** The exchange stands in a queue now. */
  enqueued(phase: 'waiting' | 'connecting', now: number): void {
    this.phase = phase;
    this.#elsewhere = true;
    this.arm(now);
  }

  /** The exchange has a place; its socket is being opened. */
  promoted(now: number): void {
    this.phase = 'connecting';
    this.arm(now);
  }

  /** The exchange has a connection. */
  begin(connection: OriginConnection, now: number): void {
    if (this.#elsewhere) this.context.runInAsyncScope(this.#begin, this, connection, now);
    else this.#begin(connection, now);
  }

  #begin(connection: OriginConnection, now: number): void {
    const waitedMs = now - this.attemptAt;
    this.origin.counters.acquire.record(waitedMs);
    this.host.acquire.record(waitedMs);
    this.host.events.acquired(this.origin, waitedMs);
    this.leasedAt = now;
    this.phase = 'sent';
    this.#connection = connection;
    this.sentAt = now;
    this.lastReadAt = now;
    this.arm(now);
    try {
      connection.dispatch(this.#options(connection), this.receiver);
    } catch (error) {
      // Nothing was sent; the connection serves the next.
      if (this.#connection === connection) this.#giveBackSoon();
      this.threw(error);
    }
  }

  /** The exchange gets no place. */
  refuse(error: Error): void {
    this.#settle(error, 'error');
  }

  /** The socket that was opened for the exchange could not be. */
  connectFailed(error: Error): void {
    nameConnectionError(error, this.host.name, this.origin.key);
    tellUnsent(this.request, error, this.context);
    this.phase = 'new';
    this.#retryOrFail(error);
  }

  /** The server left before it processed the exchange: undici hears that it ends here. */
  unprocessed(): void {
    this.controller?.abort(new Error('the server left before it processed the request'));
  }

  // What undici calls

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    if (this.phase !== 'sent' && this.phase !== 'above') {
      controller.abort(new Error('the request was given up'));
      return;
    }
    this.controller = controller;
    if (this.#connection?.multiplexes === true) this.#connection.begun(this);
    try {
      this.started(controller, context);
    } catch (error) {
      this.threw(error);
    }
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void {
    this.lastReadAt = this.host.clock.now();
    if (this.phase !== 'sent' && this.phase !== 'above') return;
    try {
      if (statusCode < 200) this.informed(statusCode, headers, statusText);
      else this.#answered(statusCode, headers, statusText);
    } catch (error) {
      this.threw(error);
    }
  }

  #answered(statusCode: number, headers: IncomingHttpHeaders, statusText: string | undefined): void {
    this.statusCode = statusCode;
    this.#connection?.learnKeepAlive(headers, this.host.keepAliveMs);
    if (statusCode >= 300 && this.#replaces(statusCode, headers)) {
      this.phase = 'discarding';
      return;
    }
    this.phase = 'reading';
    const bodyless = hasNoBody(this.request.method, statusCode);
    const codings = bodyless || !this.decodes ? undefined : contentCodings(headers);
    const length = contentLengthOf(headers);
    const maxBytes = this.policy.maxResponseBytes ?? this.usualMaxBytes;
    // What is decoded is counted when it is: encoded, hardly anything grows, and that only by a trifle.
    this.#maxBytes = codings === undefined || maxBytes === 0 ? maxBytes : Math.ceil(maxBytes * 1.01) + 65_536;
    this.#expectedBytes = bodyless ? 0 : length;
    if (this.#maxBytes > 0 && this.#expectedBytes > this.#maxBytes) return this.#tooLarge(maxBytes);
    this.answered(headers, statusText, codings);
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
    if (this.#maxBytes > 0 && this.received > this.#maxBytes) {
      return this.#tooLarge(this.policy.maxResponseBytes ?? this.usualMaxBytes);
    }
    try {
      this.receivedBody(chunk);
    } catch (error) {
      this.threw(error);
    }
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    const { phase } = this;
    const now = this.host.clock.now();
    const connection = this.#connection;
    const closes = connection?.multiplexes === false ? connection.closes : false;
    // Where that can't be seen it shows after the callback: nobody who waits must get the connection before.
    if (closes === undefined && this.host.pool.isAwaited(this.origin)) this.#giveBackSoon();
    else this.#giveBack(closes !== true, 'not-kept', now);
    if (phase === 'discarding') return this.#again(this.#nextDelayMs);
    if (phase !== 'reading') return;
    // A session of HTTP/2 that ends under its streams lets some of them end as if they were complete.
    if (connection !== undefined && this.received < this.#expectedBytes) this.#cutShort();
    else this.#complete(trailers, now);
  }

  /** The answer has ended before all that was announced of it had come. */
  #cutShort(): void {
    const came = `${this.received} of ${this.#expectedBytes} bytes`;
    const error = new Error(`${this.host.name}: the answer of ${this.origin.key} ended after ${came}`);
    markBrokenOff(error);
    this.phase = 'new';
    this.#retryOrFail(error);
  }

  onResponseError(controller: Dispatcher.DispatchController | null | undefined, reason: Error): void {
    // A handler may have aborted with anything: the built-in `fetch` does with a string.
    const error = asError(reason);
    const connection = this.#connection;
    if (connection === undefined && !this.#above) return;
    // Interceptors may give any controller, of another attempt or of none.
    const another = controller && controller !== this.controller && controller !== NEVER_STARTED;
    if (this.controller !== undefined && another && !this.#above) return;
    const { phase } = this;
    const sent = this.controller !== undefined;
    const alive = connection === undefined || (connection.state !== 'gone' && !connection.socket.destroyed);
    // One that was given up before it was sent was closed for that, although undici says so first.
    const healthy = alive && connection !== undefined && (connection.multiplexes || (!sent && phase !== 'done'));
    const broken = isTransient(error) || (connection !== undefined && endedByPeer(connection.socket));
    if (broken) markBrokenOff(error);
    const aborted = controller?.aborted === true;
    const refused = connection?.refuses(this, error) === true;
    const means = verdict({
      phase,
      sent,
      refused,
      alive,
      broken,
      reused: connection !== undefined && connection.served > 1,
      aborted,
      whole: this.received === this.#expectedBytes,
      bodyless: hasNoBody(this.request.method, this.statusCode),
      replaceable: !this.delivered && this.host.pool.serving,
    });
    const replays = means === 'replay' && (this.#attempts ??= new Attempts()).replay(this.request, sent, refused);
    if (replays) this.#replay(refused ? undefined : connection);
    // A healthy one serves the next at once, which undici isn't ready for in its own error callback.
    if (healthy) this.#giveBackSoon();
    else this.#giveBack(false, aborted || phase === 'done' || phase === 'discarding' ? 'aborted' : 'peer');
    if (replays || means === 'over') return;
    if (means === 'next') return this.#again(this.#nextDelayMs);
    if (connection !== undefined && means !== 'complete') nameConnectionError(error, this.host.name, this.origin.key);
    if (means === 'given-up') return this.#settle(error, 'aborted');
    if (means === 'complete') return this.#complete({}, this.host.clock.now());
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
  protected handOver(statusCode: number, socket: Duplex, take: () => void): void {
    this.statusCode = statusCode;
    socket.once('close', () => this.#giveBack(false, 'not-kept'));
    this.#settle(undefined, statusCode);
    try {
      take();
    } catch (error) {
      socket.destroy();
      this.threw(error);
    }
  }

  protected override get uploading(): boolean {
    return this.#body?.unread === true || (this.#connection?.socket.writableLength ?? 0) > 0;
  }

  // The request's body

  /** The request as it goes over this connection. */
  #options(connection: OriginConnection): Dispatcher.DispatchOptions {
    const { request } = this;
    if (request.makeBody === undefined && !connection.multiplexes) return request;
    const body = request.makeBody === undefined ? request.body : this.#ownBody(wireBody(request.makeBody()));
    // A stream that fails after its first chunk makes Node 20's `pipeline` into HTTP/2 spin.
    if (connection.multiplexes && isIterableStream(body)) return { ...request, body: iterableOf(body) as never };
    return { ...request, body };
  }

  #ownBody(body: Dispatcher.DispatchOptions['body']): Dispatcher.DispatchOptions['body'] {
    if (typeof body !== 'object' || body === null || body instanceof Uint8Array) return body;
    this.#body ??= new RequestBody(this.lendsBody, (error) => this.fail(error));
    const owned = this.#body.own(body);
    if (body === this.request.body && owned !== body) this.request = { ...this.request, body: owned };
    return owned;
  }

  /** Whether whoever made the request may send its body again in another one, as long as nothing was read of it. */
  protected get lendsBody(): boolean {
    return false;
  }

  // Attempts

  #submit(now: number): void {
    this.attemptAt = now;
    if (this.policy.composed !== undefined) return this.#submitAbove(this.policy.composed);
    this.host.pool.submit(this, now);
  }

  /** Sends the request through the interceptors; the exchange below them has the limits and the deadlines but the total one. */
  #submitAbove(composed: Dispatcher): void {
    this.phase = 'above';
    this.#above = true;
    this.arm(this.attemptAt);
    const { request } = this;
    try {
      this.context.runInAsyncScope(() => {
        const body = request.makeBody === undefined ? request.body : this.#ownBody(wireBody(request.makeBody()));
        const headers = headersByName(request.headers);
        composed.dispatch({ ...request, headers, body, [ABOVE]: this } as Dispatcher.DispatchOptions, this);
      });
    } catch (error) {
      this.threw(error);
    }
  }

  /** The exchange below the interceptors that acts for this one. */
  adopt(below: Exchange): void {
    this.#below = below;
    below.#actsFor = this;
    if (this.phase === 'done') below.fail(new Error('the request was given up'), 'aborted');
  }

  /** Whether this answer is replaced by another attempt; if so, when is decided. */
  #replaces(statusCode: number, headers: IncomingHttpHeaders): boolean {
    const { host, policy } = this;
    if (this.delivered || !host.pool.serving) return false;
    const { retry } = policy;
    if (retry !== false && retry.statusCodes.includes(statusCode)) {
      const atLeastMs = retryAfterMs(headerLines(headers, 'retry-after')[0], host.clock.wallNow());
      if (atLeastMs > host.maxRetryAfterMs) return false;
      const delayMs = (this.#attempts ??= new Attempts()).retryDelay(this, retry, atLeastMs, host);
      this.#nextDelayMs = delayMs ?? 0;
      return delayMs !== undefined;
    }
    const next = (this.#attempts ??= new Attempts()).redirect(this.request, statusCode, headers, policy.redirects);
    if (next === undefined) return false;
    this.request = next;
    this.origin = host.pool.origins.of(next.origin);
    this.#nextDelayMs = 0;
    return true;
  }

  #retryOrFail(error: Error): void {
    const { retry } = this.policy;
    const open = this.host.pool.serving;
    const again = retry !== false && open && !this.delivered && isTransient(error);
    const delayMs = again ? (this.#attempts ??= new Attempts()).retryDelay(this, retry, 0, this.host) : undefined;
    if (delayMs === undefined) this.#settle(error, 'error');
    else this.#again(delayMs);
  }

  /** The next attempt, later; never in undici's own callback, which may not be ready for it. */
  #again(delayMs: number): void {
    this.phase = 'pausing';
    this.#startOver();
    // A body that is made anew, or that a redirect has dropped.
    if (this.request.body === null) this.#body?.release();
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

  /** The same attempt over another connection: whoever came later doesn't overtake. */
  #replay(stale: OriginConnection | undefined): void {
    const { host, origin } = this;
    const now = host.clock.now();
    origin.counters.replays++;
    if (stale !== undefined) host.pool.connections.suspect(stale);
    this.#startOver();
    this.attemptAt = now;
    host.pool.requeue(this, now);
  }

  #startOver(): void {
    this.#elsewhere = true;
    this.statusCode = 0;
    this.received = 0;
    this.#expectedBytes = -1;
  }

  // The end

  #giveBack(healthy: boolean, reason: 'not-kept' | 'aborted' | 'peer', now = this.host.clock.now()): void {
    const connection = this.#connection;
    this.#above = false;
    this.#connection = undefined;
    this.controller = undefined;
    if (connection === undefined) return;
    this.host.pool.release(connection, this, healthy, reason, now);
  }

  /** The same for a healthy connection, after the current callback. */
  #giveBackSoon(): void {
    const connection = this.#connection as OriginConnection;
    this.#connection = undefined;
    this.controller = undefined;
    queueMicrotask(() => this.host.pool.release(connection, this, true, 'not-kept', this.host.clock.now()));
  }

  #tooLarge(maxBytes: number): void {
    this.fail(tooLargeError(this.host.name, this.request, this.statusCode, maxBytes));
  }

  #complete(trailers: IncomingHttpHeaders, now: number): void {
    this.#settle(undefined, this.statusCode, now);
    try {
      this.ended(trailers);
    } catch (error) {
      this.threw(error);
    }
  }

  /** Something threw in a callback: the caller hears of it, even if the exchange itself has ended. */
  protected threw(error: unknown): void {
    if (this.phase !== 'done') this.fail(error);
    else if (!this.#toldFailure) this.#tellFailure(error);
    else warnOfThrow(this.host.name, error);
  }

  #tellFailure(error: unknown): void {
    this.#toldFailure = true;
    try {
      this.failed(error);
    } catch (thrown) {
      // Whoever was to hear of it can't: the exchange above the interceptors is the last that can.
      const above = this.#actsFor;
      if (above !== undefined && above.phase !== 'done') above.fail(thrown);
      else warnOfThrow(this.host.name, thrown);
    }
  }

  #settle(error: unknown, outcome: HttpOutcome, now = this.host.clock.now()): void {
    const { host, policy, request } = this;
    this.phase = 'done';
    this.disarm();
    if (policy.signal !== undefined) host.aborts.forget(policy.signal, this);
    if (this.#pause !== undefined) host.clock.clearTimeout(this.#pause);
    host.pausing.delete(this);
    if (policy.composed === undefined) {
      this.origin.counters.finished(request.method, outcome, now - this.startedAt);
      host.events.finished(this, outcome, now - this.startedAt);
    }
    this.#body?.release();
    if (typeof outcome !== 'number') this.#tellFailure(error);
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
