import type { Dispatcher } from 'undici';
import { wireBody, type WireRequest } from '../message/request.js';
import { isIterableStream, iterableOf, RequestBody } from '../message/request-body.js';
import { nameConnectionError } from '../pool/connection-errors.js';
import type { Borrower, OriginConnection } from '../pool/origin.js';
import { EndingExchange } from './ending-exchange.js';
import { tellUnsent } from './request-channels.js';
import { TracedTries } from './traced-tries.js';

/** An exchange with its connection, from the queue until it is given back, and the request's body. */
export abstract class LeasedExchange extends EndingExchange implements Borrower {
  /** When it got its present connection. */
  leasedAt = 0;
  protected connection: OriginConnection | undefined = undefined;
  /** Whether the next callback runs outside the caller's asynchronous context. */
  protected elsewhere = false;
  /** Whether an attempt above the interceptors is under way. */
  protected aboveInterceptors = false;
  /** Made for a body that may fail or must be destroyed. */
  protected body: RequestBody | undefined = undefined;

  /** What undici tells of an attempt. */
  protected abstract get receiver(): Dispatcher.DispatchHandler;
  /** There is no answer to this attempt: there may be another. */
  protected abstract attemptFailed(error: Error): void;

  /** Whether the caller may send the body again in another request, as long as nothing was read of it. */
  protected get lendsBody(): boolean {
    return false;
  }

  protected override get uploading(): boolean {
    return this.body?.unread === true || (this.connection?.socket.writableLength ?? 0) > 0;
  }

  /** Traces of its tries; `undefined`: nobody listens, and nobody did when it began. */
  protected traced(): TracedTries | undefined {
    if (this.tries === undefined && TracedTries.heard(this.host.spans)) {
      this.tries = new TracedTries(this.host.spans, this.host.name);
    }
    return this.tries;
  }

  // What the pool calls

  /** The exchange stands in a queue now. */
  enqueued(phase: 'waiting' | 'connecting', now: number): void {
    this.phase = phase;
    this.elsewhere = true;
    this.traced()?.waits(this, phase === 'waiting' ? 'queue' : 'dial');
    this.arm(now);
  }

  /** The exchange has a place; its socket is being opened. */
  promoted(now: number): void {
    this.phase = 'connecting';
    this.arm(now);
  }

  /** The exchange has a connection. */
  begin(connection: OriginConnection, now: number): void {
    if (this.elsewhere) this.context.runInAsyncScope(this.#begin, this, connection, now);
    else this.#begin(connection, now);
  }

  #begin(connection: OriginConnection, now: number): void {
    const waitedMs = now - this.attemptAt;
    const span = this.traced()?.caller;
    this.origin.counters.acquire.record(waitedMs, span);
    this.host.acquire.record(waitedMs, span);
    this.host.events.acquired(this.origin, waitedMs);
    this.leasedAt = now;
    this.phase = 'sent';
    this.connection = connection;
    this.sentAt = now;
    this.lastReadAt = now;
    this.arm(now);
    try {
      const tries = this.traced();
      if (tries === undefined) connection.dispatch(this.#options(connection, this.request), this.receiver);
      else
        tries.begins(this, connection, (sent) => connection.dispatch(this.#options(connection, sent), this.receiver));
    } catch (error) {
      // Nothing was sent; the connection serves the next.
      if (this.connection === connection) this.giveBackSoon();
      this.threw(error);
    }
  }

  /** The exchange gets no place. */
  refuse(error: Error): void {
    this.traced()?.waits(this, 'queue');
    this.settle(error, 'error');
  }

  /** The socket that was opened for the exchange could not be. */
  connectFailed(error: Error): void {
    nameConnectionError(error, this.host.name, this.origin.key);
    tellUnsent(this.request, error, this.context);
    this.traced()?.refused(this, error);
    this.attemptFailed(error);
  }

  /** The server left before it processed the exchange: undici ends it too. */
  unprocessed(): void {
    this.controller?.abort(new Error('the server left before it processed the request'));
  }

  // The request's body

  /** The request as it goes over this connection. */
  #options(connection: OriginConnection, request: WireRequest): Dispatcher.DispatchOptions {
    if (request.makeBody === undefined && !connection.multiplexes) return request;
    const body = request.makeBody === undefined ? request.body : this.ownBody(wireBody(request.makeBody()));
    // In Node 20, a stream that fails after its first chunk makes `pipeline` into HTTP/2 loop for ever.
    if (connection.multiplexes && isIterableStream(body)) return { ...request, body: iterableOf(body) as never };
    return { ...request, body };
  }

  protected ownBody(body: Dispatcher.DispatchOptions['body']): Dispatcher.DispatchOptions['body'] {
    if (typeof body !== 'object' || body === null || body instanceof Uint8Array) return body;
    this.body ??= new RequestBody(this.lendsBody, (error) => this.fail(error));
    const owned = this.body.own(body);
    if (body === this.request.body && owned !== body) this.request = { ...this.request, body: owned };
    return owned;
  }

  // The end of a lease

  protected giveBack(healthy: boolean, reason: 'not-kept' | 'aborted' | 'peer', now = this.host.clock.now()): void {
    const connection = this.connection;
    this.aboveInterceptors = false;
    this.connection = undefined;
    this.controller = undefined;
    if (connection === undefined) return;
    this.host.pool.release(connection, this, healthy, reason, now);
  }

  /** Gives a healthy connection back after the current callback: undici isn't ready for the next request inside it. */
  protected giveBackSoon(): void {
    const connection = this.connection as OriginConnection;
    this.connection = undefined;
    this.controller = undefined;
    queueMicrotask(() => this.host.pool.release(connection, this, true, 'not-kept', this.host.clock.now()));
  }
}
