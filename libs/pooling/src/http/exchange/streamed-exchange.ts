import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { decodeStream, type ContentCoding } from '../message/decompress.js';
import { BodyWatch, type LeakWatching } from './body-watch.js';
import { Exchange } from './exchange.js';
import type { ExchangeHost, ExchangePolicy } from './exchange-host.js';
import type { Origin } from '../pool/origin.js';
import type { WireRequest } from '../message/request.js';
import type { HttpStreamResponse } from '../message/response.js';

/** Takes the connection back from a body that was dropped without being read or destroyed. */
const dropped = new FinalizationRegistry<StreamedExchange>((exchange) => exchange.collected());

/** The body of a streamed answer; it asks its exchange for more, and ends it when destroyed. */
class ResponseBody extends Readable {
  readonly #exchange: StreamedExchange;

  constructor(exchange: StreamedExchange) {
    super();
    this.#exchange = exchange;
    // An error before the first read is kept for the reader, and must not end the process.
    this.on('error', () => {});
  }

  override _read(): void {
    this.#exchange.wanted(this);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#exchange.bodyDestroyed(error);
    callback(error);
  }
}

/** An exchange whose caller gets the answer at its headers and reads the body itself. */
export class StreamedExchange extends Exchange {
  readonly #decompress: boolean;
  readonly #watch: BodyWatch | undefined;
  /** Forgotten once called: they hold the promise, which holds the body. */
  #resolve: ((response: HttpStreamResponse) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;
  /** The body while its consumer reads. */
  #body: ResponseBody | undefined;
  /** The body while its consumer pauses: a dropped body can be collected then. */
  #weakBody: WeakRef<ResponseBody> | undefined;
  #finished = false;
  /** Whether the present pause was reported. */
  #reported = false;

  constructor(
    host: ExchangeHost,
    origin: Origin,
    request: WireRequest,
    policy: ExchangePolicy,
    decompress: boolean,
    leaks: LeakWatching,
  ) {
    super(host, origin, request, policy);
    this.#decompress = decompress;
    this.#watch = BodyWatch.begin(leaks, StreamedExchange);
  }

  /** Begins, and resolves at the answer's headers. Call it instead of `start()`. */
  open(): Promise<HttpStreamResponse> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.start();
    });
  }

  protected override get delivered(): boolean {
    return this.#weakBody !== undefined;
  }

  override get unreadAfterMs(): number {
    return this.#reported || this.#watch === undefined ? 0 : this.#watch.afterMs;
  }

  protected override get decodes(): boolean {
    return this.#decompress;
  }

  protected override answered(
    headers: IncomingHttpHeaders,
    _statusText: string | undefined,
    codings: readonly ContentCoding[] | undefined,
  ): void {
    const { origin, path } = this.request;
    const body = new ResponseBody(this);
    this.#body = body;
    this.#weakBody = new WeakRef(body);
    dropped.register(body, this, this);
    const resolve = this.#resolve;
    this.#resolve = undefined;
    this.#reject = undefined;
    resolve?.({
      statusCode: this.statusCode,
      headers,
      url: `${origin}${path}`,
      body:
        codings === undefined ? body : decodeStream(this.host.name, body, codings, this.policy.maxResponseBytes ?? 0),
    });
  }

  protected override receivedBody(chunk: Buffer): void {
    const body = this.#body ?? this.#weakBody?.deref();
    if (body === undefined) return;
    if (this.context.runInAsyncScope(() => body.push(chunk))) return;
    this.controller?.pause();
    this.unreadSince = this.lastReadAt;
    this.#body = undefined;
    this.rearm(this.lastReadAt);
  }

  protected override ended(): void {
    this.#finish((body) => body.push(null));
  }

  protected override failed(error: unknown): void {
    if (!this.delivered) return this.#reject?.(error);
    this.#finish((body) => body.destroy(error instanceof Error ? error : new Error('aborted', { cause: error })));
  }

  protected override unread(forMs: number): void {
    this.#reported = true;
    this.#report(forMs);
  }

  /** The consumer takes more. */
  wanted(body: ResponseBody): void {
    if (this.#finished || this.unreadSince === Infinity) return;
    this.#body = body;
    this.#reported = false;
    this.unreadSince = Infinity;
    this.lastReadAt = this.host.clock.now();
    this.controller?.resume();
    this.rearm(this.lastReadAt);
  }

  /** The consumer has destroyed the body, or has read it to its end. */
  bodyDestroyed(error: Error | null): void {
    dropped.unregister(this);
    this.#body = undefined;
    if (!this.#finished) {
      this.#finished = true;
      this.fail(error ?? new Error('the body was destroyed before its end'), 'aborted');
    }
  }

  /** The body was dropped and collected. */
  collected(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#report(undefined);
    this.fail(new Error('the body was dropped before its end'), 'aborted');
  }

  #finish(end: (body: ResponseBody) => void): void {
    if (this.#finished) return;
    this.#finished = true;
    dropped.unregister(this);
    const body = this.#body ?? this.#weakBody?.deref();
    this.#body = undefined;
    if (body !== undefined) this.context.runInAsyncScope(() => end(body));
  }

  #report(unreadMs: number | undefined): void {
    this.#watch?.report(this.host, this.origin, this.request, unreadMs);
  }
}
