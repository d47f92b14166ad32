import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { inspect, type InspectOptions } from 'node:util';
import type { Dispatcher } from 'undici';
import { asError } from './as-error.js';
import { AttemptedExchange } from './attempted-exchange.js';
import { contentLengthOf, hasNoBody } from '../message/answer-headers.js';
import { endedByPeer, markBrokenOff, nameConnectionError } from '../pool/connection-errors.js';
import { contentCodings, type ContentCoding } from '../message/decompress.js';
import { NEVER_STARTED } from './never-started.js';
import { showText } from '../../core/shown-text.js';
import { shownRequestUrl } from '../message/shown-url.js';
import { tooLargeError } from '../pool/refusals.js';
import { isTransient } from './retry.js';
import { verdict } from './verdict.js';

/** The body of a replaced answer is read up to this many bytes, to keep the socket. A longer one isn't worth it. */
const DISCARD_BYTES = 65_536;

/**
 * One request and its answer, over all its attempts: undici's handler, the deadlines and the place in the queue in
 * one object. What becomes of the answer is up to the subclass.
 */
export abstract class Exchange extends AttemptedExchange implements Dispatcher.DispatchHandler {
  /** How many bytes may come over the wire; 0: any number. */
  #maxBytes = 0;

  /** The caller's answer begins; `codings` are to be undone. */
  protected abstract answered(
    headers: IncomingHttpHeaders,
    statusText: string | undefined,
    codings: readonly ContentCoding[] | undefined,
  ): void;
  /** A piece of its body. */
  protected abstract receivedBody(chunk: Buffer): void;

  /** Whether the answer is decoded before the caller gets it. */
  protected get decodes(): boolean {
    return false;
  }

  /** How many decoded bytes the answer may have unless the request sets a limit; 0: any number. */
  protected get usualMaxBytes(): number {
    return 0;
  }

  /** What undici tells of an attempt. */
  protected override get receiver(): Dispatcher.DispatchHandler {
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

  // What undici calls

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    if (this.phase !== 'sent' && this.phase !== 'above') {
      controller.abort(new Error('the request was given up'));
      return;
    }
    this.controller = controller;
    if (this.connection?.multiplexes === true) this.connection.begun(this);
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
    this.tries?.answered(statusCode);
    this.connection?.learnKeepAlive(headers, this.host.keepAliveMs);
    if (statusCode >= 300 && this.replaces(statusCode, headers)) {
      this.phase = 'discarding';
      return;
    }
    this.phase = 'reading';
    const bodyless = hasNoBody(this.request.method, statusCode);
    const codings = bodyless || !this.decodes ? undefined : contentCodings(headers);
    const length = contentLengthOf(headers);
    const maxBytes = this.policy.maxResponseBytes ?? this.usualMaxBytes;
    // Decoded bytes are counted later. Encoding can make a body slightly longer, so the wire gets a margin.
    this.#maxBytes = codings === undefined || maxBytes === 0 ? maxBytes : Math.ceil(maxBytes * 1.01) + 65_536;
    this.expectedBytes = bodyless ? 0 : length;
    if (this.#maxBytes > 0 && this.expectedBytes > this.#maxBytes) return this.tooLarge(maxBytes);
    this.answered(headers, statusText, codings);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.received += chunk.length;
    // The last piece ends the exchange in the same tick: nothing reads its time.
    if (this.received !== this.expectedBytes) this.lastReadAt = this.host.clock.now();
    if (this.phase === 'discarding') {
      if (this.received > DISCARD_BYTES) controller.abort(new Error('the answer is replaced'));
      return;
    }
    if (this.phase !== 'reading') return;
    if (this.#maxBytes > 0 && this.received > this.#maxBytes) {
      return this.tooLarge(this.policy.maxResponseBytes ?? this.usualMaxBytes);
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
    const connection = this.connection;
    const closes = connection?.multiplexes === false ? connection.closes : false;
    // Where that can't be seen now, it shows after the callback: no waiter may get the connection before then.
    if (closes === undefined && this.host.pool.isAwaited(this.origin)) this.giveBackSoon();
    else this.giveBack(closes !== true, 'not-kept', now);
    if (phase === 'discarding') return this.again(this.nextDelayMs);
    if (phase !== 'reading') return;
    // A session of HTTP/2 that ends under its streams lets some of them end as if they were complete.
    if (connection !== undefined && this.received < this.expectedBytes) this.#cutShort();
    else this.complete(trailers, now);
  }

  /** The answer has ended before all that was announced of it had come. */
  #cutShort(): void {
    const came = `${this.received} of ${this.expectedBytes} bytes`;
    const error = new Error(`${this.host.name}: the answer of ${this.origin.key} ended after ${came}`);
    markBrokenOff(error);
    this.attemptFailed(error);
  }

  onResponseError(controller: Dispatcher.DispatchController | null | undefined, reason: Error): void {
    // A handler may have aborted with anything: the built-in `fetch` does with a string.
    const error = asError(reason);
    const connection = this.connection;
    if (connection === undefined && !this.aboveInterceptors) return;
    // Interceptors may pass the controller of another attempt, or none.
    const another = controller && controller !== this.controller && controller !== NEVER_STARTED;
    if (this.controller !== undefined && another && !this.aboveInterceptors) return;
    const { phase } = this;
    const sent = this.controller !== undefined;
    const alive = connection === undefined || (connection.state !== 'gone' && !connection.socket.destroyed);
    // undici reports the abort of an unsent request before it closes the socket.
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
      whole: this.received === this.expectedBytes,
      bodyless: hasNoBody(this.request.method, this.statusCode),
      replaceable: !this.delivered && this.host.pool.serving,
    });
    const replays = means === 'replay' && this.attempts.replay(this.request, sent, refused);
    if (replays) this.replay(refused ? undefined : connection, error);
    // Not at once: undici isn't ready for the next request inside its own error callback.
    if (healthy) this.giveBackSoon();
    else this.giveBack(false, aborted || phase === 'done' || phase === 'discarding' ? 'aborted' : 'peer');
    if (replays || means === 'over') return;
    if (means === 'next') return this.again(this.nextDelayMs);
    if (connection !== undefined && means !== 'complete') nameConnectionError(error, this.host.name, this.origin.key);
    if (means === 'given-up') return this.settle(error, 'aborted');
    if (means === 'complete') return this.complete({}, this.host.clock.now());
    this.attemptFailed(error);
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
    this.tries?.answered(statusCode);
    socket.once('close', () => this.giveBack(false, 'not-kept'));
    this.settle(undefined, statusCode);
    try {
      take();
    } catch (error) {
      socket.destroy();
      this.threw(error);
    }
  }

  protected tooLarge(maxBytes: number): void {
    this.fail(tooLargeError(this.host.name, this.request, this.statusCode, maxBytes));
  }
}
